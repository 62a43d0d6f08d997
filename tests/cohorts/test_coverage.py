"""Coverage adds up, a shared id is one key, and everything resolved together sees one moment."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Iterator

import pytest
from django.db import InternalError, connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cohorts.definition import parse_definition
from cohorts.models import Cohort, MatchProperty, Project
from cohorts.resolve import Coverage, Resolution, ResolveTimeout, record_count, resolve, snapshot
from tests.cast import give_key, make_cohort, make_people, make_project, property_definition, shoppers
from tests.cohorts.people import define, did, selected, store, where
from tests.reference_evaluator import Deed, Human

NOW = dt.datetime(2026, 11, 23, 13, tzinfo=dt.UTC)
EVERYBODY = define(where("no such property", "string", "is_not_set"))
# What a person's profile can mean to a destination, by how many of each; two of "shared" share one key.
SORTS = ["anonymous", "without", "invalid", "matched", "shared"]


def resolved(project: Project, definition: object = EVERYBODY, *, as_of: dt.datetime = NOW) -> Resolution:
    return resolve(
        project=project,
        definition=parse_definition(definition),
        match_property=MatchProperty.objects.get(project=project),
        as_of=as_of,
    )


def store_sorts(project: Project, counts: dict[str, int]) -> set[int]:
    """Store so many persons of each sort; return the ids of their keys."""
    match_property = MatchProperty.objects.get(project=project)
    keys = set()
    for sort, count in counts.items():
        humans = [Human(f"{sort}-{number}", {} if sort == "anonymous" else {"sort": sort}) for number in range(count)]
        for number, person in enumerate(store(project, humans).values()):
            if sort in ("matched", "shared"):
                value = f"{sort}-{number // 2 if sort == 'shared' else number}"
                keys.add(give_key(project, match_property, person, value))
            elif sort == "invalid":
                with connection.cursor() as cursor:
                    cursor.execute(
                        "INSERT INTO cohorts_personkey (project_id, match_property_id, person_id, invalid_reason)"
                        " VALUES (%s, %s, %s, 'not a string')",
                        [project.pk, match_property.pk, person],
                    )
    return keys


def test_every_member_is_counted_under_one_heading(shop: Project) -> None:
    keys = store_sorts(shop, {"anonymous": 2, "without": 3, "invalid": 1, "matched": 4, "shared": 4})
    store_sorts(make_project("Rival"), {"matched": 3})

    found = resolved(shop)

    assert set(found.keys) == keys
    assert found.coverage == Coverage(
        as_of=NOW,
        members=14,
        anonymous=2,
        without_match_property=3,
        invalid_id=1,
        matched_profiles=8,
        matched_keys=6,
        seconds=found.coverage.seconds,
    )
    assert 0 <= found.coverage.seconds < 5


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    counts=st.fixed_dictionaries({sort: st.integers(0, 4) for sort in SORTS}), chosen=st.sets(st.sampled_from(SORTS))
)
def test_coverage_adds_up_for_any_mixture(shop: Project, counts: dict[str, int], chosen: set[str]) -> None:
    with transaction.atomic():
        store_sorts(shop, counts)
        definition = define(
            where("sort", "string", "equals", *chosen) if chosen else where("sort", "string", "is_not_set"),
            where("sort", "string", "is_not_set"),
            match="any",
        )
        coverage = resolved(shop, definition).coverage

        wanted = {sort: counts[sort] for sort in {*chosen, "anonymous"}}
        assert coverage.members == sum(wanted.values())
        assert coverage.members == (
            coverage.anonymous + coverage.without_match_property + coverage.invalid_id + coverage.matched_profiles
        )
        assert coverage.matched_keys == wanted.get("matched", 0) + (wanted.get("shared", 0) + 1) // 2
        transaction.set_rollback(True)


def test_nobody_is_an_empty_resolution(shop: Project) -> None:
    found = resolved(shop)

    assert (found.coverage.members, len(found.keys)) == (0, 0)


def test_ids_of_keys_come_back_exactly(shop: Project) -> None:
    match_property = MatchProperty.objects.get(project=shop)
    ids = [1, 2, 255, 256, 65_535, 65_536, 2**24 + 1, 2**31 - 1]
    persons = store(shop, [Human(f"u{number}", {"x": 1}) for number in ids])
    with connection.cursor() as cursor:
        for number, person in zip(ids, persons.values(), strict=True):
            cursor.execute(
                "INSERT INTO cohorts_matchkey (id, project_id, match_property_id, value) VALUES (%s, %s, %s, %s)",
                [number, shop.pk, match_property.pk, str(number)],
            )
            cursor.execute(
                "INSERT INTO cohorts_personkey (project_id, match_property_id, person_id, match_key_id)"
                " VALUES (%s, %s, %s, %s)",
                [shop.pk, match_property.pk, person, number],
            )

    assert list(resolved(shop).keys) == ids


def test_only_the_keys_of_the_asked_match_property_count(shop: Project) -> None:
    other = MatchProperty.objects.create(project=shop, name="crm_id")
    make_people(shop, shoppers(["ada"]))

    coverage = resolve(project=shop, definition=parse_definition(EVERYBODY), match_property=other, as_of=NOW).coverage

    assert (coverage.members, coverage.without_match_property, coverage.matched_keys) == (1, 1, 0)


def test_events_of_a_person_who_is_gone_select_nobody(shop: Project) -> None:
    store(shop, [Human("ada")], [Deed("ada", "Visit", NOW)])
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM cohorts_person WHERE project_id = %s", [shop.pk])

    assert selected(shop, define(did("Visit")), as_of=NOW) == set()


# --- The count on the cohort ----------------------------------------------------------------------------------------


def test_a_count_is_kept_with_its_moment(shop: Project) -> None:
    make_people(shop, shoppers(["ada", "bob"], plan="pro"))
    cohort = make_cohort(shop)

    record_count(cohort=cohort, coverage=resolved(shop, property_definition()).coverage)

    cohort.refresh_from_db()
    assert (cohort.count, cohort.counted_at) == (2, NOW)


def test_an_older_count_or_one_of_an_older_definition_changes_nothing(shop: Project) -> None:
    cohort = make_cohort(shop)
    Cohort.objects.filter(pk=cohort.pk).update(count=7, counted_at=NOW)
    earlier = resolved(shop, as_of=NOW - dt.timedelta(hours=1)).coverage
    later = resolved(shop, as_of=NOW + dt.timedelta(hours=1)).coverage

    record_count(cohort=cohort, coverage=earlier)
    Cohort.objects.filter(pk=cohort.pk).update(version=2)
    record_count(cohort=cohort, coverage=later)

    cohort.refresh_from_db()
    assert cohort.count == 7


# --- One moment -----------------------------------------------------------------------------------------------------


@pytest.fixture
def open_shop(transactional_db: None) -> Iterator[Project]:
    """A project whose rows others see, since nothing wraps the test in a transaction."""
    project = make_project()
    yield project
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM cohorts_person WHERE project_id = %s", [project.pk])


def on_another_connection(work: object) -> None:
    def run() -> None:
        try:
            work()  # type: ignore[operator]
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()


def test_all_that_is_resolved_in_a_snapshot_sees_the_same_people(open_shop: Project) -> None:
    make_people(open_shop, shoppers(["ada"]))

    with snapshot() as as_of:
        before = resolved(open_shop, as_of=as_of).coverage
        on_another_connection(lambda: make_people(open_shop, shoppers(["bob"])))
        after = resolved(open_shop, as_of=as_of).coverage

    assert (before.members, after.members) == (1, 1)
    assert resolved(open_shop).coverage.members == 2


def test_a_snapshots_moment_is_not_before_its_view(open_shop: Project) -> None:
    on_another_connection(lambda: make_people(open_shop, shoppers(["ada"])))
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        earlier = cursor.fetchone()[0]

    with snapshot() as as_of:
        assert earlier <= as_of
        assert resolved(open_shop, as_of=as_of).coverage.members == 1


def test_a_snapshot_only_reads(open_shop: Project) -> None:
    with pytest.raises(InternalError, match="read-only"), snapshot():
        Cohort.objects.update(count=1)


def test_a_snapshot_inside_a_transaction_is_refused(open_shop: Project) -> None:
    with pytest.raises(RuntimeError, match="durable"), transaction.atomic(), snapshot():
        pass


def test_a_timeout_says_so_and_leaves_the_snapshot_usable(open_shop: Project) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO cohorts_person (project_id, distinct_id, properties)"
            " SELECT %s, n::text, jsonb_build_object('at', '2026-01-01T00:00:00') FROM generate_series(1, 20000) AS n",
            [open_shop.pk],
        )
    slow = parse_definition(define(where("at", "date", "before", "2026-06-01")))
    match_property = MatchProperty.objects.get(project=open_shop)

    with snapshot() as as_of:
        with pytest.raises(ResolveTimeout, match=r"stopped after 0\.001 seconds: use shorter windows"):
            resolve(
                project=open_shop, definition=slow, match_property=match_property, as_of=as_of, timeout_seconds=0.001
            )
        assert resolved(open_shop, as_of=as_of).coverage.members == 20_000


def test_settings_of_the_query_end_with_it(open_shop: Project) -> None:
    names = ["work_mem", "jit", "statement_timeout", "max_parallel_workers_per_gather"]

    def settings_now() -> list[str]:
        with connection.cursor() as cursor:
            cursor.execute("SELECT current_setting(name) FROM unnest(%s) AS name", [names])
            return [row[0] for row in cursor.fetchall()]

    before = settings_now()
    with transaction.atomic():
        resolve(
            project=open_shop,
            definition=parse_definition(EVERYBODY),
            match_property=MatchProperty.objects.get(project=open_shop),
            as_of=NOW,
            timeout_seconds=30,
        )
        assert settings_now() == before
