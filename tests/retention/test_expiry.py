"""Events past their retention go, and nobody else's with them (laws.md, L1): months that no project keeps as a whole,
what a shorter retention leaves behind row by row, and neither a crash nor a sender loses anything."""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.db import OperationalError, connection
from django.utils import timezone

from cohorts import expiry, partitions
from cohorts.expiry import delete_events, expire_events
from cohorts.ingest import ingest_events
from cohorts.messages import IncomingEvent
from cohorts.models import Event, Project
from cohorts.partitions import drop_months, ensure_partitions
from cohorts.tasks import expire_events_daily
from tests.cast import at, make_project
from tests.cohorts.people import define, did, selected
from tests.ingest.test_partitions import drop, names

NOW = at("2026-11-20T10:00:00")
OLD = "cohorts_event_201803"


@pytest.fixture
def months(transactional_db: None) -> Iterator[None]:
    """The partitions that a test makes go with it."""
    before = names()
    yield
    with connection.cursor() as cursor:
        cursor.execute("SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhdetachpending")
        for (name,) in cursor.fetchall():
            cursor.execute(f"ALTER TABLE cohorts_event DETACH PARTITION {name} FINALIZE")
        cursor.execute("SELECT relname FROM pg_class WHERE relkind = 'r' AND relname ~ '^cohorts_event_[0-9ab]'")
        drop(*{row[0] for row in cursor.fetchall()} - before)
    partitions.forget()


def put(project: Project, *moments: str, who: str = "ann") -> None:
    for moment in moments:
        event = IncomingEvent("Visit", who, at(moment), min(at(moment), NOW), f"{project.pk}-{moment}", {})
        ingest_events(project=project, events=[event], now=NOW)


def days(project: Project) -> list[str]:
    return [
        f"{moment:%Y-%m-%d}"
        for moment in Event.objects.filter(project=project).order_by("dedup_at").values_list("dedup_at", flat=True)
    ]


def keeping(months: int | None, name: str = "Shop") -> Project:
    project = make_project(name)
    Project.objects.filter(pk=project.pk).update(retention_months=months)
    project.refresh_from_db()
    return project


def exists(table: str) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass(%s) IS NOT NULL", [table])
        return bool(cursor.fetchone()[0])


def test_a_short_retention_does_not_reach_into_another_project(months: None) -> None:
    short, long = keeping(1, "Short"), keeping(12, "Long")
    moments = ["2025-11-21", "2026-03-05", "2026-10-18", "2026-10-25", "2026-11-19"]
    for project in (short, long):
        put(project, *moments)
    visited = define(did("Visit", {"type": "last", "unit": "month", "value": 12}, value=5))
    assert selected(long, visited, as_of=NOW) == {"ann"}
    tables = names()

    assert expire_events(now=NOW, max_seconds=60)

    assert days(short) == ["2026-10-25", "2026-11-19"]
    assert days(long) == moments
    assert selected(long, visited, as_of=NOW) == {"ann"}
    # No month within the longest retention goes; what other tests left of months before it may.
    assert {name for name in tables - names() if name >= "cohorts_event_202511"} <= {"cohorts_event_before"}


def test_a_month_past_every_retention_is_dropped(months: None) -> None:
    short, long = keeping(1, "Short"), keeping(12, "Long")
    for project in (short, long):
        put(project, "1999-01-01", "2018-03-31", "2025-10-31", "2025-11-05", "2026-11-19")

    assert expire_events(now=NOW, max_seconds=60)

    assert not {OLD, "cohorts_event_before", "cohorts_event_202510"} & names()
    assert not exists(OLD)
    # The month in which the longest retention begins stays, without what is past: gone row by row.
    assert "cohorts_event_202511" in names()
    assert (days(short), days(long)) == (["2026-11-19"], ["2026-11-19"])


def test_as_long_as_one_project_keeps_everything_no_month_goes(months: None) -> None:
    short, forever = keeping(1, "Short"), keeping(None, "For ever")
    for project in (short, forever):
        put(project, "2018-03-05")
    assert expire_events(now=NOW, max_seconds=60)
    assert (days(short), days(forever)) == ([], ["2018-03-05"])
    assert OLD in names()


def test_the_boundary_is_the_projects_midnight(months: None) -> None:
    shop = keeping(1)
    Project.objects.filter(pk=shop.pk).update(timezone="America/New_York")
    # Kept since 2026-10-20T04:00Z; what is known by its time as sent, a day longer.
    put(shop, "2026-10-19T03:59:59", "2026-10-19T04:00:00")
    assert expire_events(now=NOW, max_seconds=60)
    assert list(Event.objects.filter(project=shop).values_list("dedup_at", flat=True)) == [at("2026-10-19T04:00:00")]


def test_an_event_sent_with_a_future_date_goes_when_it_arrived_too_long_ago(months: None) -> None:
    shop = keeping(1)
    future = [
        IncomingEvent("Visit", "ann", at("2031-05-05"), occurred_at, f"{occurred_at}", {})
        for occurred_at in (at("2026-09-01"), at("2026-11-19"))
    ]
    ingest_events(project=shop, events=future, now=NOW)
    assert expire_events(now=NOW, max_seconds=60)
    assert list(Event.objects.filter(project=shop).values_list("occurred_at", flat=True)) == [at("2026-11-19")]


def test_rows_go_in_batches_and_a_slice_that_ends_goes_on_next_time(
    months: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop, other = keeping(1), keeping(None, "Other")
    sent = [at("2026-05-05") + dt.timedelta(hours=7 * number) for number in range(250)]
    many = [IncomingEvent("Visit", f"u{number}", moment, moment, "", {}) for number, moment in enumerate(sent)]
    for project in (shop, other):
        ingest_events(project=project, events=many, now=NOW)
    before = at("2026-10-20")
    assert delete_events(project_id=shop.pk, before=before, now=NOW, limit=100) == 100
    assert days(shop)[0] == f"{sent[100]:%Y-%m-%d}"
    monkeypatch.setattr(expiry, "ROWS_PER_BATCH", 60)
    assert not expire_events(now=NOW, max_seconds=-1)
    assert len(days(shop)) == 90
    assert expire_events(now=NOW, max_seconds=60)
    assert (len(days(shop)), len(days(other))) == (0, 250)


def test_the_task_deletes_what_is_past_today(months: None) -> None:
    shop = keeping(1)
    put(shop, "2018-03-05")
    put(shop, f"{timezone.now() - dt.timedelta(days=1):%Y-%m-%d}")
    expire_events_daily()
    assert len(days(shop)) == 1
    assert not exists(OLD)


def test_a_project_that_wants_more_than_was_known_gets_its_month_back(months: None) -> None:
    """Between choosing a month and detaching it a new project may have imported into it."""
    put(keeping(12), "2018-03-05")
    late = keeping(None, "Late")
    put(late, "2018-03-07")
    asked: list[tuple[list[int], dt.datetime]] = []

    def may_go(project_ids: object, end: dt.datetime) -> bool:
        assert isinstance(project_ids, list)
        asked.append((project_ids, end))
        return late.pk not in project_ids

    assert drop_months(until=at("2018-04-01"), may_go=may_go)

    assert ([late.pk - 1, late.pk], at("2018-04-01")) in asked
    assert OLD in names()
    assert days(late) == ["2018-03-07"]
    put(late, "2018-03-08")
    assert days(late) == ["2018-03-07", "2018-03-08"]


@contextmanager
def somebody_reading(table: str = "cohorts_event") -> Iterator[None]:
    """A transaction of another connection that has read the events and goes on."""
    reader = connection.copy()
    reader.set_autocommit(False)
    try:
        with reader.cursor() as cursor:
            cursor.execute(f"SELECT count(*) FROM {table}")
            yield
    finally:
        reader.close()


def half_detached() -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhdetachpending")
        return [row[0] for row in cursor.fetchall()]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partitions, "_MAX_DETACH_SECONDS", 1)


def test_a_month_detached_by_half_is_finished_next_time(months: None, impatient: None) -> None:
    shop = keeping(12)
    put(shop, "2018-03-05", "2018-05-05", "2026-11-19")
    with somebody_reading():
        assert not expire_events(now=NOW, max_seconds=60)
        assert half_detached() == [OLD]
    assert exists(OLD)

    assert expire_events(now=NOW, max_seconds=60)

    assert (half_detached(), exists(OLD), exists("cohorts_event_201805")) == ([], False, False)
    assert days(shop) == ["2026-11-19"]


def test_an_event_of_a_month_detached_by_half_is_stored(months: None, impatient: None) -> None:
    shop = keeping(12)
    put(shop, "2018-03-05")
    with somebody_reading():
        assert not expire_events(now=NOW, max_seconds=60)
    assert half_detached() == [OLD]

    # This process still remembers the month; another one looks anew.
    put(shop, "2018-03-06")

    assert half_detached() == []
    assert OLD in names()
    # The month came back as it was.
    assert days(shop) == ["2018-03-05", "2018-03-06"]
    assert expire_events(now=NOW, max_seconds=60)
    assert days(shop) == []


@contextmanager
def crashing_before_the_drop(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def crash(*_: object) -> bool:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(expiry, "drop_months", lambda *, until, may_go: drop_months(until=until, may_go=crash))
        with pytest.raises(KeyboardInterrupt):
            expire_events(now=NOW, max_seconds=60)
        yield


def test_a_month_detached_and_not_dropped_is_dropped_next_time(months: None, monkeypatch: pytest.MonkeyPatch) -> None:
    shop = keeping(12)
    put(shop, "2018-03-05", "2026-11-19")
    with crashing_before_the_drop(monkeypatch):
        assert exists(OLD)
        assert OLD not in names()
    assert expire_events(now=NOW, max_seconds=60)
    assert not exists(OLD)


def test_a_month_detached_and_not_dropped_takes_events_again(months: None, monkeypatch: pytest.MonkeyPatch) -> None:
    shop = keeping(12)
    put(shop, "2018-03-05", "2026-11-19")
    with crashing_before_the_drop(monkeypatch):
        put(shop, "2018-03-06")
        assert OLD in names()
    assert days(shop) == ["2018-03-05", "2018-03-06", "2026-11-19"]


def test_a_month_left_behind_comes_back_when_events_are_kept_longer(
    months: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = keeping(12)
    put(shop, "2018-03-05")
    with crashing_before_the_drop(monkeypatch):
        Project.objects.filter(pk=shop.pk).update(retention_months=None)
    assert expire_events(now=NOW, max_seconds=60)
    assert days(shop) == ["2018-03-05"]


def test_a_month_that_an_operator_detached_is_left_alone(months: None) -> None:
    put(keeping(1), "2018-03-05")
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE cohorts_event DETACH PARTITION {OLD}")
    assert expire_events(now=NOW, max_seconds=60)
    assert exists(OLD)


def test_events_come_in_while_their_month_is_dropped(months: None) -> None:
    """Each is stored, in the old month or in a new one; those of the month beside it stay whatever happens."""
    shop = keeping(1)
    put(shop, "2018-03-05", "2026-11-19")
    is_over = threading.Event()
    failures: list[BaseException] = []
    sent = [0, 0]

    def send(number: int) -> None:
        try:
            while not is_over.is_set():
                moment = dt.datetime(2018, 3, 1 + number, tzinfo=dt.UTC) + dt.timedelta(seconds=sent[number])
                events = [
                    IncomingEvent("Visit", "ann", moment, moment, f"old-{number}-{sent[number]}", {}),
                    IncomingEvent("Visit", "ann", NOW, NOW, f"new-{number}-{sent[number]}", {}),
                ]
                ingest_events(project=shop, events=events, now=NOW)
                sent[number] += 1
        except BaseException as failure:  # noqa: BLE001 - shown by the test
            failures.append(failure)
        finally:
            connection.close()

    threads = [threading.Thread(target=send, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    drops = 0
    deadline = time.monotonic() + 6
    while time.monotonic() < deadline:
        try:
            assert expire_events(now=NOW, max_seconds=60)
            drops += 1
        except OperationalError as error:
            failures.append(error)
    is_over.set()
    for thread in threads:
        thread.join()
    assert failures == []
    assert drops > 2
    assert min(sent) > 2
    assert expire_events(now=NOW, max_seconds=60)
    assert days(shop) == ["2026-11-19"] + ["2026-11-20"] * sum(sent)


def test_another_month_is_made_while_one_is_detached(months: None, impatient: None) -> None:
    def expire() -> None:
        expire_events(now=NOW, max_seconds=60)
        connection.close()

    shop = keeping(1)
    put(shop, "2018-03-05", "2026-11-19")
    with somebody_reading():
        dropping = threading.Thread(target=expire)
        dropping.start()
        while not half_detached():
            time.sleep(0.01)
        ensure_partitions(moments=[at("2019-07-07")], now=NOW)
        dropping.join()
    assert "cohorts_event_201907" in names()
