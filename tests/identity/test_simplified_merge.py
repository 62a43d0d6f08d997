"""Simplified ID merge: a device belongs to the user it was first seen with, each row of the contract (3.3 and 3.4)."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cohorts.models import Event, Person, Project, Redirect
from tests.cast import make_project
from tests.identity.model import SimplifiedModel
from tests.identity.world import counted, persons, sweep
from tests.ingest.wire import account_of, event, ids_of, keys, people, profile, refused, send, update


def seen(project: Project, *, user: object = None, device: object = None, **properties: Any) -> dict[str, Any]:
    """Return an event as a client on simplified ID merge sends it, without distinct_id."""
    record = event(project, **properties)
    if "distinct_id" not in properties:
        del record["properties"]["distinct_id"]
    record["properties"] |= {
        name: value for name, value in (("$user_id", user), ("$device_id", device)) if value is not None
    }
    return record


def track(client: Client, *records: dict[str, Any]) -> None:
    assert send(client, "/track", records) == (200, b"1")


@pytest.mark.parametrize("in_one_request", [True, False])
def test_past_and_future_of_a_device_belong_to_its_user(
    client: Client, simple_shop: Project, in_one_request: bool
) -> None:
    records = [seen(simple_shop, device="d"), seen(simple_shop, user="ann", device="d"), seen(simple_shop, device="d")]
    for batch in [records] if in_one_request else [[each] for each in records]:
        track(client, *batch)
    assert persons(simple_shop) == {"ann": {"ann", "$device:d"}}
    assert counted(simple_shop, 3) == {"ann"}
    sweep()
    assert counted(simple_shop, 3) == {"ann"}


def test_the_first_user_of_a_device_keeps_it(client: Client, simple_shop: Project) -> None:
    track(client, seen(simple_shop, user="ann", device="d"))
    track(client, seen(simple_shop, user="bob", device="d"), seen(simple_shop, device="d"))
    assert persons(simple_shop) == {"ann": {"ann", "$device:d"}, "bob": {"bob"}}
    assert (counted(simple_shop, 2), counted(simple_shop, 1)) == ({"ann"}, {"bob"})


def test_a_user_has_any_number_of_devices(client: Client, simple_shop: Project) -> None:
    for turn in range(2):
        track(client, *(seen(simple_shop, user="ann", device=f"{turn}-{number}") for number in range(400)))
    track(client, seen(simple_shop, user="ann", device="last"))
    assert len(persons(simple_shop)["ann"]) == 802


@pytest.mark.parametrize("user", ["", "null", None, "undefined"])
def test_a_user_id_that_names_nobody_links_nothing(client: Client, simple_shop: Project, user: object) -> None:
    track(client, seen(simple_shop, user=user, device="d"))
    assert persons(simple_shop) == {"$device:d": {"$device:d"}}


@pytest.mark.parametrize("device", ["$device:", "$device:null", "$device:undefined"])
def test_a_device_id_that_names_nobody_is_nobodys(client: Client, simple_shop: Project, device: str) -> None:
    track(client, seen(simple_shop, distinct_id=device), seen(simple_shop, device=device))
    assert persons(simple_shop) == {}


@pytest.mark.parametrize(
    ("record", "owner"),
    [
        ({"user": "ann", "device": "d", "distinct_id": "x"}, "ann"),
        ({"user": "ann", "distinct_id": "x"}, "ann"),
        ({"device": "d", "distinct_id": "$device:d"}, "$device:d"),
        ({"device": "$device:d"}, "$device:d"),
        ({"distinct_id": "$device:d"}, "$device:d"),
        ({"distinct_id": "bob"}, "bob"),
    ],
)
def test_who_an_event_belongs_to(client: Client, simple_shop: Project, record: dict[str, Any], owner: str) -> None:
    track(client, seen(simple_shop, **record))
    assert counted(simple_shop, 1) == {owner}


def test_the_id_as_sent_is_kept_where_user_or_device_won(client: Client, simple_shop: Project) -> None:
    track(client, seen(simple_shop, user="ann", device="d", distinct_id="x"), seen(simple_shop, distinct_id="bob"))
    kept = {each.distinct_id: each.properties.get("$distinct_id_before_identity") for each in Event.objects.all()}
    assert kept == {"ann": "x", "bob": None}


def test_the_devices_profile_stays_by_itself(client: Client, simple_shop: Project) -> None:
    send(client, "/engage", [update(simple_shop, "$device:d", set={"color": "red"})])
    track(client, seen(simple_shop, device="d"))
    track(client, seen(simple_shop, user="ann", device="d"))
    assert profile(simple_shop, "ann") == {}
    assert people(simple_shop) == {"ann": {}, "$device:d": {"color": "red"}}
    assert Person.objects.get(distinct_id="$device:d").is_literal
    assert ids_of(simple_shop, "$device:d") == ["$device:d", "ann"]
    assert counted(simple_shop, 2) == {"ann"}


def test_a_device_without_profile_becomes_its_new_user(client: Client, simple_shop: Project) -> None:
    track(client, seen(simple_shop, device="d"))
    before = Person.objects.get()
    track(client, seen(simple_shop, user="ann", device="d"))
    assert (Person.objects.get().pk, Person.objects.get().distinct_id) == (before.pk, "ann")
    assert not Redirect.objects.exists()


def test_setting_the_onesignal_id_makes_no_alias(client: Client, simple_shop: Project) -> None:
    send(client, "/engage", [update(simple_shop, "ann", set={"$onesignal_user_id": "K"})])
    track(client, seen(simple_shop, distinct_id="K"))
    assert persons(simple_shop) == {"ann": {"ann"}, "K": {"K"}}
    assert keys(simple_shop) == {"ann": "K"}


@pytest.mark.parametrize("name", ["$identify", "$create_alias", "$merge"])
def test_verbs_are_dropped_by_track_and_refused_by_import(client: Client, simple_shop: Project, name: str) -> None:
    record = event(simple_shop, name, **{"$anon_distinct_id": "a-b-c-d-e", "alias": "b", "$distinct_ids": ["a", "b"]})
    track(client, record, seen(simple_shop, user="ann", device="d"))
    assert Event.objects.filter(name=name).count() == 0
    status, body = send(client, "/import?strict=1", [record], **account_of(simple_shop))
    assert status == 400
    assert b"identity events are not allowed" in body
    assert not refused(simple_shop)


def test_linking_again_writes_nothing(client: Client, simple_shop: Project) -> None:
    track(client, seen(simple_shop, device="d"), seen(simple_shop, user="ann"))
    track(client, seen(simple_shop, user="ann", device="d"))
    redirect = Redirect.objects.get()
    track(client, seen(simple_shop, user="ann", device="d"), seen(simple_shop, user="bob", device="d"))
    assert Redirect.objects.get().created_at == redirect.created_at


USERS, DEVICES = st.sampled_from(["u1", "u2", "u3", None]), st.sampled_from(["d1", "d2", "d3", None])
REQUESTS = st.lists(st.lists(st.tuples(USERS, DEVICES), min_size=1, max_size=6), min_size=1, max_size=8)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(requests=REQUESTS, swept=st.sets(st.integers(0, 8)))
def test_any_history_gives_the_users_of_the_model(
    client: Client, db: None, requests: list[list[tuple[str | None, str | None]]], swept: set[int]
) -> None:
    project = make_project("Simple shop", id_merge="simplified")
    model = SimplifiedModel()
    for turn, request in enumerate(requests):
        records = [seen(project, user=user, device=device) for user, device in request if user or device]
        if records:
            track(client, *records)
        for user, device in request:
            model.event(user=user, device=None if device is None else f"$device:{device}")
        if turn in swept:
            sweep()
    expected: dict[str, set[str]] = {}
    for each in model.ids:
        expected.setdefault(model.canonical(each), set()).add(each)
    assert persons(project) == expected
    counts = model.counts()
    for count in set(counts.values()):
        assert counted(project, count) == {each for each, events in counts.items() if events == count}
