"""Merging, ingesting and sweeping at the same time: no event is stranded on a merged-away person (laws.md, L2, L4)."""

from __future__ import annotations

import datetime as dt
import random
import threading
from collections.abc import Callable

import pytest
from django.db import connection, transaction

from cohorts.identity.redirects import sweep_redirects
from cohorts.ingest import apply_profile_updates, ingest_events
from cohorts.messages import Claim, CreateAlias, Identify, IncomingEvent, LinkDevice, MergeIds, ProfileUpdate, Set
from cohorts.models import DistinctId, Event, Person, Project, Redirect
from tests.cast import at, make_project
from tests.identity.world import counted, persons, sweep, sweep_to_the_end
from tests.ingest.crowd import run_at_once, wait_until_blocked
from tests.ingest.wire import keys, people, refused

pytestmark = pytest.mark.django_db(transaction=True)
NOW = at("2026-11-20T10:00:00")
DEVICE = "a-1-1-1-1"


def happened(distinct_id: str, insert_id: str, *, name: str = "Purchase", claim: Claim | None = None) -> IncomingEvent:
    return IncomingEvent(name, distinct_id, NOW, NOW, insert_id, {}, claim)


def buy(project: Project, distinct_id: str, insert_id: str) -> None:
    ingest_events(project=project, events=[happened(distinct_id, insert_id)], now=NOW)


def identify(project: Project, user: str = "ann", device: str = DEVICE, *, later: int = 0) -> None:
    events = [happened(user, f"{user}-{device}", name="$identify", claim=Identify(user, device))]
    ingest_events(project=project, events=events, now=NOW + dt.timedelta(seconds=later))


def merge(project: Project, first: str, second: str) -> None:
    claim = MergeIds(first, second, is_allowed=True)
    ingest_events(project=project, events=[happened(first, f"{first}-{second}", name="$merge", claim=claim)], now=NOW)


def in_background(work: Callable[[], object]) -> threading.Thread:
    """Return a started thread that does the work on a connection of its own."""

    def finish() -> None:
        try:
            work()
        finally:
            connection.close()

    thread = threading.Thread(target=finish)
    thread.start()
    return thread


def run_apart(work: Callable[[], object]) -> None:
    """Do the work to its end on a connection of its own."""
    in_background(work).join()


@pytest.fixture
def shop() -> Project:
    """Ann and a device that nobody knows to be hers, with an event each."""
    project = make_project()
    buy(project, "ann", "a1")
    buy(project, DEVICE, "d1")
    return project


def test_an_event_that_was_on_its_way_to_the_loser_counts_for_the_winner(shop: Project) -> None:
    # The request has read whose the device is, and waits to insert until another insert of the same event ends.
    with transaction.atomic():
        buy(shop, DEVICE, "late")
        ingesting = in_background(lambda: buy(shop, DEVICE, "late"))
        wait_until_blocked()
        run_apart(lambda: identify(shop))
        for _ in range(3):
            run_apart(sweep)
        transaction.set_rollback(True)
    ingesting.join()
    ann = Person.objects.get()
    assert Event.objects.get(insert_id="late").person_id != ann.pk
    assert counted(shop, 3, "Purchase") == {"ann"}
    # While the request ran the redirect could not be given up; now it can.
    assert Redirect.objects.get().swept_at is None
    sweep_to_the_end()
    assert set(Event.objects.values_list("person_id", flat=True)) == {ann.pk}
    assert counted(shop, 3, "Purchase") == {"ann"}


def test_an_event_that_is_stored_and_not_committed_counts_for_the_winner(shop: Project) -> None:
    with transaction.atomic():
        buy(shop, DEVICE, "late")
        run_apart(lambda: identify(shop))
        run_apart(sweep)
    assert counted(shop, 3, "Purchase") == {"ann"}
    sweep_to_the_end()
    assert counted(shop, 3, "Purchase") == {"ann"}


def test_an_event_that_comes_while_the_merge_is_not_committed_counts_for_the_winner(shop: Project) -> None:
    with transaction.atomic():
        identify(shop)
        run_apart(lambda: buy(shop, DEVICE, "late"))
        run_apart(sweep)
    assert counted(shop, 3, "Purchase") == {"ann"}
    sweep()
    assert counted(shop, 3, "Purchase") == {"ann"}


def test_an_event_of_a_request_begun_before_the_merge_was_committed_counts_for_the_winner(shop: Project) -> None:
    # The request's transaction has the younger id, and none that is younger has ended when the sweep looks.
    merged, may_commit = threading.Event(), threading.Event()

    def merge_slowly() -> None:
        with transaction.atomic():
            identify(shop)
            merged.set()
            may_commit.wait(10)

    merging = in_background(merge_slowly)
    merged.wait(10)
    with transaction.atomic():
        buy(shop, DEVICE, "late")
        may_commit.set()
        merging.join()
        for _ in range(3):
            run_apart(sweep)
    assert counted(shop, 3, "Purchase") == {"ann"}
    sweep_to_the_end()
    assert counted(shop, 3, "Purchase") == {"ann"}


def test_a_merge_waits_for_the_sweep_that_moves_events_to_its_loser(shop: Project) -> None:
    identify(shop, later=1)
    buy(shop, "bob", "b1")
    identify(shop, "bob", "b-2-2-2-2")
    with transaction.atomic():
        sweep_redirects(now=NOW, max_redirects=10, max_events=10)
        merging = in_background(lambda: merge(shop, "bob", "ann"))
        wait_until_blocked()
    merging.join()
    assert counted(shop, 3, "Purchase") == {"bob"}
    sweep()
    assert counted(shop, 3, "Purchase") == {"bob"}
    assert {each.winner_id for each in Redirect.objects.all()} == {Person.objects.get().pk}


def test_a_sweep_goes_on_where_a_dead_one_stopped(shop: Project) -> None:
    for number in range(7):
        buy(shop, DEVICE, f"more{number}")
    identify(shop)
    with transaction.atomic():
        sweep_redirects(now=NOW, max_redirects=10, max_events=3)
        transaction.set_rollback(True)
    assert sweep_redirects(now=NOW, max_redirects=10, max_events=3)
    assert counted(shop, 9, "Purchase") == {"ann"}
    sweep(max_events=3)
    assert set(Event.objects.values_list("person_id", flat=True)) == {Person.objects.get().pk}
    assert counted(shop, 9, "Purchase") == {"ann"}
    sweep_to_the_end()
    assert not sweep_redirects(now=NOW, max_redirects=10, max_events=3)


def test_a_sweep_that_finds_an_event_being_deleted_is_not_done(shop: Project) -> None:
    for number in range(3):
        buy(shop, DEVICE, f"more{number}")
    identify(shop)
    loser = Redirect.objects.get().loser_id
    sweep_redirects(now=NOW, max_redirects=10, max_events=1)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "DELETE FROM cohorts_event WHERE person_id = %s AND ctid ="
            " (SELECT min(ctid) FROM cohorts_event WHERE person_id = %s)",
            [loser, loser],
        )
        sweeping = in_background(lambda: sweep_redirects(now=NOW, max_redirects=10, max_events=2))
        wait_until_blocked()
    sweeping.join()
    assert Event.objects.filter(person_id=loser).exists()
    assert counted(shop, 4, "Purchase") == {"ann"}


def test_a_profile_update_follows_its_id_through_a_merge(shop: Project) -> None:
    device = Person.objects.get(distinct_id=DEVICE)
    updates = [ProfileUpdate(position=0, distinct_id=DEVICE, operations=(Set({"a": 1}),), updated_at=NOW)]
    with transaction.atomic():
        Person.objects.select_for_update(no_key=True).get(pk=device.pk)
        updating = in_background(lambda: apply_profile_updates(project=shop, updates=updates, now=NOW))
        wait_until_blocked()
        identify(shop)
    updating.join()
    assert people(shop) == {"ann": {"a": 1}}


def test_a_merge_does_not_wait_in_a_ring_with_a_request_that_gives_its_loser_an_id(shop: Project) -> None:
    device = Person.objects.get(distinct_id=DEVICE)
    with transaction.atomic(), connection.cursor() as cursor:
        DistinctId.objects.bulk_create([DistinctId(project=shop, distinct_id="K", person=device, created_at=NOW)])
        merging = in_background(lambda: identify(shop))
        wait_until_blocked()
        # What a profile update does next; in less time than PostgreSQL takes to look for deadlocks.
        cursor.execute("SET LOCAL lock_timeout = '300ms'")
        Person.objects.select_for_update(no_key=True).get(pk=device.pk)
    merging.join()
    assert persons(shop) == {"ann": {"ann", DEVICE, "K"}}


def test_two_updates_at_once_do_not_give_a_person_more_than_500_ids() -> None:
    shop = make_project()
    claims = [happened("ann", f"a{number}", claim=CreateAlias("ann", f"x{number}")) for number in range(498)]
    ingest_events(project=shop, events=claims, now=NOW)

    def take(key: str) -> None:
        operations = (Set({"$onesignal_user_id": key}),)
        updates = [ProfileUpdate(position=0, distinct_id="ann", operations=operations, updated_at=NOW)]
        apply_profile_updates(project=shop, updates=updates, now=NOW)

    with transaction.atomic():
        take("K1")
        taking = in_background(lambda: take("K2"))
        wait_until_blocked()
    taking.join()
    assert len(persons(shop)["ann"]) == 500
    assert people(shop) == {"ann": {"$onesignal_user_id": "K2"}}
    assert refused(shop) == {"errManyIDs": 1}


def test_two_users_who_claim_a_device_at_once_do_not_share_it() -> None:
    shop = make_project()
    run_at_once([lambda user=f"u{number}": identify(shop, user) for number in range(6)])  # type: ignore[misc]
    sizes = sorted(len(ids) for ids in persons(shop).values())
    assert sizes == [1, 1, 1, 1, 1, 2]


def test_two_users_who_log_in_on_a_device_at_once_do_not_share_it() -> None:
    shop = make_project(id_merge="simplified")
    buy(shop, "$device:d", "d1")

    def log_in(user: str) -> None:
        ingest_events(project=shop, events=[happened(user, user, claim=LinkDevice(user, "$device:d"))], now=NOW)

    run_at_once([lambda user=f"u{number}": log_in(user) for number in range(6)])  # type: ignore[misc]
    assert sorted(len(ids) for ids in persons(shop).values()) == [1, 1, 1, 1, 1, 2]
    assert len(counted(shop, 2, "Purchase")) == 1


def test_ten_clients_with_shuffled_overlapping_batches_and_merges_equal_the_model() -> None:
    shop = make_project()
    users = 25
    events = [
        happened(each, f"{each}-{number}")
        for user in range(users)
        for number, each in enumerate([f"u{user}", f"a-{user}-1-1-1", f"a-{user}-2-2-2", f"mail{user}"])
    ]
    claims = [
        happened(
            f"u{user}",
            f"u{user}-{number}",
            name="$identify",
            claim=Identify(f"u{user}", f"a-{user}-{number}-{number}-{number}"),
        )
        for user in range(users)
        for number in (1, 2)
    ]
    merges = [
        happened(f"u{user}", f"m{user}", name="$merge", claim=MergeIds(f"u{user}", f"mail{user}", is_allowed=True))
        for user in range(users)
    ]
    updates = [
        ProfileUpdate(position=0, distinct_id=each, operations=(operation,), updated_at=NOW)
        for user in range(users)
        for each, operation in [
            (f"u{user}", Set({"$onesignal_user_id": f"K{user}"})),
            (f"a-{user}-1-1-1", Set({"device": 1})),
            (f"mail{user}", Set({"mail": user})),
        ]
    ]

    def client(number: int) -> Callable[[], None]:
        chance = random.Random(number)

        def send_all() -> None:
            for _ in range(6):
                ingest_events(project=shop, events=chance.sample([*events, *claims, *merges], 60), now=NOW)
                apply_profile_updates(project=shop, updates=chance.sample(updates, 20), now=NOW)
                if number == 0:
                    sweep(max_events=20)

        return send_all

    run_at_once([client(number) for number in range(10)])
    # Whatever the samples left out.
    ingest_events(project=shop, events=[*events, *claims, *merges], now=NOW)
    apply_profile_updates(project=shop, updates=updates, now=NOW)
    assert {frozenset(ids) for ids in persons(shop).values()} == {
        frozenset({f"u{user}", f"a-{user}-1-1-1", f"a-{user}-2-2-2", f"mail{user}", f"K{user}"})
        for user in range(users)
    }
    everybody = {f"u{user}" for user in range(users)}
    assert counted(shop, 4, "Purchase") == everybody
    sweep()
    assert counted(shop, 4, "Purchase") == everybody
    assert people(shop) == {
        f"u{user}": {"$onesignal_user_id": f"K{user}", "device": 1, "mail": user} for user in range(users)
    }
    assert keys(shop) == {f"u{user}": f"K{user}" for user in range(users)}
    assert Event.objects.count() == len(events) + len(claims) + len(merges)


def test_clients_that_alias_in_a_ring_neither_hang_nor_fail() -> None:
    shop = make_project()

    def client(number: int) -> Callable[[], None]:
        def send_all() -> None:
            for step in range(8):
                one, other = f"r{(number + step) % 8}", f"r{(number + step + 1) % 8}"
                claim = CreateAlias(one, other) if number % 2 else MergeIds(one, other, is_allowed=True)
                ingest_events(project=shop, events=[happened(one, f"{number}-{step}", claim=claim)], now=NOW)

        return send_all

    run_at_once([client(number) for number in range(8)])
    assert list(persons(shop).values()) == [{f"r{number}" for number in range(8)}]
