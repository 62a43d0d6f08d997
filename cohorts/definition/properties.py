"""Conditions on a property, of a profile or of an event: docs/api.md's table of types and operators.

A condition of type `object` has a dotted path as its property and the operators of the leaf. The leaf's type follows
from the operator and the values, so such a condition is an instance of that type's class.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Discriminator, Field, StrictStr, Tag, ValidationInfo, field_validator

from cohorts.definition.values import MAX_VALUES, LocalDate, Name, Number, Part, Scalar, Text, check_path, refusal
from cohorts.definition.windows import Period

_PRESENCE = ("is_set", "is_not_set")
OPERATORS: dict[str, tuple[str, ...]] = {
    "string": ("equals", "not_equals", "contains", "not_contains", "starts_with", "ends_with", *_PRESENCE),
    "number": (
        *("equals", "not_equals", "greater_than", "at_least", "less_than", "at_most"),
        *("between", "not_between", *_PRESENCE),
    ),
    "boolean": ("is_true", "is_false", *_PRESENCE),
    "date": (
        *("on", "not_on", "before", "since", "between", "not_between"),
        *("in_the_last", "not_in_the_last", "in_the_next", *_PRESENCE),
    ),
    "list": ("any_in", "all_in", "none_in", "contains_item", *_PRESENCE),
}
OPERATORS["object"] = tuple(dict.fromkeys(operator for known in OPERATORS.values() for operator in known))
_WITH_PERIODS = {"in_the_last", "not_in_the_last", "in_the_next"}
_WITHOUT_VALUES = {*_PRESENCE, "is_true", "is_false"}
_WITH_ONE_VALUE = {
    *("greater_than", "at_least", "less_than", "at_most", "on", "not_on", "before", "since", "contains_item"),
    *_WITH_PERIODS,
}
_WITH_BOUNDS = {"between", "not_between"}
_WITH_PARTS_OF_TEXTS = {"contains", "not_contains", "starts_with", "ends_with"}


class _OnProperty(Part):
    """What the conditions of all types share, in the order in which the parts are checked."""

    kind: Literal["property"]
    type: str
    property: Name
    operator: StrictStr

    @field_validator("property")
    @classmethod
    def _is_a_path_in_an_object(cls, name: str, given: ValidationInfo) -> str:
        return check_path(name) if given.data["type"] == "object" else name

    @field_validator("operator")
    @classmethod
    def _is_known_for_the_type(cls, operator: str, given: ValidationInfo) -> str:
        known = OPERATORS[given.data["type"]]
        if operator not in known:
            raise refusal(f"operator must be one of {', '.join(known)} for the type {given.data['type']}.")
        return operator

    @field_validator("values", check_fields=False)
    @classmethod
    def _are_what_the_operator_takes(cls, values: tuple[object, ...], given: ValidationInfo) -> tuple[object, ...]:
        operator = given.data.get("operator")
        if operator in _WITHOUT_VALUES:
            if values:
                raise refusal(f"Leave values out: {operator} takes none.")
        elif operator in _WITH_BOUNDS:
            if len(values) != 2:
                raise refusal(f"Give two values for {operator}: the lower and the upper bound.")
            if values[0] > values[1]:  # type: ignore[operator]
                raise refusal("Give the lower bound first.")
        elif operator in _WITH_ONE_VALUE:
            if len(values) != 1:
                raise refusal(f"Give one value in a list for {operator}; it takes no alternatives.")
        elif operator is not None and not values:
            raise refusal(f"Give at least one value in a list for {operator}.")
        if operator in _WITH_PARTS_OF_TEXTS and "" in values:
            raise refusal(f"Remove the empty text: it is a part of every text, so {operator} says nothing with it.")
        return values

    def names(self) -> tuple[str, ...]:
        """Return the way to the value: the property's name; of an object also the names of the keys below it."""
        return tuple(self.property.split(".")) if self.type == "object" else (self.property,)


class StringCondition(_OnProperty):
    """Texts, compared without regard to case."""

    type: Literal["string", "object"]
    values: Annotated[tuple[Text, ...], Field(max_length=MAX_VALUES, validate_default=True)] = ()


class NumberCondition(_OnProperty):
    """Numbers, compared exactly."""

    type: Literal["number", "object"]
    values: Annotated[tuple[Number, ...], Field(max_length=MAX_VALUES, validate_default=True)] = ()


class BooleanCondition(_OnProperty):
    """True and false, nothing that stands for them."""

    type: Literal["boolean", "object"]
    values: Annotated[tuple[Scalar, ...], Field(max_length=MAX_VALUES, validate_default=True)] = ()


class DateCondition(_OnProperty):
    """Dates and times, compared with days of the project's timezone."""

    type: Literal["date", "object"]
    values: Annotated[tuple[LocalDate, ...], Field(max_length=MAX_VALUES, validate_default=True)] = ()


class NearDateCondition(_OnProperty):
    """Dates and times, compared with now."""

    type: Literal["date", "object"]
    values: Annotated[tuple[Period, ...], Field(max_length=MAX_VALUES, validate_default=True)] = ()


class ListCondition(_OnProperty):
    """Lists of texts, numbers and booleans; a single value is a list of one."""

    type: Literal["list", "object"]
    values: Annotated[tuple[Scalar, ...], Field(max_length=MAX_VALUES, validate_default=True)] = ()


def property_tag(raw: object) -> str | None:
    """Return which class a raw condition is of, by type, operator and values; None if the type is unknown."""
    if isinstance(raw, _OnProperty):
        return _tag(raw.type, raw.operator, getattr(raw, "values", ()))
    if not isinstance(raw, dict):
        return None
    return _tag(raw.get("type"), raw.get("operator"), raw.get("values"))


def _tag(given_type: object, operator: object, values: object) -> str | None:
    if not isinstance(given_type, str) or given_type not in OPERATORS:
        return None
    if not isinstance(operator, str):
        operator = ""
    leaf = _leaf_type(operator, values) if given_type == "object" else given_type
    return "near_date" if leaf == "date" and operator in _WITH_PERIODS else leaf


def _leaf_type(operator: str, values: object) -> str:
    """Return the type of an object's leaf. An operator of several types goes by the first value."""
    first = values[0] if isinstance(values, list | tuple) and values else None
    if operator in _WITH_BOUNDS:
        return "number" if _is_number(first) else "date"
    if operator in ("equals", "not_equals"):
        return "number" if _is_number(first) else "string"
    return next((leaf for leaf, known in OPERATORS.items() if operator in known), "string")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


PropertyCondition: TypeAlias = Annotated[
    Annotated[StringCondition, Tag("string")]
    | Annotated[NumberCondition, Tag("number")]
    | Annotated[BooleanCondition, Tag("boolean")]
    | Annotated[DateCondition, Tag("date")]
    | Annotated[NearDateCondition, Tag("near_date")]
    | Annotated[ListCondition, Tag("list")],
    Discriminator(property_tag),
]
