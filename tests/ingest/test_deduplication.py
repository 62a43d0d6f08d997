"""Repeating what was sent: each event is one row, and the latest content wins (laws.md, L3)."""

from __future__ import annotations

import datetime as dt
import time
from typing import Any

import pytest
import time_machine
from django.db import connection
from django.test import Client

from cohorts.ingest import ingest_events
from cohorts.messages import IncomingEvent
from cohorts.models import Event, Project
from tests.cast import at
from tests.ingest.wire import event, send, stored

MOMENT = 1_000_000_000


def sent(client: Client, importer: dict[str, str], *records: dict[str, Any]) -> None:
    assert send(client, "/import", records, **importer) == (200, b"1")


def test_an_event_sent_twice_is_one_row(client: Client, shop: Project, importer: dict[str, str]) -> None:
    record = event(shop, time=MOMENT, insert_id="i1", amount=1)
    sent(client, importer, record)
    first = Event.objects.values().get()
    sent(client, importer, record, record)
    assert Event.objects.values().get() == first


def test_the_latest_content_wins_within_a_request_and_later(
    client: Client, shop: Project, importer: dict[str, str]
) -> None:
    sent(client, importer, *[event(shop, time=MOMENT, insert_id="i1", amount=amount) for amount in (1, 2, 3)])
    assert [row.properties for row in stored(shop)] == [{"amount": 3, "$import": True}]
    sent(client, importer, event(shop, time=MOMENT, insert_id="i1", colour="red"), event(shop, time=MOMENT))
    assert [row.properties for row in stored(shop)] == [{"colour": "red", "$import": True}, {"$import": True}]


@pytest.mark.parametrize(
    "change", [{"name": "Refund"}, {"time": MOMENT + 1}, {"distinct_id": "bob"}, {"insert_id": "i2"}]
)
def test_events_that_differ_in_any_part_of_the_key_are_two(
    client: Client, shop: Project, importer: dict[str, str], change: dict[str, Any]
) -> None:
    parts: dict[str, Any] = {"time": MOMENT, "insert_id": "i1"}
    sent(client, importer, event(shop, **parts), event(shop, **{**parts, **change}))
    assert len(stored(shop)) == 2


def test_the_parts_of_the_key_do_not_run_together(client: Client, shop: Project, importer: dict[str, str]) -> None:
    sent(
        client,
        importer,
        event(shop, time=MOMENT, distinct_id="a", insert_id="bc"),
        event(shop, time=MOMENT, distinct_id="ab", insert_id="c"),
    )
    assert len(stored(shop)) == 2


@pytest.mark.parametrize("insert_id", [None, "", "null", "undefined", []])
def test_events_without_an_insert_id_are_never_taken_for_one(
    client: Client, shop: Project, importer: dict[str, str], insert_id: object
) -> None:
    record = event(shop, time=MOMENT, insert_id=insert_id)
    sent(client, importer, record, record)
    assert len(stored(shop)) == 2


def test_mobile_sdks_name_their_events_in_the_metadata(client: Client, shop: Project) -> None:
    record = {
        **event(shop, time=int(time.time() * 1000)),
        "$mp_metadata": {"$mp_event_id": "f00", "$mp_session_id": "x"},
    }
    for _ in range(2):
        send(client, "/track", record)
    assert [row.insert_id for row in stored(shop)] == ["f00"]


def test_the_time_as_sent_counts_not_the_time_it_was_set_to(client: Client, shop: Project) -> None:
    future = at("2026-03-15T00:00:00").timestamp()
    for now in ("2026-01-31T23:59:58", "2026-02-01T00:00:02", "2026-03-01T12:00:00"):
        with time_machine.travel(at(now), tick=False):
            assert send(client, "/track", event(shop, time=future, insert_id="i1")) == (200, b"1")
    (row,) = stored(shop)
    assert row.dedup_at == at("2026-03-15T00:00:00")
    assert row.occurred_at == at("2026-01-31T23:59:58")


def test_an_event_without_a_time_is_known_again_on_the_next_day_and_month(client: Client, shop: Project) -> None:
    for now, amount in (("2026-01-31T23:59:58", 1), ("2026-01-31T23:59:59", 1), ("2026-02-01T00:00:02", 2)):
        with time_machine.travel(at(now), tick=False):
            send(client, "/track", event(shop, insert_id="i1", amount=amount))
    (row,) = stored(shop)
    assert row.occurred_at == at("2026-01-31T23:59:58")
    assert row.properties == {"amount": 2}
    with time_machine.travel(at("2026-02-03T00:00:00"), tick=False):
        send(client, "/track", event(shop, insert_id="i1"))
    assert len(stored(shop)) == 2


def test_two_projects_may_use_the_same_insert_id(client: Client, shop: Project, simple_shop: Project) -> None:
    now = time.time()
    send(client, "/track", [event(each, time=now, insert_id="i1") for each in (shop, simple_shop)])
    assert (len(stored(shop)), len(stored(simple_shop))) == (1, 1)


def test_the_counts_say_what_became_of_a_batch(shop: Project) -> None:
    now = at("2026-11-20T10:00:00")

    def incoming(number: int, amount: int) -> IncomingEvent:
        moment = now - dt.timedelta(days=number)
        return IncomingEvent("E", "ann", moment, moment, str(number + 1), {"amount": amount})

    ingested = ingest_events(project=shop, events=[incoming(number, 1) for number in range(10)], now=now)
    assert (ingested.inserted, ingested.updated, ingested.unchanged) == (10, 0, 0)
    second = [incoming(number, number % 2) for number in range(12)] + [incoming(11, 5)]
    ingested = ingest_events(project=shop, events=second, now=now)
    assert (ingested.inserted, ingested.updated, ingested.unchanged) == (2, 5, 6)


def test_a_replay_touches_no_row(shop: Project) -> None:
    now = at("2026-11-20T10:00:00")
    events = [IncomingEvent("E", f"u{n}", now, now, f"i{n}", {"n": n}) for n in range(500)]

    def rows() -> list[tuple[str, str]]:
        with connection.cursor() as cursor:
            cursor.execute("SELECT ctid::text, xmin::text FROM cohorts_event ORDER BY dedup_hash")
            return list(cursor.fetchall())

    ingest_events(project=shop, events=events, now=now)
    before = rows()
    ingest_events(project=shop, events=events, now=now)
    assert rows() == before
