"""What is wrong with a definition is said by field, in sentences that say what to do."""

from __future__ import annotations

import copy
import datetime as dt
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cohorts.definition import Definition, FieldError, InvalidDefinition, parse_definition
from tests.cohorts.people import define, did, last, where

Json = Any

# docs/api.md's own example, without the kinds of a later version.
EXAMPLE: Json = {
    "base": "profiles",
    "match": "all",
    "groups": [
        {
            "match": "all",
            "conditions": [
                where("plan", "string", "equals", "pro", "team"),
                {
                    "kind": "event",
                    "event": "Purchase",
                    "did": True,
                    "measure": {"type": "sum", "property": "dollars"},
                    "operator": "at_least",
                    "value": 100,
                    "window": {"type": "last", "unit": "day", "value": 30},
                    "filters": {"match": "all", "conditions": [where("units", "number", "greater_than", 1)]},
                },
            ],
        }
    ],
}
FIRST = "definition.groups[0].conditions[0]"


def errors_of(raw: object) -> tuple[FieldError, ...]:
    try:
        parse_definition(raw)
    except InvalidDefinition as error:
        return error.errors
    return ()


def refusals(raw: object) -> dict[str, str]:
    return {error.field: error.message for error in errors_of(raw)}


def test_the_example_of_the_documentation_is_accepted() -> None:
    definition = parse_definition(EXAMPLE)

    assert [condition.kind for condition in definition.groups[0].conditions] == ["property", "event"]
    assert parse_definition(copy.deepcopy(EXAMPLE)) == definition


def test_defaults_are_those_of_the_documentation() -> None:
    definition = parse_definition({"groups": [{"conditions": [did("Visit")]}]})
    condition: Any = definition.groups[0].conditions[0]

    assert (definition.base, definition.match, definition.groups[0].match) == ("all_users", "all", "all")
    assert (condition.did, condition.measure.type, condition.operator, condition.value) == (
        True,
        "total",
        "at_least",
        1,
    )


@pytest.mark.parametrize(
    ("condition", "field", "message"),
    [
        (where("x", "number", "equals", "5"), ".values[0]", "Give a number, such as 5 or 0.5, without quotes."),
        (where("x", "number", "equals", True), ".values[0]", "Give a number, such as 5 or 0.5, without quotes."),
        (where("x", "number", "equals", float("nan")), ".values[0]", "Give a finite number."),
        (where("x", "number", "equals", 10**31), ".values[0]", "Give a number between -1e30 and 1e30."),
        (where("x", "number", "equals"), ".values", "Give at least one value in a list for equals."),
        (where("x", "number", "between", 1), ".values", "Give two values for between: the lower and the upper bound."),
        (where("x", "number", "between", 2, 1), ".values", "Give the lower bound first."),
        (
            where("x", "number", "greater_than", 1, 2),
            ".values",
            "Give one value in a list for greater_than; it takes no alternatives.",
        ),
        (where("x", "string", "is_set", "a"), ".values", "Leave values out: is_set takes none."),
        (where("x", "string", "equals", 5), ".values[0]", "Give a text in quotes."),
        (
            where("x", "string", "contains", ""),
            ".values",
            "Remove the empty text: it is a part of every text, so contains says nothing with it.",
        ),
        (
            where("x", "string", "equals", "a" * 256),
            ".values[0]",
            "Shorten this to 255 characters: nothing stored is longer.",
        ),
        (where("x", "string", "equals", "a\0"), ".values[0]", "Remove the NUL character: no stored text can hold one."),
        (where("x", "string", "equals", "\ud800"), ".values[0]", "Give a text that is valid Unicode."),
        (
            where("x", "list", "any_in", "\ud800"),
            ".values[0]",
            "Remove the unpaired surrogate: the text is not valid Unicode.",
        ),
        (where("x", "list", "any_in", None), ".values[0]", "Give a text, a number, true or false."),
        (where("x", "string", "equals", *["a"] * 1001), ".values", "Give at most 1000 in the list."),
        (where("", "string", "is_set"), ".property", "Give at least one character."),
        (
            where("a" * 256, "string", "is_set"),
            ".property",
            "Shorten this to 255 characters: nothing stored is longer.",
        ),
        (
            where("a..b", "object", "is_set"),
            ".property",
            "Give a path of at most 10 names with dots between them, such as address.city.",
        ),
        (
            where("x", "boolean", "equals", True),
            ".operator",
            "operator must be one of is_true, is_false, is_set, is_not_set for the type boolean.",
        ),
        (
            where("x", "date", "on", "2026-02-30"),
            ".values[0]",
            "2026-02-30 is no day of the calendar. Give a date of the project's calendar, such as 2026-01-31.",
        ),
        (
            where("x", "date", "on", "2026-01-01T00:00:00"),
            ".values[0]",
            "Give a date of the project's calendar, such as 2026-01-31.",
        ),
        (
            where("x", "date", "in_the_last", {"unit": "year", "value": 1}),
            ".values[0].unit",
            "unit must be one of hour, day, week, month.",
        ),
        (
            where("x", "colour", "equals", "a"),
            ".type",
            "type must be one of string, number, boolean, date, list, object.",
        ),
        ({**where("a.b", "object", "equals", "x"), "operator": []}, ".operator", "Give a text in quotes."),
        ({"kind": "flow"}, ".kind", "kind must be one of property, event."),
        *(
            ({"kind": kind}, ".kind", f"kind must be one of property, event; {kind} is not supported in this version.")
            for kind in ("first_time", "cohort", "sequence")
        ),
        ("plan", "", "Give an object in braces."),
        (
            {**where("x", "string", "is_set"), "colour": 1},
            ".colour",
            "Remove this key: nothing of this name is known here.",
        ),
        ({"kind": "event", "event": "Visit"}, ".window", "Add window: it is required here."),
        (did("Visit", {"type": "last", "unit": "day"}), ".window.value", "Add value: it is required here."),
        (did("Visit", last(0)), ".window.value", "Give a number of at least 1."),
        (
            did("Visit", {"type": "last", "unit": "day", "value": 1.5}),
            ".window.value",
            "Give a whole number, such as 30, without quotes.",
        ),
        (did("Visit", last(40_000)), ".window.value", "Give at most 36525 days, which are a hundred years."),
        (
            did("Visit", last(1, ending_ago=36_525)),
            ".window.ending_ago",
            "Let the window begin at most 36525 days ago, which are a hundred years.",
        ),
        (
            did("Visit", {"type": "fixed", "from": "2026-02-01", "to": "2026-01-01"}),
            ".window.to",
            "Give a day that is not before 2026-02-01, where the window begins.",
        ),
        (did("Visit", {"type": "recent"}), ".window.type", "type must be one of last, fixed, since, all_time."),
        (did("Visit", measure={"type": "sum"}), ".measure.property", "Add property: it is required here."),
        (did("Visit", value=-1), ".value", "Give a number that is not negative: this measure counts."),
        (did("Visit", value=[1, 2]), ".value", "Give one number; only between takes two in a list."),
        (
            did("Visit", operator="between", value=1),
            ".value",
            "Give the lower and the upper bound in a list, such as [1, 5].",
        ),
        (
            did("Visit", did=False, value=3),
            ".did",
            "Leave measure, operator and value out: did not do means no such event in the window. "
            'For "fewer than", say "did": true with the operator less_than.',
        ),
        (
            did("Visit", filters={"conditions": [did("Visit")]}),
            ".filters.conditions[0].kind",
            "kind must be property in a filter.",
        ),
        (
            did("Visit", filters={"conditions": [where("x", "number", "equals", "a")]}),
            ".filters.conditions[0].values[0]",
            "Give a number, such as 5 or 0.5, without quotes.",
        ),
    ],
)
def test_a_refused_condition_says_where_and_what_to_do(condition: Json, field: str, message: str) -> None:
    assert refusals(define(condition)) == {FIRST + field: message}


@pytest.mark.parametrize(
    ("raw", "field", "message"),
    [
        (None, "definition", "Give an object in braces."),
        ([], "definition", "Give an object in braces."),
        ({}, "definition.groups", "Add groups: it is required here."),
        (
            {"groups": []},
            "definition.groups",
            "Add a group with a condition; a cohort without one would be everybody.",
        ),
        (
            {"groups": [{"conditions": []}]},
            "definition.groups[0].conditions",
            "Add a condition, or remove the group.",
        ),
        ({"groups": {}}, "definition.groups", "Give a list in brackets."),
        (
            define(where("x", "string", "is_set"), base="users"),
            "definition.base",
            "base must be one of all_users, profiles.",
        ),
        (
            define(*[where("x", "string", "is_set")] * 51),
            "definition.groups[0].conditions",
            "Give at most 50 in the list.",
        ),
        (
            {"groups": [define(*[where("x", "string", "is_set")] * 26)["groups"][0]] * 2},
            "definition.groups",
            "Use at most 50 conditions, those in filters included; there are 52. "
            "One condition takes up to 1000 values.",
        ),
    ],
)
def test_a_refused_whole_says_where_and_what_to_do(raw: object, field: str, message: str) -> None:
    assert refusals(raw) == {field: message}


def test_everything_that_is_wrong_is_said_at_once() -> None:
    found = refusals(
        define(where("x", "number", "equals", "a"), did("Visit", {"type": "x"}), did("", last(1)), {"kind": "x"})
    )

    assert sorted(found) == [
        f"{FIRST}.values[0]",
        "definition.groups[0].conditions[1].window.type",
        "definition.groups[0].conditions[2].event",
        "definition.groups[0].conditions[3].kind",
    ]


def test_a_long_unknown_key_is_not_echoed_at_length() -> None:
    (field,) = refusals({**EXAMPLE, "k" * 5000: 1})

    assert field == "definition." + "k" * 60


def test_a_flood_of_mistakes_is_cut() -> None:
    assert len(refusals(define(where("x", "number", "equals", *["a"] * 1000)))) == 100


ANY_JSON = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=3), st.sampled_from(["event", "last"])
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(st.text(max_size=3), inner, max_size=2)),
    max_leaves=4,
)
FULL: Json = define(
    *EXAMPLE["groups"][0]["conditions"],
    where("a.b", "object", "between", "2026-01-01", "2026-02-01"),
    where("a", "date", "in_the_last", {"unit": "day", "value": 1}),
    where("a", "list", "any_in", "x", 1, True),
    did("Visit", {"type": "fixed", "from": "2026-01-01", "to": "2026-01-02"}, operator="between", value=[1, 2]),
    did("Visit", last(1, ending_ago=1), did=False),
)


def places(part: Json, way: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Return the way to every part of a definition."""
    inner = part.items() if isinstance(part, dict) else enumerate(part) if isinstance(part, list) else ()
    return [way, *(found for name, each in inner for found in places(each, (*way, name)))]


@settings(max_examples=300, deadline=None)
@given(place=st.sampled_from(places(FULL)), replacement=ANY_JSON, is_key=st.booleans(), key=st.text(max_size=5))
def test_any_json_in_any_place_is_accepted_or_refused_in_sentences(
    place: tuple[str | int, ...], replacement: Json, is_key: bool, key: str
) -> None:
    raw = {"whole": copy.deepcopy(FULL)}
    *way, name = ("whole", *place)
    part: Any = raw
    for each in way:
        part = part[each]
    if is_key and isinstance(part, dict) and name != "whole":
        part[key] = replacement
    else:
        part[name] = replacement

    for error in errors_of(raw["whole"]):
        assert error.field.startswith("definition")
        assert error.message.endswith(".")


def test_the_leaf_of_an_object_has_the_type_of_operator_and_values() -> None:
    leaves = {
        "StringCondition": where("a.b", "object", "equals", "5"),
        "NumberCondition": where("a.b", "object", "equals", 5),
        "DateCondition": where("a.b", "object", "between", "2026-01-01", "2026-02-01"),
        "NearDateCondition": where("a.b", "object", "in_the_next", {"unit": "day", "value": 1}),
        "BooleanCondition": where("a.b", "object", "is_true"),
        "ListCondition": where("a.b", "object", "all_in", "x", 1),
    }

    parsed = parse_definition(define(*leaves.values()))

    assert [type(condition).__name__ for condition in parsed.groups[0].conditions] == list(leaves)


def test_a_parsed_definition_never_changes() -> None:
    definition = parse_definition(EXAMPLE)

    with pytest.raises(ValueError, match="frozen"):
        definition.base = "all_users"
    assert isinstance(definition.groups, tuple)


def test_the_model_is_the_source_of_a_json_schema() -> None:
    schema = Definition.model_json_schema()

    assert schema["properties"]["base"]["enum"] == ["all_users", "profiles"]
    assert {"EventCondition", "DateCondition"} <= set(schema["$defs"])


def test_dates_at_the_ends_of_the_calendar_are_accepted() -> None:
    window = {"type": "fixed", "from": "1000-01-01", "to": "9998-12-31"}

    condition: Any = parse_definition(define(did("Visit", window))).groups[0].conditions[0]

    assert condition.window.last == dt.date(9998, 12, 31)
