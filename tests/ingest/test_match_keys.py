"""Match keys: which value names a person over there, kept right as profiles change (laws.md, L4 to L6)."""

from __future__ import annotations

import threading
from functools import partial
from typing import Any

import pytest
from django.db import connection, transaction
from django.test import Client
from django.utils import timezone
from kombu.exceptions import OperationalError as BrokerError

from cohorts.ingest import apply_profile_updates
from cohorts.match_keys import (
    DEFAULT_MATCH_PROPERTY,
    KeyValue,
    add_match_property,
    backfill,
    ensure_default_match_property,
    key_value_of,
)
from cohorts.messages import ProfileUpdate, Set, Unset
from cohorts.models import MatchKey, MatchProperty, Person, PersonKey, Project
from cohorts.tasks import backfill_match_property, request_backfill, resume_backfills
from cohorts.transactions import hold_project
from tests.cast import make_people, make_project, shoppers
from tests.ingest.crowd import run_at_once, wait_until_blocked
from tests.ingest.wire import keys, send, update


@pytest.mark.parametrize("value", [None, "", "\0"])
def test_an_empty_value_is_no_value(value: Any) -> None:
    assert key_value_of(value) == KeyValue()


@pytest.mark.parametrize("value", ["a", " ", "a/b c?#%", "🙂", "x" * 128, "null", "00", "...", "a\0b"])
def test_any_other_text_is_an_id(value: str) -> None:
    assert key_value_of(value) == KeyValue(value=value.replace("\0", ""))


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (5, "The id is not a string."),
        (True, "The id is not a string."),
        (["a"], "The id is not a string."),
        ({}, "The id is not a string."),
        ("x" * 129, "The id is longer than 128 characters."),
        *[
            (reserved, f"The id {reserved} is reserved and names nobody.")
            for reserved in (".", "..", "NA", "NULL", "0", "1", "-1", "all", "00000000-0000-0000-0000-000000000000")
        ],
    ],
)
def test_what_is_no_id_says_why(value: Any, reason: str) -> None:
    assert key_value_of(value) == KeyValue(invalid_reason=reason)


def test_keys_follow_the_profiles(client: Client, shop: Project) -> None:
    def engage(distinct_id: str, **operations: Any) -> dict[str, str | None]:
        send(client, "/engage", update(shop, distinct_id, **operations))
        return keys(shop)

    assert engage("ann", set={"$onesignal_user_id": "K1"}) == {"ann": "K1"}
    assert engage("bob", set={"$onesignal_user_id": "K1"}) == {"ann": "K1", "bob": "K1"}
    assert engage("ann", set={"$onesignal_user_id": "K2"}) == {"ann": "K2", "bob": "K1"}
    assert engage("ann", set={"$onesignal_user_id": "x" * 200}) == {"ann": None, "bob": "K1"}
    assert engage("ann", set={"$onesignal_user_id": ""}) == {"bob": "K1"}
    assert engage("ann", set={"$onesignal_user_id": "K1"}) == {"ann": "K1", "bob": "K1"}
    assert engage("ann", unset=["$onesignal_user_id"]) == {"bob": "K1"}
    assert engage("bob", delete="") == {}
    assert set(MatchKey.objects.values_list("value", flat=True)) == {"K1", "K2"}


def test_a_value_too_long_for_an_index_harms_nobody(client: Client, shop: Project) -> None:
    records = [
        update(shop, "ann", set={"$onesignal_user_id": {"id": "x" * 6000}}),
        update(shop, "bob", set={"$onesignal_user_id": "x" * 6000}),
        update(shop, "cy", set={"$onesignal_user_id": "K"}),
    ]
    assert send(client, "/engage", records) == (200, b"1")
    assert keys(shop) == {"ann": None, "bob": None, "cy": "K"}


def test_setting_known_values_again_draws_no_ids(client: Client, simple_shop: Project) -> None:
    def records(shift: int) -> list[dict[str, Any]]:
        return [
            update(simple_shop, f"u{number}", set={"$onesignal_user_id": f"K{(number + shift) % 200}"})
            for number in range(200)
        ]

    send(client, "/engage", records(0))

    def drawn() -> list[int]:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT last_value FROM cohorts_matchkey_id_seq"
                " UNION ALL SELECT last_value FROM cohorts_personkey_id_seq"
                " UNION ALL SELECT last_value FROM cohorts_person_id_seq"
                " UNION ALL SELECT last_value FROM cohorts_distinctid_id_seq"
            )
            return [row[0] for row in cursor.fetchall()]

    before = drawn()
    for shift in (0, 1, 2, 3, 3, 50, 50, 51, 0, 0):
        send(client, "/engage", records(shift))
    assert drawn() == before
    assert keys(simple_shop) == {f"u{number}": f"K{number}" for number in range(200)}


def test_a_new_project_has_its_match_property_complete_from_the_start(db: None) -> None:
    project = Project.objects.create(name="New")
    match_property = ensure_default_match_property(project)
    assert match_property.name == DEFAULT_MATCH_PROPERTY == "$onesignal_user_id"
    assert match_property.completed_at is not None
    assert ensure_default_match_property(project).pk == match_property.pk


def test_a_project_with_persons_has_to_backfill_its_default(shop: Project) -> None:
    make_people(shop, {"ann": {"$onesignal_user_id": "K"}})
    PersonKey.objects.all().delete()
    MatchKey.objects.all().delete()
    MatchProperty.objects.all().delete()
    match_property = ensure_default_match_property(shop)
    assert match_property.completed_at is None
    backfill_match_property(match_property_id=match_property.pk)
    assert keys(shop) == {"ann": "K"}


def test_adding_a_match_property_twice_gives_the_same_one(shop: Project) -> None:
    assert add_match_property(project=shop, name="crm_id") == add_match_property(project=shop, name="crm_id")


def test_a_backfill_goes_on_where_it_stopped(shop: Project) -> None:
    make_people(shop, {f"u{number}": {"crm_id": f"C{number}"} for number in range(10)} | shoppers(["without"]))
    match_property = add_match_property(project=shop, name="crm_id")
    now = timezone.now()
    assert backfill(match_property=match_property, batch_size=4, now=now) is False
    match_property.refresh_from_db()
    assert match_property.completed_at is None
    assert match_property.backfilled_to == sorted(Person.objects.values_list("pk", flat=True))[3]
    assert backfill(match_property=match_property, batch_size=4, now=now) is False
    assert backfill(match_property=match_property, batch_size=4, now=now) is True
    assert backfill(match_property=match_property, batch_size=4, now=now) is True
    match_property.refresh_from_db()
    assert match_property.completed_at == now
    assert PersonKey.objects.filter(match_property=match_property).count() == 10


def test_a_backfill_whose_message_was_lost_is_asked_for_again(shop: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    def deliver(*, kwargs: dict[str, int], **_: object) -> None:
        backfill_match_property(**kwargs)

    monkeypatch.setattr(backfill_match_property, "apply_async", deliver)
    make_people(shop, {"ann": {"crm_id": "C"}})
    match_property = add_match_property(project=shop, name="crm_id")
    resume_backfills()
    match_property.refresh_from_db()
    assert match_property.completed_at is not None
    assert MatchKey.objects.get(match_property=match_property).value == "C"


def test_without_a_broker_the_request_for_a_backfill_is_only_late(
    shop: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(**_: object) -> None:
        raise BrokerError("connection refused")

    monkeypatch.setattr(backfill_match_property, "apply_async", unreachable)
    request_backfill(add_match_property(project=shop, name="crm_id").pk)


def test_a_backfill_of_a_deleted_project_does_nothing(db: None) -> None:
    backfill_match_property(match_property_id=12345)


def test_profiles_written_from_then_on_have_both_keys(client: Client, shop: Project) -> None:
    match_property = add_match_property(project=shop, name="crm_id")
    send(client, "/engage", update(shop, "ann", set={"crm_id": "C", "$onesignal_user_id": "K"}))
    send(client, "/engage", update(shop, "ann", set={"crm_id": 5}))
    rows = PersonKey.objects.filter(project=shop).order_by("match_property_id")
    assert [(row.match_property.name, row.invalid_reason) for row in rows] == [
        ("$onesignal_user_id", None),
        ("crm_id", "The id is not a string."),
    ]
    assert MatchKey.objects.filter(match_property=match_property).get().value == "C"


@pytest.mark.django_db(transaction=True)
def test_adding_a_match_property_waits_for_writers_that_have_not_seen_it() -> None:
    shop = make_project()

    def add() -> None:
        add_match_property(project=shop, name="crm_id")
        connection.close()

    adding = threading.Thread(target=add)
    with transaction.atomic(), connection.cursor() as cursor:
        hold_project(cursor, project_id=shop.pk, is_writing_keys=True)
        adding.start()
        wait_until_blocked()
        assert not MatchProperty.objects.filter(name="crm_id").exists()
    adding.join()
    assert MatchProperty.objects.filter(name="crm_id").exists()


@pytest.mark.django_db(transaction=True)
def test_a_match_property_added_under_load_is_complete() -> None:
    shop = make_project()
    make_people(shop, {f"u{number}": {"crm_id": f"old{number}"} for number in range(300)})
    is_done = threading.Event()

    def write(worker: int) -> None:
        turn = 0
        while not is_done.is_set() or turn < 3:
            updates = [
                ProfileUpdate(
                    position=number,
                    distinct_id=f"u{(number * 7 + worker + turn) % 400}",
                    operations=(
                        Unset(("crm_id",))
                        if (number + turn) % 5 == 0
                        else Set({"crm_id": f"{worker}-{turn}-{number}"}),
                    ),
                    updated_at=timezone.now(),
                )
                for number in range(40)
            ]
            apply_profile_updates(project=shop, updates=updates, now=timezone.now())
            turn += 1

    def add() -> None:
        match_property = add_match_property(project=shop, name="crm_id")
        while not backfill(match_property=match_property, batch_size=25, now=timezone.now()):
            pass
        is_done.set()

    run_at_once([add, *[partial(write, worker) for worker in range(4)]])
    match_property = MatchProperty.objects.get(name="crm_id")
    held = {
        row.person_id: row.match_key.value
        for row in PersonKey.objects.filter(match_property=match_property).select_related("match_key")
        if row.match_key is not None
    }
    recount = {
        pk: properties["crm_id"]
        for pk, properties in Person.objects.filter(project=shop).values_list("pk", "properties")
        if "crm_id" in properties
    }
    assert held == recount
    assert recount
