"""Mixpanel's official Python SDK against a live server: its calls succeed, its rows are right."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import mixpanel
import pytest
from django.test import Client
from pytest_django.live_server_helper import LiveServer

from cohorts.access import hash_secret
from cohorts.models import Project, ServiceAccount
from tests.cast import make_project
from tests.ingest.wire import SECRET, groups, ids_of, keys, people, person, stored

# Bytes recorded from version 5.4.1: (path, query, body, authorization).
TRACK = (
    b"data=%7B%22event%22%3A%22Purchase%22%2C%22properties%22%3A%7B%22token%22%3A%22TOKEN%22%2C%22distinct_id%22%3A%22ann"
    b"%22%2C%22time%22%3ATIME%2C%22%24insert_id%22%3A%22c17444b77f134ae2bb06e3f84e96a4a1%22%2C%22mp_lib%22%3A%22python%22"
    b"%2C%22%24lib_version%22%3A%225.4.1%22%2C%22note%22%3A%22%5Cu00e4+%26+%5Cud83d%5Cude42%22%7D%7D&verbose=1&ip=0"
)
PEOPLE_SET = (
    b"data=%7B%22%24token%22%3A%22TOKEN%22%2C%22%24time%22%3A1795435093.5%2C%22%24distinct_id%22%3A%22ann%22%2C%22%24set"
    b"%22%3A%7B%22%24name%22%3A%22Ann%22%2C%22%24onesignal_user_id%22%3A%22os-1%22%7D%7D&verbose=1&ip=0"
)
IMPORT = (
    b"data=%5B%7B%22event%22%3A%22Purchase%22%2C%22properties%22%3A%7B%22token%22%3A%22TOKEN%22%2C%22distinct_id%22%3A%22"
    b"00001%22%2C%22time%22%3A852076800%2C%22%24insert_id%22%3A%22line-2%22%2C%22mp_lib%22%3A%22python%22%2C%22%24lib_ver"
    b"sion%22%3A%225.4.1%22%2C%22dollars%22%3A11.77%7D%7D%5D&verbose=1&ip=0"
)
FORM = "application/x-www-form-urlencoded"


def test_recorded_bytes_are_taken(client: Client, shop: Project, importer: dict[str, str]) -> None:
    def post(path: str, body: bytes, **extra: Any) -> bytes:
        body = body.replace(b"TOKEN", shop.token.encode()).replace(b"TIME", str(time.time()).encode())
        return client.post(path, body, content_type=FORM, **extra).content

    assert post("/track", TRACK) == b'{"error":null,"status":1}'
    assert post("/engage", PEOPLE_SET) == b'{"error":null,"num_good_events":1,"status":1}'
    assert post(f"/import?project_id={shop.pk}", IMPORT, **importer) == b'{"error":null,"status":1}'
    imported, tracked = stored(shop)
    assert tracked.properties == {"mp_lib": "python", "$lib_version": "5.4.1", "note": "ä & 🙂"}
    assert tracked.insert_id == "c17444b77f134ae2bb06e3f84e96a4a1"
    assert (imported.distinct_id, imported.properties["dollars"]) == ("00001", 11.77)
    assert people(shop)["ann"] == {"$name": "Ann", "$onesignal_user_id": "os-1"}
    assert ids_of(shop, "os-1") == ["ann", "os-1"]


@pytest.fixture
def live_shop(live_server: LiveServer) -> Project:
    return make_project("Live shop")


@pytest.fixture
def sdk(live_server: LiveServer, live_shop: Project) -> Callable[..., mixpanel.Mixpanel]:
    """Make a client whose consumer sends to the live server."""

    def make(consumer: Callable[..., Any] = mixpanel.Consumer, **credentials: str) -> mixpanel.Mixpanel:
        return mixpanel.Mixpanel(
            live_shop.token,
            consumer(
                events_url=f"{live_server.url}/track",
                people_url=f"{live_server.url}/engage",
                groups_url=f"{live_server.url}/groups",
                import_url=f"{live_server.url}/import",
                credentials=mixpanel.ServiceAccountCredentials(**credentials) if credentials else None,
            ),
        )

    return make


def account(project: Project) -> dict[str, str]:
    ServiceAccount.objects.create(project=project, username="sdk", secret_hash=hash_secret(SECRET), role="admin")
    return {"username": "sdk", "secret": SECRET, "project_id": str(project.pk)}


def test_tracking_and_profiles(live_shop: Project, sdk: Callable[..., mixpanel.Mixpanel]) -> None:
    client = sdk()
    client.track("ann", "Purchase", {"dollars": 12.5, "note": "ä\x00 \U0001f642", "list": [1, "a"]})
    client.people_set("ann", {"$name": "Ann", "$onesignal_user_id": "os-1", "plan": "pro"})
    client.people_set_once("ann", {"plan": "free", "first": True})
    client.people_unset("ann", ["$name"])
    client.people_increment("ann", {"visits": 2})
    client.people_increment("ann", {"visits": 0.5})
    client.people_append("ann", {"seen": "a"})
    client.people_union("ann", {"seen": ["a", "b"]})
    client.people_append("ann", {"seen": "c"})
    client.people_remove("ann", {"seen": "a"})
    client.people_track_charge("ann", 12.5, {"$time": "2026-11-20T10:00:00"})
    client.people_set("bob", {"plan": "free"})
    client.people_delete("bob")
    (row,) = stored(live_shop)
    assert row.properties == {
        "mp_lib": "python",
        "$lib_version": mixpanel.__version__,
        "dollars": 12.5,
        "note": "ä \U0001f642",
        "list": [1, "a"],
    }
    assert row.person_id == person(live_shop, "ann").pk
    charges = [{"$amount": 12.5, "$time": "2026-11-20T10:00:00"}]
    assert people(live_shop) == {
        "ann": {
            "$onesignal_user_id": "os-1",
            "plan": "pro",
            "first": True,
            "visits": 2.5,
            "seen": ["b", "c"],
            "$transactions": charges,
        },
        "bob": {},
    }
    client.people_clear_charges("ann")
    assert "$transactions" not in people(live_shop)["ann"]
    assert keys(live_shop) == {"ann": "os-1"}
    assert ids_of(live_shop, "ann") == ["ann", "os-1"]


def test_group_profiles(live_shop: Project, sdk: Callable[..., mixpanel.Mixpanel]) -> None:
    client = sdk()
    client.group_set("company", "acme", {"name": "Acme", "tags": ["a"]})
    client.group_set_once("company", "acme", {"name": "Other", "size": 3})
    client.group_union("company", "acme", {"tags": ["a", "b"]})
    client.group_remove("company", "acme", {"tags": "a"})
    client.group_unset("company", "acme", ["size"])
    client.group_set("company", "gone", {"name": "Gone"})
    client.group_delete("company", "gone")
    assert groups(live_shop) == {("company", "acme"): {"name": "Acme", "tags": ["b"]}}


def test_importing_in_batches_with_a_service_account(live_shop: Project, sdk: Callable[..., mixpanel.Mixpanel]) -> None:
    credentials = account(live_shop)
    for _ in range(2):
        client = sdk(mixpanel.BufferedConsumer, **credentials)
        for number in range(120):
            properties = {"$insert_id": f"line-{number}", "dollars": number / 4}
            client.import_data(None, f"u{number % 7}", "Purchase", 852_076_800 + number, properties)
        client._consumer.flush()
    rows = stored(live_shop)
    assert sorted(row.insert_id or "" for row in rows) == sorted(f"line-{number}" for number in range(120))
    assert {row.distinct_id for row in rows} == {f"u{number}" for number in range(7)}
    assert sum(row.properties["dollars"] for row in rows) == sum(range(120)) / 4


def test_what_is_wrong_is_said_to_the_caller(live_shop: Project, sdk: Callable[..., mixpanel.Mixpanel]) -> None:
    with pytest.raises(mixpanel.MixpanelException, match="Invalid credentials"):
        sdk().import_data(None, "ann", "Purchase", 852_076_800)
    wrong = {**account(live_shop), "secret": "wrong"}
    with pytest.raises(mixpanel.MixpanelException, match="Invalid credentials"):
        sdk(**wrong).import_data(None, "ann", "Purchase", 852_076_800)
    with pytest.raises(mixpanel.MixpanelException, match="send older events to /import"):
        sdk().track("ann", "Purchase", {"time": 852_076_800})
    with pytest.raises(mixpanel.MixpanelException, match="must be a number"):
        sdk().people_increment("ann", {"visits": "many"})
    assert not stored(live_shop)
