"""Conditions on what somebody did: an event, counted or measured in a window, with filters on its properties."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal, TypeAlias

from pydantic import Field, StrictBool, ValidationInfo, WithJsonSchema, field_validator

from cohorts.definition.properties import PropertyCondition
from cohorts.definition.values import MAX_CONDITIONS, Name, Part, read_number, refusal
from cohorts.definition.windows import Window

# An event name that stands for every event but those that only link ids.
ANY_EVENT = "$any_event"

Match: TypeAlias = Literal["all", "any"]
Comparison: TypeAlias = Literal["at_least", "greater_than", "equals", "not_equals", "at_most", "less_than", "between"]
_NUMBER_SCHEMA = {"type": "number"}
_BOUNDS_SCHEMA = {"type": "array", "items": _NUMBER_SCHEMA, "minItems": 2, "maxItems": 2}


class CountMeasure(Part):
    """How many events, or on how many local days."""

    type: Literal["total", "distinct_days"] = "total"


class PropertyMeasure(Part):
    """An aggregate of one property of the events."""

    type: Literal["sum", "average", "minimum", "maximum", "median", "distinct_count"]
    property: Name


Measure: TypeAlias = Annotated[CountMeasure | PropertyMeasure, Field(discriminator="type")]


class Filters(Part):
    """Which of the events count. No conditions: all of them."""

    match: Match = "all"
    conditions: Annotated[tuple[PropertyCondition, ...], Field(max_length=MAX_CONDITIONS)]


class EventCondition(Part):
    """Did, or did not, do an event. `value` is one number, or the two inclusive bounds of `between`.

    The fields are in the order in which they are checked.
    """

    kind: Literal["event"]
    event: Name
    measure: Measure = CountMeasure()
    operator: Comparison = "at_least"
    value: Annotated[Decimal | tuple[Decimal, Decimal], WithJsonSchema({"anyOf": [_NUMBER_SCHEMA, _BOUNDS_SCHEMA]})] = (
        Field(default=Decimal(1), validate_default=False)
    )
    did: StrictBool = True
    window: Window
    filters: Filters | None = None

    @field_validator("value", mode="plain")
    @classmethod
    def _is_what_the_operator_takes(cls, value: object, given: ValidationInfo) -> Decimal | tuple[Decimal, Decimal]:
        if given.data.get("operator") != "between":
            if isinstance(value, list | tuple):
                raise refusal("Give one number; only between takes two in a list.")
            return _sensible(read_number(value), given)
        if not isinstance(value, list | tuple) or len(value) != 2:
            raise refusal("Give the lower and the upper bound in a list, such as [1, 5].")
        lower, upper = (_sensible(read_number(bound), given) for bound in value)
        if lower > upper:
            raise refusal("Give the lower bound first.")
        return lower, upper

    @field_validator("did")
    @classmethod
    def _counts_nothing_when_false(cls, did: bool, given: ValidationInfo) -> bool:
        asked = (given.data.get("measure"), given.data.get("operator"), given.data.get("value"))
        if not did and None not in asked and asked != (CountMeasure(), "at_least", 1):
            raise refusal(
                "Leave measure, operator and value out: did not do means no such event in the window. "
                'For "fewer than", say "did": true with the operator less_than.'
            )
        return did


def _sensible(number: Decimal, given: ValidationInfo) -> Decimal:
    measure = given.data.get("measure")
    if number < 0 and measure is not None and measure.type in ("total", "distinct_days", "distinct_count"):
        raise refusal("Give a number that is not negative: this measure counts.")
    return number
