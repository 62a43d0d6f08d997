"""Months of events: made when an event of that month comes in, whoever sends it, whenever it happened."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest
from django.db import connection, transaction

from cohorts import partitions
from cohorts.ingest import ingest_events
from cohorts.messages import IncomingEvent
from cohorts.models import Event
from cohorts.partitions import ensure_partitions
from tests.cast import at, make_project
from tests.ingest.crowd import run_at_once

NOW = at("2026-11-20T10:00:00")


def names() -> set[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'cohorts_event'::regclass")
        return {row[0] for row in cursor.fetchall()}


def drop(*partitions_: str) -> None:
    with connection.cursor() as cursor:
        for name in partitions_:
            cursor.execute(f"DROP TABLE {name}")


@pytest.fixture
def months(transactional_db: None) -> Iterator[None]:
    """The partitions that a test makes go with it."""
    before = names()
    yield
    drop(*names() - before)
    partitions.forget()


def happened(moment: str) -> IncomingEvent:
    return IncomingEvent("E", "ann", at(moment), min(at(moment), NOW), moment, {})


def test_wild_dates_share_two_partitions(months: None) -> None:
    shop = make_project()
    for moment in ("1971-01-01", "1997-05-05", "2009-12-31", "2300-01-01", "9999-12-31"):
        ingest_events(project=shop, events=[happened(moment)], now=NOW)
    assert Event.objects.filter(project=shop).count() == 5
    made = names()
    assert {"cohorts_event_before", "cohorts_event_after"} <= made
    assert not any(name.endswith(("199705", "200912", "230001")) for name in made)


def test_the_outer_bounds_stay_where_they_were_decided(months: None) -> None:
    ensure_partitions(moments=[at("2026-11-01")], now=NOW)
    before = names()
    partitions.forget()
    ensure_partitions(moments=[at("2026-11-01"), at("1990-01-01"), at("2090-01-01")], now=at("2031-06-01"))
    assert names() == before


def test_known_months_cost_no_connection(months: None) -> None:
    ensure_partitions(moments=[at("2026-11-01")], now=NOW)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(connection, "copy", None)
        ensure_partitions(moments=[at("2026-11-20"), at("1990-01-01")], now=NOW)


def test_a_month_dropped_behind_the_back_of_a_process_is_made_again(months: None) -> None:
    shop = make_project()
    ingest_events(project=shop, events=[happened("2026-07-07")], now=NOW)
    drop("cohorts_event_202607")
    ingest_events(project=shop, events=[happened("2026-07-07")], now=NOW)
    assert Event.objects.filter(project=shop).count() == 1


def test_a_month_is_made_beside_a_transaction_that_writes_events(months: None) -> None:
    shop = make_project()
    with transaction.atomic():
        ingest_events(project=shop, events=[happened("2026-11-05")], now=NOW)
        ingest_events(project=shop, events=[happened("2025-03-05")], now=NOW)
    assert Event.objects.filter(project=shop).count() == 2


@pytest.mark.django_db
def test_a_month_is_made_outside_the_surrounding_transaction() -> None:
    """What the rest of the tests do: their rows vanish, the partitions stay."""
    shop = make_project()
    ingest_events(project=shop, events=[happened("2026-11-05")], now=NOW)
    with transaction.atomic():
        ingest_events(project=shop, events=[happened("2026-11-06")], now=NOW)
    assert Event.objects.filter(project=shop).count() == 2


def test_20_clients_hit_50_absent_months(months: None) -> None:
    shop = make_project()
    moments = [f"{year}-{month:02}-15" for year in range(2017, 2022) for month in range(1, 11)]
    assert not {f"cohorts_event_{moment[:4]}{moment[5:7]}" for moment in moments} & names()

    def send_all(number: int) -> None:
        turned = moments[number:] + moments[:number]
        for part in range(0, 50, 10):
            events = [
                IncomingEvent("E", f"u{number}", at(moment), at(moment), f"{number}-{moment}", {})
                for moment in turned[part : part + 10]
            ]
            ingest_events(project=shop, events=events, now=NOW)

    run_at_once([partial(send_all, number) for number in range(20)])
    assert Event.objects.filter(project=shop).count() == 1000
    assert {f"cohorts_event_{moment[:4]}{moment[5:7]}" for moment in moments} <= names()
