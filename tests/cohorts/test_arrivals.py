"""Events in the order of arrival: each is on exactly one page, and a choice finds what there is."""

from __future__ import annotations

import datetime as dt
import importlib
import uuid
from collections.abc import Mapping

import pytest
from django.db import connection as database
from django.utils import timezone

from cohorts import arrivals as arrivals_module
from cohorts.access import NotFound
from cohorts.arrivals import Arrivals, Place, arrival, arrivals, count_received
from cohorts.ingest import ingest_events
from cohorts.messages import IncomingEvent
from cohorts.models import Project
from cohorts.partitions import ensure_partitions
from tests.cast import make_project

pytestmark = pytest.mark.django_db
NOW = timezone.now().replace(microsecond=0)


@pytest.fixture
def shop() -> Project:
    return make_project("Shop")


def came_in(
    project: Project,
    *names: str,
    who: str = "ann",
    received_at: dt.datetime = NOW,
    occurred_at: dt.datetime = NOW,
    properties: Mapping[str, str] | None = None,
) -> None:
    """Take in one request with an event of each name, a second apart."""
    ingest_events(
        project=project,
        events=[
            IncomingEvent(
                name=name,
                distinct_id=who,
                sent_at=occurred_at - dt.timedelta(seconds=number),
                occurred_at=occurred_at - dt.timedelta(seconds=number),
                insert_id=uuid.uuid4().hex,
                properties=dict(properties or {}),
            )
            for number, name in enumerate(names)
        ],
        now=received_at,
    )


def names(found: Arrivals) -> list[str]:
    return [each.name for each in found.shown]


def pages(project: Project, *, limit: int, name: str = "", distinct_id: str = "") -> list[list[str]]:
    """Return the names on each page, following the places from page to page through their text."""
    found, place = [], None
    while True:
        page = arrivals(project=project, limit=limit, name=name, distinct_id=distinct_id, before=place)
        found.append(names(page))
        if page.next is None:
            return found
        place = Place.of(str(page.next))


def test_what_came_in_last_is_first_whatever_time_it_carries(shop: Project) -> None:
    came_in(shop, "yesterday's", received_at=NOW - dt.timedelta(days=1))
    came_in(shop, "of ten years ago", occurred_at=NOW - dt.timedelta(days=3650))
    came_in(shop, "an hour ago", received_at=NOW - dt.timedelta(hours=1))
    assert names(arrivals(project=shop, limit=10)) == ["of ten years ago", "an hour ago", "yesterday's"]


def test_the_events_of_one_request_are_in_order_of_time(shop: Project) -> None:
    came_in(shop, "last", "middle", "first")
    assert names(arrivals(project=shop, limit=10)) == ["last", "middle", "first"]


def test_pages_hold_every_event_once_also_where_all_came_in_at_one_moment(shop: Project) -> None:
    came_in(shop, *(f"e{n:02}" for n in range(23)))
    came_in(shop, "older", received_at=NOW - dt.timedelta(minutes=1))
    found = pages(shop, limit=5)
    assert [name for page in found for name in page] == [*(f"e{n:02}" for n in range(23)), "older"]
    assert [len(page) for page in found] == [5, 5, 5, 5, 4]


def test_what_comes_in_while_somebody_pages_moves_nothing(shop: Project) -> None:
    came_in(shop, "a", "b", "c", "d")
    first = arrivals(project=shop, limit=2)
    came_in(shop, "new", received_at=NOW + dt.timedelta(minutes=1))
    assert names(arrivals(project=shop, limit=2, before=first.next)) == ["c", "d"]


def test_another_projects_events_are_never_shown(shop: Project) -> None:
    other = make_project("Other")
    came_in(other, "theirs")
    came_in(shop, "ours")
    assert names(arrivals(project=shop, limit=10)) == ["ours"]
    theirs = arrivals(project=other, limit=10).shown[0]
    assert arrivals(project=shop, limit=10, name="theirs").shown == []
    with pytest.raises(NotFound):
        arrival(project=shop, key=theirs.key)


def test_a_person_is_found_by_any_of_their_ids(shop: Project) -> None:
    came_in(shop, "as ann", who="ann")
    came_in(shop, "as bob", who="bob")
    came_in(shop, "as anna", who="anna", received_at=NOW + dt.timedelta(seconds=1))
    with database.cursor() as cursor:
        # What a merge leaves behind.
        cursor.execute(
            "UPDATE cohorts_distinctid SET person_id ="
            " (SELECT person_id FROM cohorts_distinctid WHERE distinct_id = 'ann') WHERE distinct_id = 'anna';"
            " UPDATE cohorts_event SET person_id ="
            " (SELECT person_id FROM cohorts_distinctid WHERE distinct_id = 'ann') WHERE distinct_id = 'anna'"
        )
    assert names(arrivals(project=shop, limit=10, distinct_id="ann")) == ["as anna", "as ann"]
    assert names(arrivals(project=shop, limit=10, distinct_id="anna")) == ["as anna", "as ann"]
    assert names(arrivals(project=shop, limit=10, distinct_id="anna", name="as ann")) == ["as ann"]
    assert names(arrivals(project=shop, limit=10, distinct_id="nobody")) == []


@pytest.mark.parametrize("max_searched", [2, 3, 10_000])
def test_a_name_is_found_completely_however_far_one_look_reaches(
    shop: Project, monkeypatch: pytest.MonkeyPatch, max_searched: int
) -> None:
    for minute in range(12):
        name = "wanted" if minute in (0, 1, 7, 11) else "other"
        came_in(shop, name, received_at=NOW + dt.timedelta(minutes=minute))
    monkeypatch.setattr(arrivals_module, "MAX_SEARCHED", max_searched)
    assert [name for page in pages(shop, limit=2, name="wanted") for name in page] == ["wanted"] * 4


def test_a_search_that_stops_says_how_far_it_came(shop: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    for minute in range(8):
        name = "wanted" if minute < 4 else "other"
        came_in(shop, name, received_at=NOW + dt.timedelta(minutes=minute))
    monkeypatch.setattr(arrivals_module, "MAX_SEARCHED", 3)
    page = arrivals(project=shop, limit=5, name="wanted")
    assert names(page) == []
    assert page.searched_to == NOW + dt.timedelta(minutes=5)
    assert names(arrivals(project=shop, limit=5, name="wanted", before=page.next)) == ["wanted", "wanted"]


def test_large_properties_are_left_to_the_events_own_page(shop: Project) -> None:
    # Random, since the size is that after compression.
    large = {f"property {n}": uuid.uuid4().hex * 7 for n in range(200)}
    came_in(shop, "large", properties=large)
    came_in(shop, "small", received_at=NOW - dt.timedelta(seconds=1), properties={"plan": "pro"})
    listed = arrivals(project=shop, limit=10).shown
    assert [each.properties for each in listed] == [None, {"plan": "pro"}]
    assert arrival(project=shop, key=listed[0].key).properties == large


@pytest.mark.parametrize("text", ["", "1", "1_2", "x_2_3", "1_2_zz", "9" * 40 + "_1_" + "0" * 32, "1_2_3_4"])
def test_a_place_that_is_none_is_not_found(shop: Project, text: str) -> None:
    with pytest.raises(NotFound):
        Place.of(text)
    with pytest.raises(NotFound):
        arrival(project=shop, key=text)


def test_counting_what_came_in_stops_at_the_given_number(shop: Project) -> None:
    came_in(shop, "a", "b", "c")
    came_in(shop, "earlier", received_at=NOW - dt.timedelta(days=1))
    assert count_received(project=shop, since=NOW, at_most=10) == 3
    assert count_received(project=shop, since=NOW, at_most=2) == 2


def indexes() -> dict[str, bool]:
    """Return each partition of events, and whether a valid index by arrival is attached to it."""
    with database.cursor() as cursor:
        cursor.execute(
            "SELECT part.relname, EXISTS (SELECT FROM pg_inherits AS attached"
            " JOIN pg_index ON indexrelid = attached.inhrelid"
            " WHERE attached.inhparent = 'cohorts_event_received'::regclass"
            " AND indrelid = part.oid AND indisvalid)"
            " FROM pg_inherits JOIN pg_class AS part ON part.oid = inhrelid WHERE inhparent = 'cohorts_event'::regclass"
        )
        return dict(cursor.fetchall())


@pytest.mark.django_db(transaction=True)
def test_the_index_is_built_on_every_partition_also_after_a_broken_off_attempt() -> None:
    ensure_partitions(moments=[NOW, NOW - dt.timedelta(days=40)], now=NOW)
    migration = importlib.import_module("cohorts.migrations.0008_index_events_by_arrival")
    with database.schema_editor(atomic=False) as editor:
        migration.drop(None, editor)
        with database.cursor() as cursor:
            # The first attempt came as far as the parent's index and one partition's, not attached yet.
            cursor.execute("CREATE INDEX cohorts_event_received ON ONLY cohorts_event (project_id, received_at)")
            cursor.execute(
                f"CREATE INDEX cohorts_event_{NOW:%Y%m}_received ON cohorts_event_{NOW:%Y%m} (project_id, received_at)"
            )
        assert not any(indexes().values())
        migration.create(None, editor)
        assert all(indexes().values())
        # Once more changes nothing.
        migration.create(None, editor)
    # A month that is made later has it from the start.
    ensure_partitions(moments=[NOW + dt.timedelta(days=62)], now=NOW)
    assert all(indexes().values())
