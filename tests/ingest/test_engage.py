"""Sending profile updates to `/engage`: operations, modifiers, limits, answers."""

from __future__ import annotations

import datetime as dt
import time
from typing import Any

import orjson
import pytest
from django.test import Client

from cohorts.models import Person, Project
from tests.ingest.wire import event, ids_of, people, person, profile, refused, send, stored, update


def test_the_answers_are_mixpanels_to_the_byte(client: Client, shop: Project) -> None:
    good, bad = update(shop, set={"a": 1}), {"$distinct_id": "ann", "$set": {}}
    assert send(client, "/engage", [good, bad]) == (200, b"1")
    assert send(client, "/engage/?verbose=1", [good, bad, good]) == (
        200,
        b'{"error":null,"num_good_events":2,"status":1}',
    )
    assert send(client, "/engage", bad) == (200, b"0")
    assert send(client, "/engage?verbose=2", bad) == (200, b'{"error":"$token, missing or empty","status":0}')
    status, answer = send(client, "/engage?strict=1", [good, bad])
    assert status == 400
    assert orjson.loads(answer) == {
        "code": 400,
        "error": "some data points in the request failed validation",
        "failed_records": [
            {
                "index": 1,
                "insert_id": "",
                "$insert_id": "",
                "field": "$token",
                "message": "$token, missing or empty",
            }
        ],
        "num_records_imported": 1,
        "status": "Bad Request",
    }


def test_operations_apply_in_the_order_of_the_request(client: Client, shop: Project) -> None:
    send(
        client,
        "/engage",
        [
            update(shop, set={"a": 1, "b": 1}),
            update(shop, set_once={"b": 2, "c": 2}),
            update(shop, set={"a": 3, "d": None}),
            update(shop, unset=["c", "nothing"]),
            update(shop, set_once={"c": 4, "d": 4}),
        ],
    )
    assert profile(shop, "ann") == {"a": 3, "b": 1, "c": 4, "d": 4}


def test_operations_of_one_record_apply_in_mixpanels_order(client: Client, shop: Project) -> None:
    send(client, "/engage", update(shop, unset=["a"], set_once={"a": 2, "b": 2}, set={"a": 1}))
    assert profile(shop, "ann") == {"b": 2}
    send(client, "/engage", update(shop, delete="", set={"a": 1}))
    assert profile(shop, "ann") == {}


def test_values_of_other_types_are_other_values(client: Client, shop: Project) -> None:
    for value in (1, True, "1", 1.5, [1], [True], {"a": 0}, {"a": False}, ""):
        send(client, "/engage", update(shop, set={"a": value}))
        kept = profile(shop, "ann")["a"]
        assert (kept, orjson.dumps(kept)) == (value, orjson.dumps(value))


@pytest.mark.parametrize("value", ["", None, {}, "null", 0])
def test_deleting_a_profile_keeps_the_person_and_the_events(client: Client, shop: Project, value: object) -> None:
    send(client, "/track", event(shop))
    send(client, "/engage", update(shop, set={"a": 1}))
    send(client, "/engage", {**update(shop), "$delete": value})
    assert profile(shop, "ann") == {}
    assert person(shop, "ann").profile_updated_at is None
    assert stored(shop)[0].person_id == person(shop, "ann").pk


def test_only_what_sets_makes_a_profile(client: Client, shop: Project) -> None:
    assert send(client, "/engage", [update(shop, unset=["a"]), update(shop, delete="")]) == (200, b"1")
    assert not Person.objects.exists()


def test_a_null_leaves_the_property_not_set(client: Client, shop: Project) -> None:
    send(client, "/engage", update(shop, set={"a": 1, "b": 2}))
    send(client, "/engage", update(shop, set={"a": None}))
    assert profile(shop, "ann") == {"b": 2}


def test_the_identity_is_no_property(client: Client, shop: Project) -> None:
    send(client, "/engage", update(shop, set={"$distinct_id": "bob", "a": 1}))
    assert people(shop) == {"ann": {"a": 1}}


@pytest.mark.parametrize(
    "record",
    [
        {"$set": 5},
        {"$set": ["a"]},
        {"$unset": "a"},
        {"$unset": [1]},
        {"$add": {"a": "1"}},
        {"$add": {"a": True}},
        {"$add": {"a": 1, "b": None}},
        {"$add": 1},
        {"$append": ["a"]},
        {"$union": {"a": "x"}},
        {"$union": {"a": None}},
        {"$remove": {"a": ["x"]}},
        {"$remove": {"a": {}}},
        {"$set": {"a": 1}, "$add": {"b": []}},
        {},
        {"$distinct_id": None, "$set": {}},
        {"$distinct_id": "undefined", "$set": {}},
        {"$distinct_id": ["a"], "$set": {}},
        {"$set": {"big": ["x" * 250] * 1100}},
        {"$set": {"deep": orjson.loads("[" * 40 + "]" * 40)}},
    ],
)
def test_a_malformed_update_is_refused_alone(client: Client, shop: Project, record: dict[str, Any]) -> None:
    bad = {"$token": shop.token, "$distinct_id": "ann", **record}
    assert send(client, "/engage", [bad, update(shop, distinct_id="bob", set={"a": 1})]) == (200, b"1")
    assert people(shop) == {"bob": {"a": 1}}
    assert sum(refused(shop).values()) == 1


def test_texts_are_cut_and_nul_is_stripped(client: Client, shop: Project) -> None:
    send(client, "/engage", update(shop, distinct_id="a\0nn", set={"n\0": "x\0" * 300, "list": ["y" * 300]}))
    assert people(shop) == {"ann": {"n": "x" * 255, "list": ["y" * 255]}}


def test_a_profile_holds_2000_properties_and_the_others_apply(client: Client, shop: Project) -> None:
    send(client, "/engage", update(shop, set={f"p{number}": number for number in range(1999)}))
    assert send(client, "/engage", update(shop, set={"p0": "changed", "new": 1, "one more": 1})) == (200, b"1")
    assert len(profile(shop, "ann")) == 2000
    assert profile(shop, "ann")["p0"] == "changed"
    assert refused(shop) == {"The profile has no room for another property": 1}


def test_last_seen_is_the_time_of_the_update_and_never_goes_back(client: Client, shop: Project) -> None:
    def last_seen() -> dt.datetime | None:
        return person(shop, "ann").profile_updated_at

    send(client, "/engage", {**update(shop, set={"a": 1}), "$ignore_time": "true"})
    assert last_seen() is None
    send(client, "/engage", {**update(shop, set={"a": 1}), "$time": 1_700_000_000_000})
    assert last_seen() == dt.datetime.fromtimestamp(1_700_000_000, dt.UTC)
    send(client, "/engage", {**update(shop, set={"a": 2}), "$time": 1_600_000_000})
    assert last_seen() == dt.datetime.fromtimestamp(1_700_000_000, dt.UTC)
    send(client, "/engage", {**update(shop, unset=["b"]), "$time": time.time() + 1_000_000})
    seen = last_seen()
    assert seen is not None
    assert abs(seen.timestamp() - time.time()) < 60
    send(client, "/engage", {**update(shop, set={"a": 3}), "$ignore_time": True})
    assert last_seen() == seen


def test_updates_of_several_projects_may_come_together(client: Client, shop: Project, simple_shop: Project) -> None:
    records = [update(shop, set={"a": 1}), update(simple_shop, set={"a": 2}), {"$token": "unknown"}]
    assert send(client, "/engage?verbose=1", records) == (200, b'{"error":null,"num_good_events":3,"status":1}')
    assert (people(shop), people(simple_shop)) == ({"ann": {"a": 1}}, {"ann": {"a": 2}})


def test_an_alias_addressed_literally_is_a_profile_of_its_own(client: Client, shop: Project) -> None:
    send(client, "/engage", update(shop, set={"$onesignal_user_id": "os-1", "a": 1}))
    literal = {"$ignore_alias": "true"}
    send(client, "/engage", {**update(shop, distinct_id="os-1", unset=["a"], delete=""), **literal})
    assert profile(shop, "os-1") == {"$onesignal_user_id": "os-1", "a": 1}
    for _ in range(2):
        send(client, "/engage", {**update(shop, distinct_id="os-1", set={"a": 2}), **literal})
    assert ids_of(shop, "ann") == ["ann", "os-1"]
    assert people(shop) == {"ann": {"$onesignal_user_id": "os-1", "a": 1}, "os-1": {"a": 2}}
    send(client, "/engage", {**update(shop, distinct_id="os-1", delete=""), **literal})
    assert people(shop) == {"ann": {"$onesignal_user_id": "os-1", "a": 1}, "os-1": {}}


def test_an_id_that_is_no_alias_means_the_same_literally(client: Client, shop: Project) -> None:
    for number in range(2):
        send(client, "/engage", {**update(shop, set={"a": number, "$onesignal_user_id": "K"}), "$ignore_alias": True})
    assert people(shop) == {"ann": {"a": 1, "$onesignal_user_id": "K"}}
    assert ids_of(shop, "K") == ["K", "ann"]
