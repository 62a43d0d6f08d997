"""A definition as it stands in the form: nothing but texts, right or wrong. The neighbours make, change and read it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

from cohorts.definition.properties import OPERATORS
from cohorts.definition.values import MAX_CONDITIONS, MAX_GROUPS

# The inputs of a condition, and what one that was not sent stands for.
DEFAULTS: dict[str, str] = {
    # What the sentence is about: did, did_not (an event) or property.
    "does": "did",
    # Of a property: several values one a line, or one value, or two bounds, or so many units of time.
    "property": "",
    "type": "string",
    "leaf": "string",
    "operator": "",
    "values": "",
    "value": "",
    "lower": "",
    "upper": "",
    "amount": "",
    "unit": "day",
    # Of an event: `any`, or the one that is `named`; what of it is measured, and the number or the bounds.
    "events": "named",
    "event": "",
    "measure": "total",
    "measured": "",
    "comparison": "at_least",
    "number": "1",
    "least": "",
    "most": "",
    "window": "last",
    "window-value": "30",
    "window-unit": "day",
    "window-ending_ago": "",
    "window-from": "",
    "window-to": "",
    "window-date": "",
    "filters-match": "all",
}
LEAVES = ("string", "number", "boolean", "date", "list")
# Which inputs take what is compared with.
Shape: TypeAlias = Literal["none", "several", "one", "bounds", "period"]
_PERIODS = ("in_the_last", "not_in_the_last", "in_the_next")


@dataclass(frozen=True)
class DraftCondition:
    """A condition or a filter. `fields` may hold more than its kind shows, so that a change of mind loses nothing."""

    fields: Mapping[str, str] = field(default_factory=dict)
    filters: tuple[DraftCondition, ...] = ()

    def get(self, name: str) -> str:
        """Return what an input holds."""
        return self.fields.get(name, DEFAULTS[name])

    def having(self, **fields: str) -> DraftCondition:
        """Return the same with some inputs changed."""
        return replace(self, fields={**self.fields, **fields})

    @property
    def is_on_event(self) -> bool:
        """Whether the sentence is about an event."""
        return self.get("does") in ("did", "did_not")

    @property
    def leaf(self) -> str:
        """The type of the value, also of one inside an object."""
        kind = self.get("leaf") if self.get("type") == "object" else self.get("type")
        return kind if kind in LEAVES else "string"

    @property
    def operator(self) -> str:
        """The chosen operator, or the first one of the type."""
        return self.get("operator") or OPERATORS[self.leaf][0]

    @property
    def shape(self) -> Shape:
        """Which inputs the operator takes."""
        operator = self.operator
        if operator in ("is_set", "is_not_set", "is_true", "is_false"):
            return "none"
        if operator in ("between", "not_between"):
            return "bounds"
        if operator in _PERIODS:
            return "period"
        if self.leaf == "string" or operator in ("equals", "not_equals", "any_in", "all_in", "none_in"):
            return "several"
        return "one"

    @property
    def size(self) -> int:
        """How many conditions it counts for."""
        return 1 + (len(self.filters) if self.is_on_event else 0)


@dataclass(frozen=True)
class DraftGroup:
    """Conditions with `all` or `any` between them."""

    match: str = "all"
    conditions: tuple[DraftCondition, ...] = (DraftCondition(),)


@dataclass(frozen=True)
class Draft:
    """The whole definition."""

    base: str = "all_users"
    match: str = "all"
    groups: tuple[DraftGroup, ...] = (DraftGroup(),)

    @property
    def size(self) -> int:
        """How many conditions there are, those in filters included."""
        return sum(condition.size for group in self.groups for condition in group.conditions)

    @property
    def is_within_limits(self) -> bool:
        """Whether there are not too many conditions or groups."""
        return self.size <= MAX_CONDITIONS and len(self.groups) <= MAX_GROUPS

    @property
    def has_room(self) -> bool:
        """Whether one more condition is allowed."""
        return self.size < MAX_CONDITIONS

    @property
    def has_room_for_group(self) -> bool:
        """Whether one more group with a condition is allowed."""
        return self.has_room and len(self.groups) < MAX_GROUPS


def input_name(name: str, group: int, condition: int, filter_: int | None = None) -> str:
    """Return the name of an input, such as group-0-condition-1-property."""
    return f"{place(group, condition, filter_)}-{name}"


def place(group: int, condition: int | None = None, filter_: int | None = None) -> str:
    """Return what the names of all inputs of a group, a condition or a filter begin with."""
    parts = {"group": group, "condition": condition, "filter": filter_}
    return "-".join(f"{noun}-{position}" for noun, position in parts.items() if position is not None)
