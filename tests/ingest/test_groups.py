"""Sending group profiles to `/groups`: operations, refusals, answers, and several clients at once."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from django.test import Client

from cohorts.ingest import apply_group_updates
from cohorts.messages import GroupUpdate, Set, Union
from cohorts.models import GroupProfile, Person, Project
from tests.cast import at, make_project
from tests.ingest.crowd import run_at_once
from tests.ingest.wire import group_update, groups, refused, send

ACME = ("company", "acme")
NOW = at("2026-11-20T10:00:00")


@pytest.mark.parametrize("path", ["/groups", "/groups/"])
def test_a_group_profile_is_stored_and_makes_no_person(client: Client, shop: Project, path: str) -> None:
    assert send(client, path, group_update(shop, set={"plan": "pro", "seats": 5})) == (200, b"1")
    assert groups(shop) == {ACME: {"plan": "pro", "seats": 5}}
    assert not Person.objects.exists()


def test_the_answers_are_mixpanels_to_the_byte(client: Client, shop: Project) -> None:
    good, bad = group_update(shop, set={"a": 1}), {"$token": shop.token, "$set": {}}
    assert send(client, "/groups?verbose=1", [good, bad, good]) == (
        200,
        b'{"error":null,"num_good_events":2,"status":1}',
    )
    assert send(client, "/groups", bad) == (200, b"0")
    status, answer = send(client, "/groups?strict=1", [good, bad])
    failed = orjson.loads(answer)["failed_records"]
    assert (status, failed[0]["index"], failed[0]["field"]) == (400, 1, "$group_key")


def test_the_operations_of_groups_apply_in_order(client: Client, shop: Project) -> None:
    send(
        client,
        "/groups",
        [
            group_update(shop, set={"a": 1, "list": ["x"], "gone": 1}),
            group_update(shop, set_once={"a": 2, "b": 2}),
            group_update(shop, union={"list": ["x", "y"]}, remove={"list": "x"}),
            group_update(shop, unset=["gone"]),
        ],
    )
    assert groups(shop) == {ACME: {"a": 1, "b": 2, "list": ["y"]}}


@pytest.mark.parametrize("value", ["", None, {}, "null"])
def test_a_deleted_group_profile_is_gone_and_may_come_again(client: Client, shop: Project, value: object) -> None:
    send(client, "/groups", [group_update(shop, set={"a": 1}), group_update(shop, "other", set={"a": 1})])
    send(client, "/groups", group_update(shop, delete=value))
    assert groups(shop) == {("company", "other"): {"a": 1}}
    send(client, "/groups", [group_update(shop, delete=value), group_update(shop, set={"b": 1})])
    assert groups(shop)[ACME] == {"b": 1}
    send(client, "/groups", [group_update(shop, delete=value), group_update(shop, set={"c": 1})])
    assert groups(shop)[ACME] == {"c": 1}


def test_only_what_sets_makes_a_group_profile(client: Client, shop: Project) -> None:
    records = [group_update(shop, unset=["a"]), group_update(shop, remove={"a": 1}), group_update(shop, delete="")]
    assert send(client, "/groups", records) == (200, b"1")
    assert not GroupProfile.objects.exists()


@pytest.mark.parametrize(
    "record",
    [
        {"$group_key": ""},
        {"$group_key": 5},
        {"$group_key": None},
        {"$group_id": None},
        {"$group_id": ""},
        {"$group_id": ["x"]},
        {"$set": 5},
        {"$add": {"a": 1}},
        {"$append": {"a": 1}},
        {"$set": {"a": 1}, "$append": {"a": 1}},
    ],
)
def test_a_malformed_update_of_a_group_is_refused_alone(client: Client, shop: Project, record: dict[str, Any]) -> None:
    bad = {**group_update(shop), **record}
    assert send(client, "/groups", [bad, group_update(shop, "good", set={"a": 1})]) == (200, b"1")
    assert groups(shop) == {("company", "good"): {"a": 1}}
    assert sum(refused(shop).values()) == 1


def test_an_operation_of_persons_only_is_refused_in_words(client: Client, shop: Project) -> None:
    status, answer = send(client, "/groups?verbose=1", group_update(shop, add={"a": 1}))
    assert (status, orjson.loads(answer)["error"]) == (
        200,
        "'$add' is no operation on group profiles: use one of $set, $set_once, $union, $remove, $unset, $delete",
    )


def test_an_update_that_does_not_fit_the_group_is_ignored_with_its_reason(client: Client, shop: Project) -> None:
    send(client, "/groups", group_update(shop, set={"a": 1}))
    assert send(client, "/groups", group_update(shop, union={"a": [1]})) == (200, b"0")
    assert groups(shop) == {ACME: {"a": 1}}
    assert refused(shop) == {"The operation does not fit the value that the property has": 1}


def test_a_numeric_id_is_a_text_and_keys_keep_ids_apart(client: Client, shop: Project) -> None:
    for group_key, group_id in (("company", 12), ("company", "12"), ("team", "12")):
        send(
            client,
            "/groups",
            {**group_update(shop, set={group_key: 1}), "$group_key": group_key, "$group_id": group_id},
        )
    assert groups(shop) == {("company", "12"): {"company": 1}, ("team", "12"): {"team": 1}}


def test_awkward_characters_survive_in_keys_and_ids(client: Client, shop: Project) -> None:
    awkward = "a\"b\\c\n\t{}',%s\u2028\x01🙂NULL"
    for amount in (1, 2):
        send(client, "/groups", {**group_update(shop, awkward, set={"n": amount}), "$group_key": awkward})
    assert groups(shop) == {(awkward, awkward): {"n": 2}}


def test_groups_of_several_projects_may_come_together(client: Client, shop: Project, simple_shop: Project) -> None:
    records = [group_update(shop, set={"a": 1}), group_update(simple_shop, set={"a": 2}), {"$token": "unknown"}]
    assert send(client, "/groups?verbose=1", records) == (200, b'{"error":null,"num_good_events":3,"status":1}')
    assert (groups(shop), groups(simple_shop)) == ({ACME: {"a": 1}}, {ACME: {"a": 2}})


def test_a_deleted_project_takes_its_groups_along(client: Client, shop: Project) -> None:
    send(client, "/groups", group_update(shop, set={"a": 1}))
    shop.delete()
    assert not GroupProfile.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_many_clients_at_once_lose_no_update_and_make_each_group_once() -> None:
    shop = make_project()
    ids = [f"g{number}" for number in range(30)]

    def client(number: int) -> Callable[[], None]:
        def send_all() -> None:
            chance = random.Random(number)
            for turn in range(6):
                operations = (Set({f"by{number}": turn}), Union({"all": [f"{number}-{turn}"]}))
                updates = [
                    GroupUpdate(
                        position,
                        "company",
                        each,
                        operations,
                        NOW,
                    )
                    for position, each in enumerate(chance.sample(ids, len(ids)))
                ]
                apply_group_updates(project=shop, updates=updates, now=NOW)

        return send_all

    run_at_once([client(number) for number in range(8)])
    stored = groups(shop)
    assert set(stored) == {("company", each) for each in ids}
    for properties in stored.values():
        assert {properties[f"by{number}"] for number in range(8)} == {5}
        assert sorted(properties["all"]) == sorted(f"{number}-{turn}" for number in range(8) for turn in range(6))
