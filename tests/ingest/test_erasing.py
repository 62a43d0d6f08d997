"""Erasing persons: nothing of theirs is seen from the answer on, all of it goes, nobody else loses anything (L8)."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from cohorts.arrivals import arrivals
from cohorts.definition import parse_definition
from cohorts.erasing import erase_persons
from cohorts.erasing.events import sweep_events
from cohorts.erasing.keys import bury_keys, due_keys
from cohorts.erasing.progress import is_complete
from cohorts.erasing.samples import holds
from cohorts.ingest import apply_profile_updates, ingest_events
from cohorts.messages import IncomingEvent, MergeIds, ProfileUpdate, Set
from cohorts.models import (
    DistinctId,
    ErasedKey,
    ErasedPerson,
    Erasure,
    Event,
    MatchKey,
    MatchProperty,
    Person,
    PersonKey,
    Project,
    Redirect,
    Refusal,
)
from cohorts.refusals import Reason, RefusedRecord, sample_of
from cohorts.resolve import resolve, snapshot
from tests.cast import MATCH_PROPERTY, at, make_project
from tests.ingest.crowd import run_at_once, wait_until_blocked
from tests.ingest.test_concurrency import in_background
from tests.ingest.wire import keys, people, stored

pytestmark = pytest.mark.django_db(transaction=True)
NOW = at("2026-11-20T10:00:00")


@pytest.fixture
def shop() -> Project:
    return make_project("Shop")


def erase(project: Project, *distinct_ids: str) -> Erasure:
    return erase_persons(
        project=project, distinct_ids=distinct_ids, requested_by="dpo", compliance_type="GDPR", now=timezone.now()
    )


def sweep_to_the_end() -> None:
    """Sweep until no erased person is left.

    The transactions of all databases of the server count, so the test that another process of this run is at work on
    has to end first.
    """
    deadline = time.monotonic() + 90
    while ErasedPerson.objects.exists():
        assert time.monotonic() < deadline, "A transaction somewhere on the server keeps the events from being swept."
        sweep()


def sweep(batch_size: int = 5000) -> int:
    events = 0
    while (swept := sweep_events(batch_size=batch_size)).events or swept.persons:
        events += swept.events
    return events


def setting(distinct_id: str, *, is_literal: Any = False, **properties: Any) -> ProfileUpdate:
    return ProfileUpdate(0, distinct_id, (Set(properties),), NOW, is_literal)


def apply(project: Project, *updates: ProfileUpdate) -> None:
    apply_profile_updates(project=project, updates=updates, now=NOW)


def happened(project: Project, distinct_id: str, *insert_ids: str, name: str = "Purchase") -> None:
    ingest_events(
        project=project,
        events=[IncomingEvent(name, distinct_id, NOW, NOW, insert_id, {"of": distinct_id}) for insert_id in insert_ids],
        now=NOW,
    )


def buyers(project: Project) -> int:
    condition = {"kind": "event", "event": "Purchase", "did": True, "window": {"type": "all_time"}}
    definition = {"match": "all", "groups": [{"match": "all", "conditions": [condition]}]}
    with snapshot() as as_of:
        return resolve(
            project=project,
            definition=parse_definition(definition),
            match_property=MatchProperty.objects.get(project=project),
            as_of=as_of,
        ).coverage.members


def test_a_person_goes_with_all_ids_profiles_keys_and_events_and_the_neighbour_stays(shop: Project) -> None:
    apply(
        shop, setting("ann", **{MATCH_PROPERTY: "ann@push", "name": "Ann"}), setting("bob", **{MATCH_PROPERTY: "bob"})
    )
    apply(shop, setting("ann@push", is_literal=True, note="written to the alias itself"))
    happened(shop, "ann", "1", "2")
    happened(shop, "ann@push", "3")
    happened(shop, "bob", "1")
    assert Person.objects.filter(project=shop).count() == 3
    erasure = erase(shop, "ann@push")
    # Before anything is swept:
    assert people(shop) == {"bob": {MATCH_PROPERTY: "bob"}}
    assert buyers(shop) == 1
    assert keys(shop) == {"bob": "bob"}
    assert [event.distinct_id for event in Event.objects.visible().filter(project=shop)] == ["bob"]
    assert sweep() == 3
    assert [event.distinct_id for event in stored(shop)] == ["bob"]
    sweep_to_the_end()
    erasure.refresh_from_db()
    assert (erasure.person_count, erasure.event_count, erasure.key_count) == (1, 3, 1)


def test_whoever_sends_again_is_a_new_person(shop: Project) -> None:
    apply(shop, setting("ann", plan="pro"))
    old = Person.objects.get(project=shop).pk
    erase(shop, "ann")
    happened(shop, "ann", "4")
    sweep()
    new = Person.objects.get(project=shop)
    assert new.pk > old
    assert new.properties == {}
    assert [event.person_id for event in stored(shop)] == [new.pk]


def test_an_event_sent_again_before_the_sweep_is_the_new_persons(shop: Project) -> None:
    happened(shop, "ann", "1", "2")
    erase(shop, "ann")
    happened(shop, "ann", "1", "3")
    assert sweep() == 1
    assert [event.insert_id for event in stored(shop)] == ["1", "3"]
    assert buyers(shop) == 1


def test_events_go_in_batches_and_each_is_counted_once(shop: Project) -> None:
    happened(shop, "ann", *[str(number) for number in range(250)])
    happened(shop, "bob", "1")
    erasure = erase(shop, "ann")
    batches = 0
    while (swept := sweep_events(batch_size=100)).events or swept.persons:
        assert swept.events <= 100
        batches += bool(swept.events)
    erasure.refresh_from_db()
    assert (batches, erasure.event_count) == (3, 250)
    sweep_to_the_end()
    assert is_complete(erasure)
    assert len(stored(shop)) == 1


def test_an_event_that_was_on_its_way_when_its_person_was_erased_is_swept_too(shop: Project) -> None:
    """The ingest has read the id, the erasure and a first sweep go through, then the ingest commits."""
    happened(shop, "ann", "1")
    # As `ingest_events` does, its transaction id before it reads any id (laws.md, L2).
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_current_xact_id()")
        cursor.execute("SELECT person_id FROM cohorts_distinctid WHERE distinct_id = 'ann'")
        (person_id,) = cursor.fetchone()
        swept: list[int] = []

        def erase_and_sweep() -> None:
            erase(shop, "ann")
            swept.append(sweep())

        other = in_background(erase_and_sweep)
        other.start()
        other.join(20)
        assert swept == [1]
        cursor.execute(
            "INSERT INTO cohorts_event (project_id, received_at, dedup_at, dedup_hash, occurred_at, person_id,"
            " content_hash, name, distinct_id) SELECT %s, %s, %s, gen_random_uuid(), %s, %s, 1, 'Late', 'ann'",
            [shop.pk, NOW, NOW, NOW, person_id],
        )
    assert ErasedPerson.objects.count() == 1
    assert Event.objects.visible().filter(project=shop).count() == 0
    sweep_to_the_end()
    assert stored(shop) == []


def test_an_ingest_begun_before_the_erasure_is_committed_is_waited_for(shop: Project) -> None:
    """It has a later transaction id than the erasure, and has read the id all the same."""
    happened(shop, "ann", "1")
    has_read, may_insert = threading.Event(), threading.Event()

    def ingest() -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT pg_current_xact_id()")
            cursor.execute("SELECT person_id FROM cohorts_distinctid WHERE distinct_id = 'ann'")
            (person_id,) = cursor.fetchone()
            has_read.set()
            may_insert.wait(20)
            cursor.execute(
                "INSERT INTO cohorts_event (project_id, received_at, dedup_at, dedup_hash, occurred_at, person_id,"
                " content_hash, name, distinct_id) SELECT %s, %s, %s, gen_random_uuid(), %s, %s, 1, 'Late', 'ann'",
                [shop.pk, NOW, NOW, NOW, person_id],
            )

    with transaction.atomic():
        erase(shop, "ann")
        ingesting = in_background(ingest)
        ingesting.start()
        assert has_read.wait(20)
    for _ in range(3):
        sweep()
    may_insert.set()
    ingesting.join(20)
    sweep_to_the_end()
    assert stored(shop) == []


def test_who_was_merged_into_an_erased_person_is_erased_with_them(shop: Project) -> None:
    apply(shop, setting("bob", **{MATCH_PROPERTY: "B"}))
    happened(shop, "bob", "1")
    apply(shop, setting("ann", **{MATCH_PROPERTY: "A"}))
    happened(shop, "ann", "2")
    link = IncomingEvent("$merge", "ann", NOW, NOW, "m", {}, MergeIds("ann", "bob", is_allowed=True))
    ingest_events(project=shop, events=[link], now=NOW)
    # The key that gave way is remembered as one the person had.
    assert keys(shop) == {"ann": "A"}
    erase(shop, "bob")
    assert Event.objects.visible().filter(project=shop).count() == 0
    assert not arrivals(project=shop, limit=10).shown
    assert not Redirect.objects.exists()
    assert {key.value for key in MatchKey.objects.filter(pk__in=ErasedKey.objects.values("match_key_id"))} == {"A", "B"}
    sweep_to_the_end()
    assert stored(shop) == []


def test_a_profile_update_that_waited_for_the_erasure_makes_a_new_person(shop: Project) -> None:
    apply(shop, setting("ann", plan="pro", city="Kiel"))
    with transaction.atomic():
        Person.objects.select_for_update().get(project=shop)
        erasing = in_background(lambda: erase(shop, "ann"))
        erasing.start()
        wait_until_blocked()
        updating = in_background(lambda: apply(shop, setting("ann", plan="free")))
        updating.start()
        time.sleep(0.2)
    erasing.join(20)
    updating.join(20)
    assert list(people(shop).values()) in ([{"plan": "free"}], [])


def test_ten_clients_write_while_their_persons_are_erased(shop: Project) -> None:
    ids = [f"u{number}" for number in range(20)]

    def write() -> None:
        for turn in range(6):
            apply(shop, *[setting(each, **{MATCH_PROPERTY: f"{each}@push", "turn": turn}) for each in ids])
            happened(shop, ids[turn], f"{turn}")

    def wipe() -> None:
        for _ in range(6):
            erase(shop, *ids)
            sweep()
            with transaction.atomic():
                prop = MatchProperty.objects.get(project=shop)
                due = due_keys(project_id=shop.pk, match_property_id=prop.pk)
                bury_keys(project_id=shop.pk, key_ids=due, now=timezone.now())

    run_at_once([write, write, write, wipe, wipe])
    # Everybody who is there is whole: a person for each id, a value for each key that is held.
    persons = set(Person.objects.filter(project=shop).values_list("pk", flat=True))
    assert set(DistinctId.objects.filter(project=shop).values_list("person_id", flat=True)) == persons
    held = PersonKey.objects.filter(project=shop).values_list("match_key__value", "person__properties")
    assert [(value, properties) for value, properties in held if value != properties[MATCH_PROPERTY]] == []
    erase(shop, *ids)
    sweep()
    assert not Person.objects.filter(project=shop).exists()
    assert stored(shop) == []


def test_a_value_cannot_be_erased_while_somebody_takes_it_up_and_not_taken_up_once_it_is(shop: Project) -> None:
    prop = MatchProperty.objects.get(project=shop)
    apply(shop, setting("ann", **{MATCH_PROPERTY: "shared"}))
    key = MatchKey.objects.get(project=shop).pk
    erase(shop, "ann")
    with transaction.atomic():
        apply(shop, setting("bob", **{MATCH_PROPERTY: "shared"}))
        burying = in_background(lambda: bury(shop))
        burying.start()
        wait_until_blocked()
    burying.join(20)
    assert keys(shop) == {"bob": "shared"}
    erase(shop, "bob")
    with transaction.atomic():
        assert bury_keys(project_id=shop.pk, key_ids=[key], now=NOW) == [key]
        taking = in_background(lambda: apply(shop, setting("cat", **{MATCH_PROPERTY: "shared"})))
        taking.start()
        wait_until_blocked()
    taking.join(20)
    assert keys(shop) == {"cat": "shared"}
    assert MatchKey.objects.get(project=shop, match_property=prop, value="shared").pk == key


def bury(project: Project) -> None:
    with transaction.atomic():
        prop = MatchProperty.objects.get(project=project)
        due = due_keys(project_id=project.pk, match_property_id=prop.pk)
        bury_keys(
            project_id=project.pk,
            key_ids=due or list(MatchKey.objects.values_list("pk", flat=True)),
            now=timezone.now(),
        )


def test_samples_of_refused_records_with_an_id_go_and_their_counts_stay(shop: Project) -> None:
    apply(shop, setting("ann", **{MATCH_PROPERTY: "ann@push"}))
    records = [
        {"distinct_id": "ann"},
        {"url": "https://shop.example/?user=ann@push&x=1"},
        {"distinct_id": "anna"},
        {"pad": "x" * 478, "email": "ann@push"},
        {"distinct_id": "bob", "list": [1, "ann"]},
    ]
    ingest_events(
        project=shop,
        events=[],
        refusals=[
            RefusedRecord(number, Reason.TIME_TOO_OLD, "", "too old", sample=sample_of(record))
            for number, record in enumerate(records)
        ],
        endpoint="/track",
        now=NOW,
    )
    erase(shop, "ann")
    row = Refusal.objects.get(project=shop)
    assert row.count == 5
    assert [sample["record"] for sample in row.samples] == ['{"distinct_id":"anna"}']


@given(
    st.text(min_size=1, max_size=20).filter(lambda text: "\0" not in text and text.strip() == text),
    st.sampled_from([{"distinct_id": None}, {"a": [1, {"b": None}]}, [None]]),
)
def test_an_id_is_found_in_a_sample_whatever_its_signs(value: str, shape: object) -> None:
    def filled(part: Any) -> Any:
        if isinstance(part, dict):
            return {name: filled(each) for name, each in part.items()}
        if isinstance(part, list):
            return [filled(each) for each in part]
        return value if part is None else part

    text = sample_of(filled(shape))
    # Few values are looked for in another way than many.
    for others in ([], [f"other {number}" for number in range(50)]):
        assert holds(text, {value, *others}, sorted([value, *others]))


def test_the_audit_row_names_who_when_and_how_many_and_no_id(shop: Project) -> None:
    apply(shop, setting("ann", email="ann@example.com"))
    erasure = erase(shop, "ann", "nobody", "null")
    row = str(Erasure.objects.filter(pk=erasure.pk).values().get())
    assert "ann" not in row
    assert (erasure.requested_by, erasure.person_count, len(erasure.id_hashes)) == ("dpo", 1, 2)
    again = erase(shop, "ann")
    assert again.id_hashes[0] in erasure.id_hashes


def test_the_ids_of_another_project_are_another_person(shop: Project) -> None:
    other = make_project("Other")
    for project in (shop, other):
        apply(project, setting("ann", **{MATCH_PROPERTY: "ann"}))
        happened(project, "ann", "1")
    erase(shop, "ann")
    sweep()
    assert len(stored(other)) == 1
    assert keys(other) == {"ann": "ann"}
