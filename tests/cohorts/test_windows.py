"""Windows begin and end with the days of the project's calendar, also where clocks change and days are skipped."""

from __future__ import annotations

import datetime as dt
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from cohorts.definition import parse_definition
from cohorts.models import Project
from cohorts.windows import Clock, Interval, moved
from tests.cohorts.people import define, did, last, selected, store
from tests.reference_evaluator import Deed, Human

Json = Any


def interval(window: Json, *, now: str, zone: str) -> tuple[str | None, str | None]:
    """Return a window's bounds in UTC; an included end is marked."""
    condition: Any = parse_definition(define(did("Purchase", window))).groups[0].conditions[0]
    return written(Clock(dt.datetime.fromisoformat(now), ZoneInfo(zone)).window(condition.window))


def written(found: Interval) -> tuple[str | None, str | None]:
    start, end = (moment.strftime("%Y-%m-%d %H:%M") if moment else None for moment in (found.start, found.end))
    return start, f"{end} included" if found.is_end_included else end


CASES = {
    "seven days are those and today": (
        last(7),
        "2026-01-01T15:00+00:00",
        "UTC",
        ("2025-12-25 00:00", "2026-01-01 15:00 included"),
    ),
    "two weeks ending one week ago": (
        last(2, "week", ending_ago=1),
        "2026-07-08T09:00+00:00",
        "UTC",
        ("2026-06-17 00:00", "2026-07-02 00:00"),
    ),
    "months go back to the same day": (
        last(3, "month"),
        "2026-05-15T09:00+00:00",
        "UTC",
        ("2026-02-15 00:00", "2026-05-15 09:00 included"),
    ),
    "a month shorter than that begins with its last day": (
        last(1, "month"),
        "2026-03-31T09:00+00:00",
        "UTC",
        ("2026-02-28 00:00", "2026-03-31 09:00 included"),
    ),
    "hours are exact": (
        last(6, "hour", ending_ago=2),
        "2026-03-29T03:30+00:00",
        "Europe/Berlin",
        ("2026-03-28 19:30", "2026-03-29 01:30 included"),
    ),
    "an end that is none ago is now": (
        last(1, ending_ago=0),
        "2026-05-15T09:00+00:00",
        "UTC",
        ("2026-05-14 00:00", "2026-05-15 09:00 included"),
    ),
    "fixed days end with the last one": (
        {"type": "fixed", "from": "2026-01-05", "to": "2026-01-06"},
        "2026-05-15T09:00+00:00",
        "Asia/Kathmandu",
        ("2026-01-04 18:15", "2026-01-06 18:15"),
    ),
    "fixed days end now at the latest": (
        {"type": "fixed", "from": "2026-05-14", "to": "2026-06-30"},
        "2026-05-15T09:00+00:00",
        "UTC",
        ("2026-05-14 00:00", "2026-05-15 09:00 included"),
    ),
    "since is from local midnight": (
        {"type": "since", "date": "2026-07-01"},
        "2026-07-08T09:00+00:00",
        "America/New_York",
        ("2026-07-01 04:00", "2026-07-08 09:00 included"),
    ),
    "all time has no beginning": (
        {"type": "all_time"},
        "2026-07-08T09:00+00:00",
        "America/New_York",
        (None, "2026-07-08 09:00 included"),
    ),
    "the day of the change in spring has 23 hours": (
        {"type": "fixed", "from": "2026-03-29", "to": "2026-03-29"},
        "2026-05-15T09:00+00:00",
        "Europe/Berlin",
        ("2026-03-28 23:00", "2026-03-29 22:00"),
    ),
    "the day of the change in autumn has 25 hours": (
        {"type": "fixed", "from": "2026-11-01", "to": "2026-11-01"},
        "2026-11-15T09:00+00:00",
        "America/New_York",
        ("2026-11-01 04:00", "2026-11-02 05:00"),
    ),
    "thirty days over a change begin at the midnight of then": (
        last(30),
        "2026-04-10T10:00+00:00",
        "Europe/Berlin",
        ("2026-03-10 23:00", "2026-04-10 10:00 included"),
    ),
    "today is the local day": (
        last(1),
        "2026-07-08T23:00+00:00",
        "Asia/Kathmandu",
        ("2026-07-07 18:15", "2026-07-08 23:00 included"),
    ),
    "where midnight is shown twice the first one counts": (
        {"type": "since", "date": "2026-11-01"},
        "2026-11-15T09:00+00:00",
        "America/Havana",
        ("2026-11-01 04:00", "2026-11-15 09:00 included"),
    ),
    "where midnight is skipped the day begins with the change": (
        {"type": "fixed", "from": "2026-03-08", "to": "2026-03-08"},
        "2026-04-15T09:00+00:00",
        "America/Havana",
        ("2026-03-08 05:00", "2026-03-09 04:00"),
    ),
    "a day that was skipped is empty": (
        {"type": "fixed", "from": "2011-12-30", "to": "2011-12-30"},
        "2026-04-15T09:00+00:00",
        "Pacific/Apia",
        ("2011-12-30 10:00", "2011-12-30 10:00"),
    ),
    "two days over a skipped one are two calendar days": (
        last(2),
        "2011-12-31T12:00+00:00",
        "Pacific/Apia",
        ("2011-12-30 10:00", "2011-12-31 12:00 included"),
    ),
}


@pytest.mark.parametrize(("window", "now", "zone", "expected"), CASES.values(), ids=CASES)
def test_a_window_is_these_moments(window: Json, now: str, zone: str, expected: tuple[str | None, str | None]) -> None:
    assert interval(window, now=now, zone=zone) == expected


def test_the_last_day_of_a_month_stands_for_days_it_lacks() -> None:
    assert moved(dt.date(2024, 1, 31), "month", 1) == dt.date(2024, 2, 29)
    assert moved(dt.date(2026, 1, 31), "month", -2) == dt.date(2025, 11, 30)
    assert moved(dt.date(2026, 1, 31), "week", 1) == dt.date(2026, 2, 7)


@pytest.mark.parametrize(
    ("zone", "now", "midnight"),
    [
        ("Europe/Berlin", "2026-03-30T10:00+00:00", "2026-03-28T23:00+00:00"),
        ("Europe/Berlin", "2026-10-26T10:00+00:00", "2026-10-24T22:00+00:00"),
        ("America/New_York", "2026-03-09T10:00+00:00", "2026-03-08T05:00+00:00"),
        ("America/New_York", "2026-11-02T10:00+00:00", "2026-11-01T04:00+00:00"),
        ("Asia/Kathmandu", "2026-05-02T10:00+00:00", "2026-04-30T18:15+00:00"),
        ("Pacific/Apia", "2011-12-31T12:00+00:00", "2011-12-31T10:00+00:00"),
    ],
)
def test_yesterdays_midnight_is_in_the_last_day_and_the_moment_before_is_not(
    shop: Project, zone: str, now: str, midnight: str
) -> None:
    shop.timezone = zone
    begins_at, as_of = dt.datetime.fromisoformat(midnight), dt.datetime.fromisoformat(now)
    moment = dt.timedelta(microseconds=1)
    times = {"before": begins_at - moment, "first": begins_at, "now": as_of, "after": as_of + moment}
    store(shop, [Human(name) for name in times], [Deed(name, "Purchase", at) for name, at in times.items()])
    days = 0 if zone == "Pacific/Apia" else 1

    window = last(1) if days else {"type": "since", "date": "2012-01-01"}
    assert selected(shop, define(did("Purchase", window)), as_of=as_of) == {"first", "now"}


def test_days_are_counted_in_the_projects_timezone(shop: Project) -> None:
    evening = dt.datetime(2026, 7, 1, 21, 30, tzinfo=dt.UTC)
    deeds = [Deed("ada", "Visit", evening), Deed("ada", "Visit", evening + dt.timedelta(hours=1))]
    store(shop, [Human("ada")], deeds)
    on_two_days = define(did("Visit", measure={"type": "distinct_days"}, value=2))
    as_of = evening + dt.timedelta(days=3)

    assert selected(shop, on_two_days, as_of=as_of) == set()
    shop.timezone = "Europe/Berlin"
    assert selected(shop, on_two_days, as_of=as_of) == {"ada"}


def test_what_happens_after_as_of_does_not_count(shop: Project) -> None:
    noon = dt.datetime(2026, 7, 1, 12, tzinfo=dt.UTC)
    store(shop, [Human("ada"), Human("bob")], [Deed("ada", "Visit", noon)])
    for window in ({"type": "all_time"}, last(30), {"type": "fixed", "from": "2026-01-01", "to": "2026-12-31"}):
        assert selected(shop, define(did("Visit", window)), as_of=noon) == {"ada"}
        assert selected(shop, define(did("Visit", window)), as_of=noon - dt.timedelta(seconds=1)) == set()
        assert selected(shop, define(did("Visit", window, did=False)), as_of=noon - dt.timedelta(seconds=1)) == {
            "ada",
            "bob",
        }
