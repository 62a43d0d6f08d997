"""Many clients at once: every record once, every id one person, whatever the order (laws.md, L4)."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable

import pytest
from django.db import connection, transaction

from cohorts.identity import persons_of
from cohorts.ingest import ProjectGone, apply_profile_updates, ingest_events
from cohorts.messages import IncomingEvent, ProfileUpdate, Set, SetOnce
from cohorts.models import DistinctId, Event, Person, PersonKey, Project
from cohorts.transactions import Overtaken, in_one_transaction
from tests.cast import at, make_project
from tests.ingest.crowd import run_at_once, wait_until_blocked
from tests.ingest.wire import ids_of, keys, people, profile

pytestmark = pytest.mark.django_db(transaction=True)
NOW = at("2026-11-20T10:00:00")
ALIAS = "$onesignal_user_id"


def doing(distinct_id: str, *operations: Set | SetOnce, position: int = 0) -> ProfileUpdate:
    return ProfileUpdate(position=position, distinct_id=distinct_id, operations=operations, updated_at=NOW)


def in_background(work: Callable[[], object]) -> threading.Thread:
    """Return a thread, not started, that does the work on a connection of its own."""

    def finish() -> None:
        try:
            work()
        finally:
            connection.close()

    return threading.Thread(target=finish)


def test_overlapping_batches_from_ten_clients_equal_the_model() -> None:
    shop = make_project()
    ids = [f"u{number}" for number in range(60)]

    def client(number: int) -> Callable[[], None]:
        chance = random.Random(number)

        def send_all() -> None:
            for turn in range(8):
                batch = chance.sample(ids, 30)
                ingest_events(
                    project=shop,
                    events=[IncomingEvent("E", each, NOW, NOW, f"{each}-{turn}", {"turn": turn}) for each in batch],
                    now=NOW,
                )
                updates = [
                    doing(
                        each if chance.random() < 0.5 else f"alias-{each}",
                        Set({f"by{number}": turn}),
                        position=position,
                    )
                    for position, each in enumerate(chance.sample(ids, 20))
                ]
                apply_profile_updates(project=shop, updates=updates, now=NOW)

        return send_all

    # The persons' aliases exist before anybody uses them, so that the model needs no order.
    apply_profile_updates(
        project=shop,
        updates=[doing(each, Set({ALIAS: f"alias-{each}"}), position=n) for n, each in enumerate(ids)],
        now=NOW,
    )
    run_at_once([client(number) for number in range(10)])

    events: dict[str, set[str]] = {each: set() for each in ids}
    profiles: dict[str, dict[str, object]] = {each: {ALIAS: f"alias-{each}"} for each in ids}
    for number in range(10):
        chance = random.Random(number)
        for turn in range(8):
            for each in chance.sample(ids, 30):
                events[each].add(f"{each}-{turn}")
            for each in chance.sample(ids, 20):
                chance.random()
                profiles[each][f"by{number}"] = turn
    assert people(shop) == profiles
    assert keys(shop) == {each: f"alias-{each}" for each in ids}
    persons = dict(DistinctId.objects.filter(project=shop).values_list("distinct_id", "person_id"))
    assert len(persons) == 120
    assert all(persons[each] == persons[f"alias-{each}"] for each in ids)
    rows = Event.objects.filter(project=shop).values_list("person_id", "insert_id")
    assert sorted(rows) == sorted((persons[each], insert_id) for each in ids for insert_id in events[each])


def test_clients_that_bring_the_same_new_ids_make_one_person_each() -> None:
    shop = make_project()

    def client(number: int) -> Callable[[], None]:
        chance = random.Random(number)

        def send_all() -> None:
            for part in range(5):
                ids = [f"u{part * 20 + each}" for each in range(20)]
                chance.shuffle(ids)
                if number % 2:
                    events = [IncomingEvent("E", each, NOW, NOW, f"{number}-{each}", {}) for each in ids]
                    ingest_events(project=shop, events=events, now=NOW)
                else:
                    updates = [
                        doing(each, Set({f"by{number}": 1}), SetOnce({"first": number}), position=position)
                        for position, each in enumerate(ids)
                    ]
                    apply_profile_updates(project=shop, updates=updates, now=NOW)

        return send_all

    run_at_once([client(number) for number in range(8)])
    assert Person.objects.filter(project=shop).count() == 100
    assert DistinctId.objects.filter(project=shop).count() == 100
    for properties in people(shop).values():
        assert properties.keys() == {"by0", "by2", "by4", "by6", "first"}
    assert Event.objects.filter(project=shop, person_id=None).count() == 0


def test_clients_that_bring_the_same_new_aliases_make_each_once() -> None:
    shop = make_project()

    def client(number: int) -> Callable[[], None]:
        def send_all() -> None:
            updates = [
                doing(f"u{(each * 7 + number) % 40}", Set({ALIAS: f"K{(each * 7 + number) % 40}"}), position=each)
                for each in range(40)
            ]
            apply_profile_updates(project=shop, updates=updates, now=NOW)

        return send_all

    run_at_once([client(number) for number in range(8)])
    assert Person.objects.filter(project=shop).count() == 40
    assert all(ids_of(shop, f"u{number}") == [f"K{number}", f"u{number}"] for number in range(40))
    assert PersonKey.objects.filter(project=shop).count() == 40


def test_an_update_follows_its_id_to_the_person_it_moved_to() -> None:
    shop = make_project()
    apply_profile_updates(project=shop, updates=[doing("ann", Set({"a": 1})), doing("bob", Set({"b": 1}))], now=NOW)
    ann, bob = (DistinctId.objects.get(distinct_id=each).person_id for each in ("ann", "bob"))
    updating = in_background(
        lambda: apply_profile_updates(project=shop, updates=[doing("ann", Set({"c": 1}))], now=NOW)
    )
    with transaction.atomic():
        Person.objects.select_for_update().get(pk=ann)
        updating.start()
        wait_until_blocked()
        DistinctId.objects.filter(distinct_id="ann").update(person_id=bob)
    updating.join()
    assert people(shop) == {"ann": {"a": 1}, "bob": {"b": 1, "c": 1}}


def test_an_alias_that_hangs_on_a_set_once_is_decided_under_the_lock() -> None:
    shop = make_project()
    apply_profile_updates(project=shop, updates=[doing("ann", Set({"a": 1}))], now=NOW)
    updating = in_background(
        lambda: apply_profile_updates(project=shop, updates=[doing("ann", SetOnce({ALIAS: "K"}))], now=NOW)
    )
    with transaction.atomic():
        person = Person.objects.select_for_update().get(project=shop)
        updating.start()
        wait_until_blocked()
        Person.objects.filter(pk=person.pk).update(properties={ALIAS: "other"})
    updating.join()
    assert profile(shop, "ann") == {ALIAS: "other"}
    assert ids_of(shop, "ann") == ["ann"]


def test_a_deadlock_repeats_the_request() -> None:
    shop = make_project()
    updates = [doing("ann", Set({"a": 1})), doing("bob", Set({"b": 1}))]
    apply_profile_updates(project=shop, updates=updates, now=NOW)
    ann, bob = (DistinctId.objects.get(distinct_id=each).person_id for each in ("ann", "bob"))
    again = [doing("ann", Set({"a": 2})), doing("bob", Set({"b": 2}))]
    updating = in_background(lambda: apply_profile_updates(project=shop, updates=again, now=NOW))
    with transaction.atomic(), connection.cursor() as cursor:
        # Against the order of the law, and patient, so that the request is the one to be broken off.
        cursor.execute("SET LOCAL deadlock_timeout = '20s'")
        Person.objects.select_for_update().get(pk=bob)
        updating.start()
        wait_until_blocked()
        Person.objects.select_for_update().get(pk=ann)
    updating.join()
    assert people(shop) == {"ann": {"a": 2}, "bob": {"b": 2}}


def test_being_overtaken_for_ever_ends_in_an_error() -> None:
    attempts = []

    def work() -> None:
        attempts.append(1)
        raise Overtaken

    with pytest.raises(Overtaken):
        in_one_transaction(work)
    assert len(attempts) == 21


def test_a_deleted_project_takes_nothing() -> None:
    shop = make_project()
    gone = Project(pk=shop.pk)
    shop.delete()
    with pytest.raises(ProjectGone):
        ingest_events(project=gone, events=[IncomingEvent("E", "ann", NOW, NOW, "i", {})], now=NOW)
    with pytest.raises(ProjectGone):
        apply_profile_updates(project=gone, updates=[doing("ann", Set({}))], now=NOW)
    assert not Event.objects.exists()


def test_a_project_is_not_deleted_under_a_request() -> None:
    shop = make_project()
    deleting = in_background(shop.delete)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT FROM cohorts_project WHERE id = %s FOR KEY SHARE", [shop.pk])
        persons_of(cursor, project_id=shop.pk, distinct_ids={"ann"}, now=NOW)
        deleting.start()
        wait_until_blocked()
    deleting.join()
    assert not Person.objects.exists()
