"""Who a definition selects, in plain Python over lists: written from contract/mixpanel.md, section 4, and docs/api.md.

It shares no code with the product, so that the two can be held against each other. Windows are decided here by the
local dates of events, and not, as there, by moments; every number is a fraction.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

Json = Any
IDENTITY_EVENTS = {"$identify", "$create_alias", "$merge"}


@dataclass(frozen=True)
class Human:
    """A person by name."""

    name: str
    properties: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True)
class Deed:
    """An event of somebody; None for an event without an id."""

    who: str | None
    event: str
    at: dt.datetime
    properties: Mapping[str, Json] = field(default_factory=dict)


def evaluate(
    definition: Json, *, humans: Iterable[Human], deeds: Sequence[Deed], timezone: str, as_of: dt.datetime
) -> set[str]:
    """Return the names of the members."""
    judge = _Judge(ZoneInfo(timezone), as_of)
    members = set()
    for human in humans:
        if definition.get("base", "all_users") == "profiles" and not human.properties:
            continue
        own = [deed for deed in deeds if deed.who == human.name and deed.at <= as_of]
        groups = [
            _match(group, [judge.condition(condition, human, own) for condition in group["conditions"]])
            for group in definition["groups"]
        ]
        if _match(definition, groups):
            members.add(human.name)
    return members


def _match(part: Json, truths: list[bool]) -> bool:
    return any(truths) if part.get("match", "all") == "any" else all(truths)


class _Judge:
    def __init__(self, zone: ZoneInfo, now: dt.datetime) -> None:
        self.zone = zone
        self.now = now
        self.today = now.astimezone(zone).date()

    def condition(self, condition: Json, human: Human, deeds: list[Deed]) -> bool:
        if condition["kind"] == "property":
            return self.property(condition, human.properties)
        return self.event(condition, deeds)

    # --- Properties -----------------------------------------------------------------------------------------------

    def property(self, condition: Json, properties: Mapping[str, Json]) -> bool:
        values = condition.get("values", [])
        operator = condition["operator"]
        kind = condition["type"]
        found = [properties.get(condition["property"])]
        if kind == "object":
            found = _at_path(properties, condition["property"].split("."))
            kind = _leaf_type(operator, values)
        if operator == "is_set":
            return any(each is not None for each in found)
        if operator == "is_not_set":
            return all(each is None for each in found)
        if kind == "list":
            return _list(operator, found, values)
        negations = {
            "not_equals": "equals",
            "not_contains": "contains",
            "not_between": "between",
            "not_on": "on",
            "not_in_the_last": "in_the_last",
        }
        if operator in negations:
            positive = negations[operator]
            return not any(self.holds(kind, positive, each, values) for each in found)
        return any(self.holds(kind, operator, each, values) for each in found)

    def holds(self, kind: str, operator: str, found: Json, values: list[Json]) -> bool:
        """A positive operator on one value."""
        if kind == "string":
            return isinstance(found, str) and any(
                _TEXTS[operator](found.casefold(), value.casefold()) for value in values
            )
        if kind == "number":
            number = _number(found)
            if number is None:
                return False
            if operator == "equals":
                return any(number == _number(value) for value in values)
            return _compare(number, operator, values if operator == "between" else values[0])
        if kind == "boolean":
            return found is (operator == "is_true")
        moment = _moment(found)
        return moment is not None and self.date(operator, moment, values)

    def date(self, operator: str, moment: dt.datetime, values: list[Json]) -> bool:
        day = moment.astimezone(self.zone).date()
        if operator in ("in_the_last", "in_the_next"):
            unit, count = values[0]["unit"], values[0]["value"]
            if unit == "hour":
                span = dt.timedelta(hours=count)
                if operator == "in_the_last":
                    return self.now - span <= moment <= self.now
                return self.now <= moment <= self.now + span
            if operator == "in_the_last":
                return day >= _shift(self.today, unit, -count) and moment <= self.now
            return moment >= self.now and day <= _shift(self.today, unit, count)
        bounds = [dt.date.fromisoformat(value) for value in values]
        return {
            "on": lambda: day == bounds[0],
            "before": lambda: day < bounds[0],
            "since": lambda: day >= bounds[0],
            "between": lambda: bounds[0] <= day <= bounds[1],
        }[operator]()

    # --- Events ---------------------------------------------------------------------------------------------------

    def event(self, condition: Json, deeds: list[Deed]) -> bool:
        name = condition["event"]
        filters = condition.get("filters") or {"conditions": []}
        chosen = [
            deed
            for deed in deeds
            if (deed.event == name or (name == "$any_event" and deed.event not in IDENTITY_EVENTS))
            and self.within(condition["window"], deed.at)
            and (
                not filters["conditions"]
                or _match(filters, [self.property(each, deed.properties) for each in filters["conditions"]])
            )
        ]
        if not condition.get("did", True):
            return not chosen
        measured = self.measure(condition.get("measure", {"type": "total"}), chosen)
        if measured is None:
            return False
        return _compare(measured, condition.get("operator", "at_least"), condition.get("value", 1))

    def within(self, window: Json, at: dt.datetime) -> bool:
        day = at.astimezone(self.zone).date()
        if window["type"] == "all_time":
            return True
        if window["type"] == "since":
            return day >= dt.date.fromisoformat(window["date"])
        if window["type"] == "fixed":
            return dt.date.fromisoformat(window["from"]) <= day <= dt.date.fromisoformat(window["to"])
        unit, count, ago = window["unit"], window["value"], window.get("ending_ago") or 0
        if unit == "hour":
            end = self.now - dt.timedelta(hours=ago)
            return end - dt.timedelta(hours=count) <= at <= end
        return _shift(self.today, unit, -count - ago) <= day <= _shift(self.today, unit, -ago)

    def measure(self, measure: Json, deeds: list[Deed]) -> Fraction | None:
        kind = measure["type"]
        if kind == "total":
            return Fraction(len(deeds))
        if kind == "distinct_days":
            return Fraction(len({deed.at.astimezone(self.zone).date() for deed in deeds}))
        values = [deed.properties.get(measure["property"]) for deed in deeds]
        if kind == "distinct_count":
            return Fraction(len({_identity(value) for value in values if value is not None}))
        numbers = sorted(number for number in map(_number, values) if number is not None)
        if not numbers:
            return None
        middle = len(numbers) // 2
        return {
            "sum": lambda: sum(numbers, Fraction()),
            "average": lambda: sum(numbers, Fraction()) / len(numbers),
            "minimum": lambda: numbers[0],
            "maximum": lambda: numbers[-1],
            "median": lambda: (numbers[(len(numbers) - 1) // 2] + numbers[middle]) / 2,
        }[kind]()


_TEXTS: dict[str, Callable[[str, str], bool]] = {
    "equals": lambda found, value: found == value,
    "contains": lambda found, value: value in found,
    "starts_with": lambda found, value: found.startswith(value),
    "ends_with": lambda found, value: found.endswith(value),
}


def _at_path(value: Json, names: list[str]) -> list[Json]:
    """All values at the end of a path; a list on the way stands for its elements."""
    if not names:
        return [value]
    if isinstance(value, list):
        return [leaf for each in value if isinstance(each, Mapping) for leaf in _at_path(each, names)]
    if isinstance(value, Mapping) and names[0] in value:
        return _at_path(value[names[0]], names[1:])
    return []


def _leaf_type(operator: str, values: list[Json]) -> str:
    first = values[0] if values else None
    if operator in ("equals", "not_equals"):
        return "number" if _number(first) is not None else "string"
    if operator in ("between", "not_between"):
        return "number" if _number(first) is not None else "date"
    for kind, operators in {
        "string": "contains not_contains starts_with ends_with",
        "number": "greater_than at_least less_than at_most",
        "boolean": "is_true is_false",
        "date": "on not_on before since in_the_last not_in_the_last in_the_next",
        "list": "any_in all_in none_in contains_item",
    }.items():
        if operator in operators.split():
            return kind
    return "string"


def _list(operator: str, found: list[Json], values: list[Json]) -> bool:
    elements = [element for each in found for element in (each if isinstance(each, list) else [each])]
    among = [any(_same(element, value) for value in values) for element in elements if element is not None]
    if operator == "all_in":
        return bool(elements) and len(among) == len(elements) and all(among)
    return any(among) != (operator == "none_in")


def _same(element: Json, value: Json) -> bool:
    if isinstance(element, str) and isinstance(value, str):
        return element.casefold() == value.casefold()
    if isinstance(element, bool) or isinstance(value, bool):
        return element is value
    return _number(element) is not None and _number(element) == _number(value)


def _number(value: Json) -> Fraction | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return Fraction(repr(value))


def _compare(number: Fraction, operator: str, value: Json) -> bool:
    if operator == "between":
        lower, upper = (Fraction(repr(bound)) for bound in value)
        return lower <= number <= upper
    bound = Fraction(repr(value))
    return {
        "at_least": number >= bound,
        "greater_than": number > bound,
        "equals": number == bound,
        "not_equals": number != bound,
        "at_most": number <= bound,
        "less_than": number < bound,
    }[operator]


def _identity(value: Json) -> object:
    """What two equal JSON values have in common: 1 and 1.0 are one, 1 and true are two, order counts in lists only."""
    if isinstance(value, list):
        return ("list", tuple(_identity(each) for each in value))
    if isinstance(value, Mapping):
        return ("object", frozenset((name, _identity(each)) for name, each in value.items()))
    return (type(value).__name__, value) if isinstance(value, str | bool | None) else ("number", _number(value))


_DATE = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,6}))?(?:(Z)|([+-])(\d\d)(?::?(\d\d))?)?)?"
)


def _moment(value: Json) -> dt.datetime | None:
    """Mixpanel's dates: YYYY-MM-DD or YYYY-MM-DDTHH:MM:SS in UTC; also with a space, a fraction, Z or an offset."""
    found = _DATE.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        return None
    year, month, day, hour, minute, second, fraction, _, sign, hours, minutes = found.groups()
    try:
        date = dt.date(int(year), int(month), int(day))
        time = dt.time(int(hour or 0), int(minute or 0), int(second or 0), int((fraction or "0").ljust(6, "0")))
    except ValueError:
        return None
    offset = dt.timedelta(hours=int(hours or 0), minutes=int(minutes or 0))
    return dt.datetime.combine(date, time, tzinfo=dt.UTC) - (offset if sign != "-" else -offset)


def _shift(day: dt.date, unit: str, count: int) -> dt.date:
    if unit != "month":
        return day + dt.timedelta(days=count * (7 if unit == "week" else 1))
    number = day.year * 12 + day.month - 1 + count
    first = dt.date(number // 12, number % 12 + 1, 1)
    while day.day > 1:
        try:
            return first.replace(day=day.day)
        except ValueError:
            day = day - dt.timedelta(days=1)
    return first
