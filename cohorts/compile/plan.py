"""The plan: what a definition asks of the tables, as of a moment in a timezone, before any SQL.

Negations are gone into `is_negated` and `is_complement`, windows and dates have become intervals, and conditions that
read the same events share a scan. Made by `plan_members`, written as SQL by `statements.py`.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TypeAlias, assert_never
from zoneinfo import ZoneInfo

from cohorts.definition import (
    ANY_EVENT,
    BooleanCondition,
    Condition,
    CountMeasure,
    DateCondition,
    Definition,
    EventCondition,
    Filters,
    ListCondition,
    Measure,
    NearDateCondition,
    NumberCondition,
    PropertyCondition,
    StringCondition,
)
from cohorts.windows import Clock, Interval

# --- Tests on a property: each is true, false or, for a missing or otherwise typed value, unknown -----------------


@dataclass(frozen=True)
class IsSet:
    """The property is there and not null."""


@dataclass(frozen=True)
class TextIs:
    """A text that equals, contains, starts with or ends with one of the values, case apart. `place` says which."""

    place: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class NumberIs:
    """A number that compares so with the bounds: one of them for equals, two for between, one otherwise."""

    comparison: str
    bounds: tuple[Decimal, ...]


@dataclass(frozen=True)
class BooleanIs:
    """Exactly true, or exactly false."""

    value: bool


@dataclass(frozen=True)
class DateIn:
    """A date or time within the interval."""

    interval: Interval


@dataclass(frozen=True)
class ListHas:
    """A list with any element, or of some elements that all are, among the values; one value is a list of one.

    The values stand apart by type, since to Python `True` equals 1 and two plans must not be equal by that.
    """

    is_all: bool
    texts: tuple[str, ...]
    numbers: tuple[Decimal, ...]
    booleans: tuple[bool, ...]


Predicate: TypeAlias = IsSet | TextIs | NumberIs | BooleanIs | DateIn | ListHas


@dataclass(frozen=True)
class PropertyTest:
    """A predicate on the value at the end of `names`, or its exact negation, which holds for a missing value."""

    names: tuple[str, ...]
    predicate: Predicate
    is_negated: bool = False


# --- Behaviours -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Measurement:
    """An aggregate of somebody's events that compares so with the bounds, or, if inverted, does not."""

    measure: Measure
    comparison: str
    bounds: tuple[Decimal, ...]
    is_inverted: bool = False


@dataclass(frozen=True)
class Tests:
    """Tests of which all, or any, must hold."""

    is_any: bool
    tests: tuple[PropertyTest, ...]


@dataclass(frozen=True)
class EventSource:
    """Events to read: of one name (None: of any that is behaviour), in an interval, passing the filters."""

    name: str | None
    interval: Interval
    filters: Tests | None


@dataclass
class Scan:
    """One pass over the events of a source, which measures each person in one or more ways."""

    source: EventSource
    measurements: list[Measurement] = field(default_factory=list)


@dataclass(frozen=True)
class Behaviour:
    """The persons for whom a scan's measurement holds; or their complement, which includes those without events."""

    scan: int
    measurement: int
    is_complement: bool = False


# --- The whole ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Combination:
    """Parts of which all, or any, must hold."""

    is_any: bool
    parts: tuple[Combination | Behaviour | PropertyTest, ...]


@dataclass(frozen=True)
class Plan:
    """Which persons of the project are members. `zone` is for measures that count local days.

    `is_redirecting`: events may bear the id of a person who was merged away, and count for whom they are redirected to.
    """

    project_id: int
    zone: ZoneInfo
    is_profiles_only: bool
    is_redirecting: bool
    scans: tuple[Scan, ...]
    root: Combination


def plan_members(
    definition: Definition, *, project_id: int, zone: ZoneInfo, as_of: dt.datetime, is_redirecting: bool
) -> Plan:
    """Return what to compute. Events after `as_of` do not count; properties are those of now."""
    return _Planner(Clock(as_of.astimezone(dt.UTC), zone)).plan(definition, project_id, is_redirecting)


@dataclass
class _Planner:
    clock: Clock
    scans: dict[EventSource, Scan] = field(default_factory=dict)

    def plan(self, definition: Definition, project_id: int, is_redirecting: bool) -> Plan:
        groups = [
            Combination(group.match == "any", tuple(self._part(condition) for condition in group.conditions))
            for group in definition.groups
        ]
        return Plan(
            project_id=project_id,
            zone=self.clock.zone,
            is_profiles_only=definition.base == "profiles",
            is_redirecting=is_redirecting,
            root=Combination(definition.match == "any", tuple(groups)),
            scans=tuple(self.scans.values()),
        )

    def _part(self, condition: Condition) -> Behaviour | PropertyTest:
        return self._behaviour(condition) if isinstance(condition, EventCondition) else self._test(condition)

    def _behaviour(self, condition: EventCondition) -> Behaviour:
        source = EventSource(
            name=None if condition.event == ANY_EVENT else condition.event,
            interval=self.clock.window(condition.window),
            filters=self._filters(condition.filters),
        )
        bounds = condition.value if isinstance(condition.value, tuple) else (condition.value,)
        # "Did not do" is the complement of "at least once", which is what its other fields say.
        is_complement = not condition.did
        is_inverted = False
        if condition.did and _counts(condition.measure) and holds(condition.operator, bounds, Decimal(0)):
            is_complement = is_inverted = True
        measurement = Measurement(condition.measure, condition.operator, bounds, is_inverted)
        scan = self.scans.setdefault(source, Scan(source))
        if measurement not in scan.measurements:
            scan.measurements.append(measurement)
        return Behaviour(list(self.scans).index(source), scan.measurements.index(measurement), is_complement)

    def _filters(self, filters: Filters | None) -> Tests | None:
        if filters is None or not filters.conditions:
            return None
        return Tests(filters.match == "any", tuple(self._test(condition) for condition in filters.conditions))

    def _test(self, condition: PropertyCondition) -> PropertyTest:
        operator = condition.operator
        names = condition.names()
        if operator in ("is_set", "is_not_set"):
            return PropertyTest(names, IsSet(), operator == "is_not_set")
        match condition:
            case StringCondition():
                place, is_negated = _positive(operator)
                return PropertyTest(names, TextIs(place, condition.values), is_negated)
            case NumberCondition():
                comparison, is_negated = _positive(operator)
                return PropertyTest(names, NumberIs(comparison, condition.values), is_negated)
            case BooleanCondition():
                return PropertyTest(names, BooleanIs(operator == "is_true"))
            case DateCondition():
                return self._date_test(names, condition)
            case NearDateCondition():
                near, is_negated = _positive(operator)
                period = condition.values[0]
                interval = self.clock.next(period) if near == "in_the_next" else self.clock.last(period)
                return PropertyTest(names, DateIn(interval), is_negated)
            case ListCondition():
                return PropertyTest(names, _list_has(condition), operator == "none_in")
            case _:
                assert_never(condition)

    def _date_test(self, names: tuple[str, ...], condition: DateCondition) -> PropertyTest:
        operator, is_negated = _positive(condition.operator)
        first, last = condition.values[0], condition.values[-1]
        if operator == "before":
            interval = Interval(None, self.clock.midnight(first))
        elif operator == "since":
            interval = Interval(self.clock.midnight(first), None)
        else:
            interval = self.clock.days(first, last)
        return PropertyTest(names, DateIn(interval), is_negated)


def _list_has(condition: ListCondition) -> ListHas:
    return ListHas(
        is_all=condition.operator == "all_in",
        texts=tuple(value for value in condition.values if isinstance(value, str)),
        numbers=tuple(value for value in condition.values if isinstance(value, Decimal)),
        booleans=tuple(value for value in condition.values if isinstance(value, bool)),
    )


def _positive(operator: str) -> tuple[str, bool]:
    """Return the operator without its negation, and whether it had one."""
    return operator.removeprefix("not_"), operator.startswith("not_")


def _counts(measure: Measure) -> bool:
    """Return whether the measure of no events is zero, and not unknown."""
    return isinstance(measure, CountMeasure) or measure.type == "distinct_count"


def holds(comparison: str, bounds: tuple[Decimal, ...], number: Decimal) -> bool:
    """Return whether a number compares so with the bounds."""
    match comparison:
        case "at_least":
            return number >= bounds[0]
        case "greater_than":
            return number > bounds[0]
        case "equals":
            return number == bounds[0]
        case "not_equals":
            return number != bounds[0]
        case "at_most":
            return number <= bounds[0]
        case "less_than":
            return number < bounds[0]
        case "between":
            return bounds[0] <= number <= bounds[1]
    raise AssertionError(f"{comparison} is no comparison")
