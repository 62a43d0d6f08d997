"""The control endpoints: api.md, section "Sandbox OneSignal"."""

from __future__ import annotations

import re
from typing import Any

import pytest
import requests

from tests.sandbox.cast import App, SandboxProcess, some_uuid, user_path


def test_an_app_is_made_with_a_key_in_onesignals_form_or_with_given_ones(sandbox: SandboxProcess) -> None:
    made = requests.post(f"{sandbox.url}/_control/apps", timeout=5).json()
    assert set(made) == {"app_id", "api_key"}
    assert re.fullmatch(r"os_v2_app_[a-z2-7]{103}", made["api_key"])
    app_id = some_uuid()
    app = App(sandbox.url, app_id=app_id, api_key="k1", plan="free")
    assert (app.app_id, app.api_key) == (app_id, "k1")


def test_making_an_app_again_changes_what_is_given_and_keeps_the_rest(sandbox: SandboxProcess) -> None:
    app = App(sandbox.url, app_id=some_uuid(), api_key="k1", plan="professional")
    app.add_users("ann")
    again = App(sandbox.url, app_id=app.app_id, plan="free")
    assert again.api_key == "k1"
    shown = again.control("GET")
    assert (shown["plan"], shown["users"], shown["tag_limit"]) == ("free", 1, 2)


def test_an_app_is_changed_shown_listed_and_deleted(app: App) -> None:
    app.control("PATCH", "", {"plan": "enterprise", "name": "Shop", "tag_limit": 3, "segment_limit": 4})
    shown = app.control("GET")
    assert (shown["name"], shown["plan"], shown["tag_limit"], shown["segment_limit"]) == ("Shop", "enterprise", 3, 4)
    listed = requests.get(f"{app.url}/_control/apps", timeout=5).json()["apps"]
    assert shown in listed
    app.control("DELETE")
    app.control("GET", expect=404)
    assert app.call("GET", "/segments").status_code == 403


@pytest.mark.parametrize(
    "fields",
    [
        {"plan": "golden"},
        {"api_key": ""},
        {"api_key": "with space"},
        {"api_key": 7},
        {"tag_limit": -1},
        {"segment_limit": "5"},
        {"planet": "free"},
    ],
)
def test_an_app_is_not_changed_by_what_makes_no_sense(app: App, fields: dict[str, Any]) -> None:
    before = app.control("GET")
    app.control("PATCH", "", fields, expect=400)
    assert app.control("GET") == before


def test_users_in_bulk_are_known_once(app: App) -> None:
    ids = [f"user-{number}" for number in range(5000)]
    assert app.control("POST", "/users", {"external_ids": ids}) == {"created": 5000, "known": 0}
    assert app.control("POST", "/users", {"external_ids": [*ids, "one-more", "one-more"]}) == {
        "created": 1,
        "known": 5000,
    }
    assert app.control("GET")["users"] == 5001


def test_users_are_made_with_the_subscriptions_that_are_named(app: App) -> None:
    first, second = some_uuid(), some_uuid()
    wish = {"users": [{"external_id": "ann", "subscriptions": [first]}, {"subscriptions": [second]}, {}]}
    assert app.control("POST", "/users", wish)["created"] == 3
    assert [each["id"] for each in app.call("GET", user_path("ann")).json()["subscriptions"]] == [first]
    identity = app.call("GET", f"/subscriptions/{second}/user/identity").json()["identity"]
    assert set(identity) == {"onesignal_id"}
    app.control("POST", "/users", {"users": [{"external_id": "bob", "subscriptions": [first]}]}, expect=409)
    app.control("POST", "/users", {"users": [{"external_id": "ann", "subscriptions": [first]}]})


@pytest.mark.parametrize(
    "body",
    [
        {"external_ids": "ann"},
        {"external_ids": ["ann", 7]},
        {"external_ids": ["ann", "NULL"]},
        {"external_ids": ["x" * 129]},
        {"users": [{"external_id": 7}]},
        {"users": [{"subscriptions": ["nonsense"]}]},
        {"users": {}},
        {"ids": []},
    ],
)
def test_users_that_cannot_exist_are_refused_and_nobody_is_made(app: App, body: dict[str, Any]) -> None:
    app.control("POST", "/users", body, expect=400)
    assert app.control("GET")["users"] == 0


def test_somebody_else_changes_tags_without_quota_or_trace(app: App) -> None:
    app.control("PATCH", "", {"tag_limit": 0})
    app.add_users("a/b")
    path = "/users/a%2Fb/tags"
    assert app.control("PATCH", path, {"x": "1", "y": "2"}) == {"tags": {"x": "1", "y": "2"}}
    assert app.control("PATCH", path, {"tags": {"x": None, "y": ""}}) == {"tags": {}}
    app.control("PATCH", path, {"x": 1}, expect=400)
    app.control("PATCH", "/users/nobody/tags", {"x": "1"}, expect=404)
    assert app.control("GET", "/stats")["user_requests"] == 0
    assert app.control("GET", "/users/a%2Fb")["identity"]["external_id"] == "a/b"


def test_stats_count_by_route_status_and_user(app: App) -> None:
    app.add_users("ann", "a/b")
    app.patch("ann", {"a": "1"})
    app.patch("a/b", {"a": "1"})
    app.patch("nobody", {"a": "1"})
    app.call("GET", user_path("ann"))
    app.call("POST", "/users", {"identity": {"external_id": "new"}})
    app.call("GET", "/segments")
    stats = app.control("GET", "/stats")
    assert stats["requests"] == {
        "PATCH /apps/{app_id}/users/by/{alias_label}/{alias_id}": 3,
        "GET /apps/{app_id}/users/by/{alias_label}/{alias_id}": 1,
        "POST /apps/{app_id}/users": 1,
        "GET /apps/{app_id}/segments": 1,
    }
    assert stats["by_status"] == {"200": 3, "202": 2, "404": 1}
    assert (stats["user_requests"], stats["writes"], stats["max_writes_per_user"]) == (5, 3, 1)
    assert 1 <= stats["max_per_second"] <= 4
    reset = app.control("DELETE", "/stats")
    assert (reset["requests"], reset["user_requests"], reset["max_per_second"]) == ({}, 0, 0)


def test_who_is_in_a_segment_is_evaluated_now(app: App) -> None:
    app.control("POST", "/users", {"users": [{"external_id": "ann", "subscriptions": []}, {"subscriptions": []}]})
    everybody = [{"field": "tag", "key": "never", "relation": "not_exists"}]
    segment_id = app.create_segment(filters=everybody).json()["id"]
    users = app.control("GET", f"/segments/{segment_id}/users")
    assert (users["external_ids"], len(users["onesignal_ids"])) == (["ann"], 2)
    app.control("GET", f"/segments/{some_uuid()}/users", expect=404)
    app.control("PATCH", f"/segments/{segment_id}", {"is_active": "no"}, expect=400)


@pytest.mark.parametrize(
    "headers", [{"Host": "evil.example"}, {"Origin": "https://evil.example"}, {"Origin": "null"}, {"Host": "127.evil"}]
)
def test_a_foreign_web_page_cannot_use_the_control_endpoints(app: App, headers: dict[str, str]) -> None:
    for path in ("/_control/apps", "/"):
        assert requests.get(app.url + path, headers=headers, timeout=5).status_code == 403
