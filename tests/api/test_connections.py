"""Connections by REST: proved at OneSignal before they are stored, and no credential ever comes back."""

from __future__ import annotations

from typing import Any

import pytest
import responses
from pytest_django import Settings

from integrations.models import Connection, Run, Sync
from tests.api.cast import API_KEY
from tests.api.conftest import Premises

APP_ID = "5b1d3c9e-7f0a-4c1e-9a53-0c3f1a2b4d5e"
NEW: dict[str, Any] = {
    "destination": "onesignal",
    "name": "Campaigns",
    "config": {"app_id": APP_ID},
    "credentials": {"api_key": API_KEY},
}
SHAPE = {
    "id",
    "destination",
    "name",
    "config",
    "user_id_property",
    "segment_prefix",
    "max_requests_per_second",
    "status",
    "error",
    "checked_at",
    "syncs",
}


@pytest.fixture(autouse=True)
def one_api(settings: Settings) -> None:
    settings.ONESIGNAL_API_URL = "https://onesignal.test"
    settings.SANDBOX_URL = None


def segments(app_id: str = APP_ID) -> str:
    return f"https://onesignal.test/apps/{app_id}/segments"


def test_connecting_proves_the_key_and_shows_no_credential(shop: Premises, onesignal: responses.RequestsMock) -> None:
    onesignal.get(segments(), json={"segments": []})

    answer = shop.admin.call("POST", "connections", NEW)

    connection = answer.json()
    assert answer.status_code == 201
    assert set(connection) >= SHAPE
    assert connection["config"] == {"app_id": APP_ID, "sandbox": False}
    assert connection["status"] == "connected"
    assert (connection["error"], connection["syncs"]) == (None, [])
    assert connection["user_id_property"] == "$onesignal_user_id"
    assert connection["segment_prefix"] == "(CohortSync) "
    assert API_KEY not in answer.content.decode()
    assert Connection.objects.get(pk=connection["id"]).credential == API_KEY


def test_a_refused_key_is_a_problem_in_onesignals_words_and_nothing_is_stored(
    shop: Premises, onesignal: responses.RequestsMock
) -> None:
    onesignal.get(segments(), status=401, json={"errors": ["Access denied. Please include an Authorization header"]})

    answer = shop.admin.call("POST", "connections", NEW)

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "credentials.api_key"
    assert "Access denied" in answer.json()["detail"]
    assert API_KEY not in answer.content.decode()
    assert Connection.objects.filter(project=shop.project).count() == 1


def test_an_unreachable_onesignal_is_no_verdict_and_nothing_is_stored(shop: Premises) -> None:
    answer = shop.admin.call("POST", "connections", NEW)

    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) >= 1
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert Connection.objects.filter(project=shop.project).count() == 1


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"destination": "carrier-pigeon"}, "destination"),
        ({"name": " "}, "name"),
        ({"name": "n" * 256}, "name"),
        ({"config": {"app_id": "not-a-uuid"}}, "config.app_id"),
        ({"config": {"app_id": APP_ID, "sandbox": True}}, "config.sandbox"),
        ({"config": {"app_id": APP_ID, "base_url": "https://evil.test"}}, "config.base_url"),
        ({"credentials": {}}, "credentials.api_key"),
        ({"credentials": {"api_key": 7}}, "credentials.api_key"),
        ({"max_requests_per_second": 0}, "max_requests_per_second"),
        ({"max_requests_per_second": 1001}, "max_requests_per_second"),
        ({"segment_prefix": "p" * 65}, "segment_prefix"),
        ({"user_id_property": ""}, "user_id_property"),
    ],
)
def test_a_wrong_input_is_named(shop: Premises, change: dict[str, Any], field: str) -> None:
    answer = shop.admin.call("POST", "connections", {**NEW, **change})

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == field


def test_the_app_of_a_connection_cannot_be_exchanged(shop: Premises) -> None:
    answer = shop.admin.call("PATCH", f"connections/{shop.connection.pk}", {"config": {"app_id": APP_ID}})

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "config.app_id"


def test_settings_can_be_changed(shop: Premises) -> None:
    change = {"name": "Renamed", "max_requests_per_second": 100, "segment_prefix": "[CS] "}

    answer = shop.admin.call("PATCH", f"connections/{shop.connection.pk}", change)

    assert answer.status_code == 200
    assert {key: answer.json()[key] for key in change} == change
    shop.connection.refresh_from_db()
    assert shop.connection.credential == API_KEY


def test_disconnecting_keeps_the_row_and_erases_the_credential(shop: Premises) -> None:
    answer = shop.admin.call("DELETE", f"connections/{shop.connection.pk}")

    shop.connection.refresh_from_db()
    assert answer.status_code == 202
    assert answer.json()["status"] == "disconnected"
    assert (shop.connection.credential, shop.connection.credential_hint) == ("", "")
    assert shop.admin.call("GET", f"connections/{shop.connection.pk}").json()["syncs"] == [shop.sync.pk]
    assert Sync.objects.get(pk=shop.sync.pk).status == "paused"
    assert shop.admin.call("POST", f"syncs/{shop.sync.pk}/run").status_code == 409


def test_new_credentials_reconnect_and_resume(shop: Premises, onesignal: responses.RequestsMock) -> None:
    shop.admin.call("DELETE", f"connections/{shop.connection.pk}")
    onesignal.get(f"https://onesignal.test/apps/{shop.connection.app.remote_id}/segments", json={"segments": []})

    answer = shop.admin.call("PATCH", f"connections/{shop.connection.pk}", {"credentials": {"api_key": API_KEY}})

    assert answer.status_code == 200, answer.content
    assert answer.json()["status"] == "connected"
    assert Sync.objects.get(pk=shop.sync.pk).status == "active"
    assert Run.objects.filter(sync=shop.sync, status="queued").exists()


def test_a_check_says_what_onesignal_says(shop: Premises, onesignal: responses.RequestsMock) -> None:
    onesignal.get(
        f"https://onesignal.test/apps/{shop.connection.app.remote_id}/segments",
        status=403,
        json={"errors": ["The key was revoked"]},
    )

    answer = shop.admin.call("POST", f"connections/{shop.connection.pk}/check")

    assert answer.status_code == 200
    assert answer.json()["status"] == "error"
    assert "The key was revoked" in answer.json()["error"]


def test_a_check_that_gets_no_answer_is_no_verdict(shop: Premises) -> None:
    answer = shop.admin.call("POST", f"connections/{shop.connection.pk}/check")

    assert answer.status_code == 503
    assert shop.admin.call("GET", f"connections/{shop.connection.pk}").json()["status"] == "connected"


def test_no_answer_holds_a_credential(shop: Premises) -> None:
    key = shop.connection.pk
    for method, path, body in [
        ("GET", "connections", None),
        ("GET", f"connections/{key}", None),
        ("PATCH", f"connections/{key}", {"name": "x"}),
        ("POST", f"connections/{key}/check", None),
        ("GET", "syncs", None),
        ("DELETE", f"connections/{key}", None),
    ]:
        content = shop.admin.call(method, path, body).content.decode()
        assert API_KEY not in content
        assert "credential" not in content


def test_the_list_opens_although_a_key_is_lost(shop: Premises, settings: Settings) -> None:
    settings.CREDENTIAL_KEYS = []

    assert shop.admin.call("GET", "connections").status_code == 200
    assert shop.admin.call("GET", "syncs").status_code == 200
