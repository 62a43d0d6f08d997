"""What the choices of the form are called, by what the definition calls them."""

from __future__ import annotations

from typing import TypeAlias

Choices: TypeAlias = tuple[tuple[str, str], ...]

_PRESENCE = (("is_set", "is set"), ("is_not_set", "is not set"))

BASES: Choices = (("all_users", "all users"), ("profiles", "users with a profile"))
MATCHES: Choices = (("all", "all"), ("any", "any"))
DOES: Choices = (("did", "did"), ("did_not", "did not do"), ("property", "have a property"))
EVENTS: Choices = (("named", "the event"), ("any", "any event"))
TYPES: Choices = (
    ("string", "Text"),
    ("number", "Number"),
    ("boolean", "True or false"),
    ("date", "Date"),
    ("list", "List"),
    ("object", "Inside an object"),
)
LEAVES = tuple(choice for choice in TYPES if choice[0] != "object")
OPERATORS: dict[str, Choices] = {
    "string": (
        ("equals", "is"),
        ("not_equals", "is not"),
        ("contains", "contains"),
        ("not_contains", "does not contain"),
        ("starts_with", "starts with"),
        ("ends_with", "ends with"),
        *_PRESENCE,
    ),
    "number": (
        ("equals", "is"),
        ("not_equals", "is not"),
        ("greater_than", "is greater than"),
        ("at_least", "is at least"),
        ("less_than", "is less than"),
        ("at_most", "is at most"),
        ("between", "is between"),
        ("not_between", "is not between"),
        *_PRESENCE,
    ),
    "boolean": (("is_true", "is true"), ("is_false", "is false"), *_PRESENCE),
    "date": (
        ("on", "is on"),
        ("not_on", "is not on"),
        ("before", "is before"),
        ("since", "is on or after"),
        ("between", "is between"),
        ("not_between", "is not between"),
        ("in_the_last", "is in the last"),
        ("not_in_the_last", "is not in the last"),
        ("in_the_next", "is in the next"),
        *_PRESENCE,
    ),
    "list": (
        ("any_in", "has any of"),
        ("all_in", "has nothing but"),
        ("none_in", "has none of"),
        ("contains_item", "has the item"),
        *_PRESENCE,
    ),
}
MEASURES: Choices = (
    ("total", "total number of events"),
    ("distinct_days", "number of distinct days"),
    ("sum", "sum of the property"),
    ("average", "average of the property"),
    ("minimum", "minimum of the property"),
    ("maximum", "maximum of the property"),
    ("median", "median of the property"),
    ("distinct_count", "number of distinct values of the property"),
)
COMPARISONS: Choices = (
    ("at_least", "at least"),
    ("greater_than", "more than"),
    ("equals", "exactly"),
    ("not_equals", "not exactly"),
    ("at_most", "at most"),
    ("less_than", "less than"),
    ("between", "between"),
)
WINDOWS: Choices = (
    ("last", "in the last"),
    ("fixed", "from day to day"),
    ("since", "since"),
    ("all_time", "at any time"),
)
UNITS: Choices = (("hour", "hours"), ("day", "days"), ("week", "weeks"), ("month", "months"))
