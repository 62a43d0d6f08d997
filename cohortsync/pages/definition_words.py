"""A definition in words, for people who read a cohort: one sentence a condition, grouped as the definition is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cohorts.definition import (
    ANY_EVENT,
    AllTime,
    Condition,
    EventCondition,
    Filters,
    Fixed,
    InvalidDefinition,
    Last,
    NearDateCondition,
    Period,
    PropertyMeasure,
    Since,
    Window,
    parse_definition,
)
from cohorts.definition.properties import PropertyCondition
from cohortsync.pages.definition_form.words import COMPARISONS, MEASURES, OPERATORS

MAX_VALUES_SHOWN = 6
# An operator is called the same for every type that has it.
_OPERATORS = {operator: words for choices in OPERATORS.values() for operator, words in choices}
_OF_BOUNDS = ("between", "not_between")


@dataclass(frozen=True)
class GroupWords:
    """The sentences of a group, and whether all or any of them must hold."""

    match: str
    sentences: tuple[str, ...]


@dataclass(frozen=True)
class DefinitionWords:
    """Whom it selects from, and the groups with `all` or `any` between them."""

    base: str
    match: str
    groups: tuple[GroupWords, ...]


def definition_in_words(raw: Mapping[str, object]) -> DefinitionWords:
    """Return the words for a stored definition; one that this version cannot read says so."""
    try:
        definition = parse_definition(raw)
    except InvalidDefinition as error:
        return DefinitionWords("A definition that this version cannot read", "all", (GroupWords("", (str(error),)),))
    return DefinitionWords(
        base="All users" if definition.base == "all_users" else "Users with a profile",
        match=definition.match,
        groups=tuple(
            GroupWords(
                match="All of:" if group.match == "all" else "Any of:",
                sentences=tuple(_condition(condition) for condition in group.conditions),
            )
            for group in definition.groups
        ),
    )


def _condition(condition: Condition) -> str:
    return _event(condition) if isinstance(condition, EventCondition) else _property(condition)


def _property(condition: PropertyCondition) -> str:
    operator = _OPERATORS[condition.operator]
    values: tuple[object, ...] = getattr(condition, "values", ())
    if not values:
        return f"{condition.property} {operator}"
    if isinstance(condition, NearDateCondition):
        return f"{condition.property} {operator} {_period(condition.values[0])}"
    return f"{condition.property} {operator} {_values(values, ' and ' if condition.operator in _OF_BOUNDS else ' or ')}"


def _event(condition: EventCondition) -> str:
    event = "any event" if condition.event == ANY_EVENT else condition.event
    parts = [f"did {event}" if condition.did else f"did not do {event}"]
    if condition.did:
        parts.append(_measure(condition))
    parts.append(_window(condition.window))
    if condition.filters and condition.filters.conditions:
        parts.append(f"where {_filters(condition.filters)}")
    return " ".join(part for part in parts if part)


def _measure(condition: EventCondition) -> str:
    comparison = dict(COMPARISONS)[condition.operator]
    value = condition.value
    number = f"{value[0]} and {value[1]}" if isinstance(value, tuple) else str(value)
    if isinstance(condition.measure, PropertyMeasure):
        measure = dict(MEASURES)[condition.measure.type].removesuffix(" of the property")
        return f"with the {measure} of {condition.measure.property} {comparison} {number}"
    if condition.measure.type == "distinct_days":
        return f"on {comparison} {number} {'day' if number == '1' else 'days'}"
    return f"{comparison} {number} {'time' if number == '1' else 'times'}"


def _window(window: Window) -> str:
    match window:
        case AllTime():
            return "at any time"
        case Since():
            return f"since {window.date}"
        case Fixed():
            return f"from {window.first} to {window.last}"
        case Last():
            span = f"in the last {window.value} {window.unit}{'' if window.value == 1 else 's'}"
            return span if not window.ending_ago else f"{span}, ending {window.ending_ago} {window.unit}s ago"


def _filters(filters: Filters) -> str:
    between = " and " if filters.match == "all" else " or "
    return between.join(_property(condition) for condition in filters.conditions)


def _period(period: Period) -> str:
    return f"{period.value} {period.unit}{'' if period.value == 1 else 's'}"


def _values(values: tuple[object, ...], between: str) -> str:
    shown = [_value(value) for value in values[:MAX_VALUES_SHOWN]]
    more = len(values) - len(shown)
    return between.join(shown) if not more else f"{', '.join(shown)} or {more} more"


def _value(value: object) -> str:
    return f"“{value}”" if isinstance(value, str) else str(value)
