"""Any definition on any people and events selects whom the independent evaluator selects, in any timezone."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cohorts.definition.properties import OPERATORS
from cohorts.models import Project
from tests.cohorts.people import selected, store
from tests.reference_evaluator import Deed, Human, evaluate

Json = Any
Draw = Callable[[st.SearchStrategy[Any]], Any]

# Shortly after clocks changed, days were skipped or midnights shown twice; and ordinary days at the ends of the world.
PLACES = [
    ("Europe/Berlin", "2026-03-30T08:30:00"),
    ("Europe/Berlin", "2026-10-25T22:15:00"),
    ("America/New_York", "2026-11-01T05:59:59"),
    ("America/New_York", "2026-03-08T23:30:00"),
    ("America/Havana", "2026-03-08T18:00:00"),
    ("America/Havana", "2026-11-02T04:30:00"),
    ("Asia/Kathmandu", "2026-05-31T18:14:59"),
    ("Pacific/Apia", "2011-12-31T12:00:00"),
    ("Pacific/Kiritimati", "2026-07-01T10:00:00"),
    ("Etc/GMT+12", "2026-07-01T11:59:00"),
]
EVENTS = ["Visit", "Purchase", "$identify"]
NAMES = ["x", "y", "a.b"]
TEXTS = ["", "pro", "PRO", "Pro team", "É", "é", "5", "100%", "a_b", "true", "\\", "Σας", "σΑΣ"]
NUMBERS = [0, 1, -1, 2, 2.0, 0.1, 0.3, 1.5, 10**18, 10**18 + 1, -0.0, 1e-9]
UNITS = ["hour", "day", "week", "month"]
MICROSECOND = dt.timedelta(microseconds=1)


@st.composite
def moments(draw: Draw, zone: str, now: dt.datetime) -> dt.datetime:
    """A moment at, just before or just after something that a window may begin or end with."""
    back = draw(st.integers(0, 65))
    if draw(st.booleans()):
        near = now - dt.timedelta(hours=back)
    else:
        day = now.astimezone(ZoneInfo(zone)).date() - dt.timedelta(days=back - 3)
        near = dt.datetime.combine(day, dt.time(), tzinfo=ZoneInfo(zone)).astimezone(dt.UTC)
    beside: dt.timedelta = draw(st.sampled_from([-MICROSECOND, 0 * MICROSECOND, MICROSECOND, dt.timedelta(hours=7)]))
    return near + beside


@st.composite
def date_texts(draw: Draw, zone: str, now: dt.datetime) -> str:
    """A date as a property may hold it, or what only looks like one."""
    at = draw(moments(zone, now))
    offset = draw(st.sampled_from([0, 60, -330, 845]))
    local = at + dt.timedelta(minutes=offset)
    sign = "-" if offset < 0 else "+"
    text: str = draw(
        st.sampled_from(
            [
                at.strftime("%Y-%m-%d"),
                at.strftime("%Y-%m-%dT%H:%M:%S"),
                at.strftime("%Y-%m-%d %H:%M:%S"),
                at.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
                local.strftime("%Y-%m-%dT%H:%M:%S.%f") + f"{sign}{abs(offset) // 60:02}:{abs(offset) % 60:02}",
                local.strftime("%Y-%m-%d %H:%M:%S") + f"{sign}{abs(offset) // 60:02}{abs(offset) % 60:02}",
                at.strftime("%Y-%m-%dT%H:%M"),
                at.strftime("%Y%m%d"),
                at.strftime("%Y-%m-31"),
                "2026-02-29",
                "today",
            ]
        )
    )
    return text


def values(zone: str, now: dt.datetime) -> st.SearchStrategy[Json]:
    """Whatever a property may hold."""
    scalars = st.one_of(
        st.sampled_from(TEXTS), st.sampled_from(NUMBERS), st.booleans(), st.none(), date_texts(zone, now)
    )
    lists = st.lists(scalars, max_size=3)
    inner = st.dictionaries(st.sampled_from(["b", "c"]), st.one_of(scalars, lists), max_size=2)
    return st.one_of(scalars, scalars, lists, inner, st.lists(st.one_of(inner, scalars), max_size=3))


@st.composite
def property_conditions(draw: Draw, zone: str, now: dt.datetime) -> Json:
    kind = draw(st.sampled_from(sorted(OPERATORS)))
    operator = draw(st.sampled_from(OPERATORS[kind]))
    condition = {
        "kind": "property",
        "property": draw(st.sampled_from(["a.b", "a.c", "x"] if kind == "object" else [*NAMES, "a"])),
        "type": kind,
        "operator": operator,
    }
    texts, numbers = st.sampled_from(TEXTS), st.sampled_from(NUMBERS)
    scalars = st.one_of(texts, numbers, st.booleans())
    today = now.astimezone(ZoneInfo(zone)).date()
    days = st.integers(-3, 62).map(lambda back: str(today - dt.timedelta(days=back)))
    leaf = kind if kind != "object" else draw(st.sampled_from(["string", "number", "date"]))
    if operator in ("is_set", "is_not_set", "is_true", "is_false"):
        return condition
    if operator in ("between", "not_between"):
        bounds = draw(st.lists(days if leaf == "date" else numbers, min_size=2, max_size=2))
        condition["values"] = sorted(bounds)
    elif operator in ("equals", "not_equals"):
        condition["values"] = draw(st.lists(numbers if leaf == "number" else texts, min_size=1, max_size=3))
    elif operator in OPERATORS["string"]:
        condition["values"] = draw(st.lists(texts.filter(bool), min_size=1, max_size=2))
    elif operator in OPERATORS["number"]:
        condition["values"] = [draw(numbers)]
    elif operator in ("in_the_last", "not_in_the_last", "in_the_next"):
        condition["values"] = [{"unit": draw(st.sampled_from(UNITS)), "value": draw(st.integers(1, 40))}]
    elif operator in OPERATORS["date"]:
        condition["values"] = [draw(days)]
    else:
        count = 1 if operator == "contains_item" else 3
        condition["values"] = draw(st.lists(scalars, min_size=1, max_size=count))
    return condition


@st.composite
def windows(draw: Draw, zone: str, now: dt.datetime) -> Json:
    today = now.astimezone(ZoneInfo(zone)).date()
    first, second = sorted(draw(st.integers(-2, 62)) for _ in range(2))
    return draw(
        st.one_of(
            st.fixed_dictionaries(
                {"type": st.just("last"), "unit": st.sampled_from(UNITS), "value": st.integers(1, 30)},
                optional={"ending_ago": st.integers(0, 20)},
            ),
            st.just(
                {
                    "type": "fixed",
                    "from": str(today - dt.timedelta(days=second)),
                    "to": str(today - dt.timedelta(days=first)),
                }
            ),
            st.just({"type": "since", "date": str(today - dt.timedelta(days=first))}),
            st.just({"type": "all_time"}),
        )
    )


@st.composite
def event_conditions(draw: Draw, zone: str, now: dt.datetime) -> Json:
    condition: Json = {
        "kind": "event",
        "event": draw(st.sampled_from([*EVENTS, "$any_event"])),
        "window": draw(windows(zone, now)),
    }
    if draw(st.booleans()):
        condition["filters"] = {
            "match": draw(st.sampled_from(["all", "any"])),
            "conditions": draw(st.lists(property_conditions(zone, now), max_size=2)),
        }
    if draw(st.integers(0, 3)) == 0:
        return {**condition, "did": False}
    kind = draw(
        st.sampled_from(["total", "distinct_days", "sum", "average", "minimum", "maximum", "median", "distinct_count"])
    )
    is_count = kind in ("total", "distinct_days", "distinct_count")
    numbers = st.integers(0, 4) if is_count else st.sampled_from([number for number in NUMBERS if abs(number) < 10])
    condition["measure"] = {"type": kind}
    if kind not in ("total", "distinct_days"):
        condition["measure"]["property"] = draw(st.sampled_from(NAMES))
    condition["operator"] = draw(
        st.sampled_from(["at_least", "greater_than", "equals", "not_equals", "at_most", "less_than", "between"])
    )
    bounds = sorted([draw(numbers), draw(numbers)])
    condition["value"] = bounds if condition["operator"] == "between" else bounds[0]
    return condition


@st.composite
def definitions(draw: Draw, zone: str, now: dt.datetime) -> Json:
    matches = st.sampled_from(["any", "all", "any"])
    conditions = st.one_of(property_conditions(zone, now), event_conditions(zone, now))
    return {
        "base": draw(st.sampled_from(["all_users", "profiles"])),
        "match": draw(matches),
        "groups": [
            {"match": draw(matches), "conditions": draw(st.lists(conditions, min_size=1, max_size=3))}
            for _ in range(draw(st.integers(1, 2)))
        ],
    }


@st.composite
def worlds(draw: Draw) -> tuple[str, dt.datetime, list[Human], list[Deed], dict[int, dt.datetime], list[Json]]:
    """A place and time, people and what they did, when that was sent, and some definitions."""
    zone, text = draw(st.sampled_from(PLACES))
    now = dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)
    properties = st.one_of(
        st.just({}), st.dictionaries(st.sampled_from([*NAMES, "a"]), values(zone, now), min_size=2, max_size=4)
    )
    humans = [Human(f"u{number}", draw(properties)) for number in range(draw(st.integers(1, 6)))]
    deeds = draw(
        st.lists(
            st.builds(
                Deed,
                who=st.sampled_from([*(human.name for human in humans), None]),
                event=st.sampled_from(EVENTS),
                at=moments(zone, now),
                properties=properties,
            ),
            max_size=14,
        )
    )
    sent_at = {}
    for position, deed in enumerate(deeds):
        match draw(st.sampled_from(["as sent", "ahead", "without a time"])):
            case "ahead":
                sent_at[position] = dt.datetime(2040, 1, 1, tzinfo=dt.UTC)
            case "without a time":
                sent_at[position] = deed.at.replace(hour=0, minute=0, second=0, microsecond=0)
    return zone, now, humans, deeds, sent_at, draw(st.lists(definitions(zone, now), min_size=3, max_size=3))


@pytest.mark.timeout(170)
@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(world=worlds())
def test_the_members_are_those_of_the_reference(
    shop: Project,
    world: tuple[str, dt.datetime, list[Human], list[Deed], dict[int, dt.datetime], list[Json]],
) -> None:
    zone, now, humans, deeds, sent_at, asked = world
    shop.timezone = zone
    with transaction.atomic():
        store(shop, humans, deeds, sent_at=sent_at)
        for definition in asked:
            expected = evaluate(definition, humans=humans, deeds=deeds, timezone=zone, as_of=now)
            assert selected(shop, definition, as_of=now) == expected
        transaction.set_rollback(True)
