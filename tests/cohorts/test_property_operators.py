"""Each row of docs/api.md's table of operators, on every kind of value a property can have, a missing one included."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.db import connection

from cohorts.compile import Folding, folding_of
from cohorts.models import Project
from tests.cohorts.people import define, did, selected, store, where
from tests.reference_evaluator import Deed, Human, evaluate

# 14:00 on Monday, 23 November, in Berlin.
NOW = dt.datetime(2026, 11, 23, 13, tzinfo=dt.UTC)

MISSING = "missing"
VALUES: dict[str, Any] = {
    "null": None,
    "empty": "",
    "pro": "Pro",
    "professional": "PROFESSIONAL",
    "percent": "100%_\\",
    "strasse": "Straße",
    "odos": "ΟΔΟΣ",
    "five text": "5",
    "five": 5,
    "five point": 5.0,
    "half": 0.5,
    "minus": -3,
    "huge": 12345678901234567890,
    "true": True,
    "false": False,
    "true text": "true",
    "no items": [],
    "items": ["Pro", 5, True],
    "pros": ["pro", "PRO"],
    "null items": [None],
    "nested items": [["pro"]],
    "object": {"pro": "pro"},
    "no date": "2026-02-30",
    "year zero": "0000-05-05",
    "today": "2026-11-23",
    "utc": "2026-11-22T23:30:00",
    "zulu": "2026-11-22T23:30:00Z",
    "offset": "2026-11-23 00:30:00.123+01:00",
    "yesterday": "2026-11-22",
    "tomorrow": "2026-11-23T23:00:00",
    "last year": "2025-11-23T12:00:00",
    "leap day": "2024-02-29",
    "no leap day": "2023-02-29",
    "just now": "2026-11-23T13:00:00",
    "in an hour": "2026-11-23T14:00:00",
    "unix": 1795435200,
}
TEXTS = {name for name, value in VALUES.items() if isinstance(value, str)}
NUMBERS = {"five", "five point", "half", "minus", "huge", "unix"}
DATES_TODAY = {"today", "utc", "zulu", "offset", "just now", "in an hour"}
DATES = {*DATES_TODAY, "yesterday", "tomorrow", "last year", "leap day"}
EVERYBODY = {*VALUES, MISSING}
SET = set(VALUES) - {"null"}

ROWS: list[tuple[str, str, list[Any], set[str]]] = [
    ("string", "equals", ["PRO"], {"pro"}),
    ("string", "equals", ["pro", "5"], {"pro", "five text"}),
    ("string", "equals", [""], {"empty"}),
    ("string", "equals", ["true"], {"true text"}),
    ("string", "not_equals", ["PRO"], EVERYBODY - {"pro"}),
    ("string", "not_equals", ["pro", ""], EVERYBODY - {"pro", "empty"}),
    ("string", "contains", ["PRO"], {"pro", "professional"}),
    ("string", "contains", ["FESS", "5"], {"professional", "five text"} | {n for n in TEXTS if "5" in VALUES[n]}),
    ("string", "contains", ["%_\\"], {"percent"}),
    ("string", "contains", ["0%"], {"percent"}),
    ("string", "not_contains", ["ro"], EVERYBODY - {"pro", "professional"}),
    ("string", "starts_with", ["pro"], {"pro", "professional"}),
    ("string", "starts_with", ["%"], set()),
    ("string", "starts_with", ["1__"], set()),
    ("string", "ends_with", ["AL", "\\"], {"professional", "percent"}),
    ("string", "is_set", [], SET),
    ("string", "is_not_set", [], {"null", MISSING}),
    ("number", "equals", [5], {"five", "five point"}),
    ("number", "equals", [0.5, -3], {"half", "minus"}),
    ("number", "equals", [12345678901234567890], {"huge"}),
    ("number", "equals", [12345678901234567891], set()),
    ("number", "not_equals", [5], EVERYBODY - {"five", "five point"}),
    ("number", "greater_than", [5], {"huge", "unix"}),
    ("number", "at_least", [5], {"five", "five point", "huge", "unix"}),
    ("number", "less_than", [0.5], {"minus"}),
    ("number", "at_most", [0.5], {"half", "minus"}),
    ("number", "between", [0.5, 5], {"half", "five", "five point"}),
    ("number", "not_between", [0.5, 5], EVERYBODY - {"half", "five", "five point"}),
    ("number", "is_set", [], SET),
    ("number", "is_not_set", [], {"null", MISSING}),
    ("boolean", "is_true", [], {"true"}),
    ("boolean", "is_false", [], {"false"}),
    ("boolean", "is_set", [], SET),
    ("boolean", "is_not_set", [], {"null", MISSING}),
    ("date", "on", ["2026-11-23"], DATES_TODAY),
    ("date", "on", ["2026-11-22"], {"yesterday"}),
    ("date", "on", ["2024-02-29"], {"leap day"}),
    ("date", "not_on", ["2026-11-23"], EVERYBODY - DATES_TODAY),
    ("date", "before", ["2026-11-23"], {"yesterday", "last year", "leap day"}),
    ("date", "since", ["2026-11-23"], {*DATES_TODAY, "tomorrow"}),
    ("date", "between", ["2025-11-23", "2026-11-22"], {"last year", "yesterday"}),
    ("date", "not_between", ["2025-11-23", "2026-11-22"], EVERYBODY - {"last year", "yesterday"}),
    ("date", "in_the_last", [{"unit": "day", "value": 1}], (DATES_TODAY | {"yesterday"}) - {"in an hour"}),
    (
        "date",
        "in_the_last",
        [{"unit": "month", "value": 12}],
        (DATES_TODAY | {"yesterday", "last year"}) - {"in an hour"},
    ),
    ("date", "in_the_last", [{"unit": "hour", "value": 13}], {"today", "just now"}),
    (
        "date",
        "not_in_the_last",
        [{"unit": "day", "value": 1}],
        EVERYBODY - ((DATES_TODAY | {"yesterday"}) - {"in an hour"}),
    ),
    ("date", "in_the_next", [{"unit": "hour", "value": 1}], {"just now", "in an hour"}),
    ("date", "in_the_next", [{"unit": "day", "value": 1}], {"just now", "in an hour", "tomorrow"}),
    ("date", "is_set", [], SET),
    ("date", "is_not_set", [], {"null", MISSING}),
    ("list", "any_in", ["PRO"], {"pro", "items", "pros"}),
    ("list", "any_in", [5, "empty"], {"five", "five point", "items"}),
    ("list", "any_in", [True], {"true", "items"}),
    ("list", "any_in", [False, ""], {"false", "empty"}),
    ("list", "none_in", ["PRO"], EVERYBODY - {"pro", "items", "pros"}),
    ("list", "all_in", ["pro"], {"pro", "pros"}),
    ("list", "all_in", ["pro", 5, True], {"pro", "pros", "items", "five", "five point", "true"}),
    ("list", "contains_item", ["pro"], {"pro", "items", "pros"}),
    ("list", "is_set", [], SET),
    ("list", "is_not_set", [], {"null", MISSING}),
]
ROW_IDS = [f"{kind} {operator} {values}" for kind, operator, values, _ in ROWS]


def everybody(property_name: str = "x") -> list[Human]:
    """One person for each kind of value."""
    return [Human(name, {property_name: value}) for name, value in VALUES.items()] + [Human(MISSING, {"y": "pro"})]


@pytest.fixture
def berlin(shop: Project) -> Project:
    shop.timezone = "Europe/Berlin"
    return shop


@pytest.mark.parametrize(("kind", "operator", "values", "expected"), ROWS, ids=ROW_IDS)
def test_an_operator_on_a_profile_selects_exactly_these(
    berlin: Project, kind: str, operator: str, values: list[Any], expected: set[str]
) -> None:
    store(berlin, everybody())
    definition = define(where("x", kind, operator, *values))

    assert selected(berlin, definition, as_of=NOW) == expected
    assert evaluate(definition, humans=everybody(), deeds=[], timezone="Europe/Berlin", as_of=NOW) == expected


@pytest.mark.parametrize(("kind", "operator", "values", "expected"), ROWS, ids=ROW_IDS)
def test_an_operator_in_an_event_filter_selects_by_the_events_own_value(
    berlin: Project, kind: str, operator: str, values: list[Any], expected: set[str]
) -> None:
    people = everybody()
    store(
        berlin,
        [Human(each.name) for each in people],
        [Deed(each.name, "Purchase", NOW, each.properties) for each in people],
    )

    filters = {"conditions": [where("x", kind, operator, *values)]}

    assert selected(berlin, define(did("Purchase", filters=filters)), as_of=NOW) == expected


@pytest.mark.parametrize(("kind", "operator", "values", "expected"), ROWS, ids=ROW_IDS)
def test_an_operator_at_the_end_of_a_path_is_the_leafs(
    berlin: Project, kind: str, operator: str, values: list[Any], expected: set[str]
) -> None:
    people = [Human(each.name, {"deep": {"er": each.properties}}) for each in everybody()]
    store(berlin, people)

    assert selected(berlin, define(where("deep.er.x", "object", operator, *values)), as_of=NOW) == expected


def test_a_name_with_a_dot_is_a_path_in_an_object_only(shop: Project) -> None:
    store(shop, [Human("flat", {"a.b": "x"}), Human("deep", {"a": {"b": "x"}})])

    assert selected(shop, define(where("a.b", "string", "equals", "x")), as_of=NOW) == {"flat"}
    assert selected(shop, define(where("a.b", "object", "equals", "x")), as_of=NOW) == {"deep"}


def test_a_list_of_objects_on_the_way_offers_each_of_its_elements(shop: Project) -> None:
    carts = {
        "both": [{"sku": "A", "price": 5}, {"sku": "B", "price": 50}],
        "cheap": [{"sku": "A", "price": 5}],
        "odd": [{"sku": "A"}, "B", None, [{"sku": "B"}]],
        "empty": [],
        "single": {"sku": "B", "price": 50},
    }
    store(shop, [Human(name, {"cart": cart}) for name, cart in carts.items()])

    def found(operator: str, *values: Any, path: str = "cart.sku") -> set[str]:
        return selected(shop, define(where(path, "object", operator, *values)), as_of=NOW)

    assert found("equals", "b") == {"both", "single"}
    assert found("not_equals", "b") == {"cheap", "odd", "empty"}
    assert found("greater_than", 10, path="cart.price") == {"both", "single"}
    assert found("any_in", "a") == {"both", "cheap", "odd"}
    assert found("all_in", "a") == {"cheap", "odd"}
    assert found("none_in", "a") == {"empty", "single"}
    assert found("is_not_set") == {"empty"}


def test_case_is_folded_beyond_ascii(shop: Project) -> None:
    store(shop, [Human("muller", {"x": "MÜLLER"}), Human("odos", {"x": "ΟΔΟΣ"}), Human("anna", {"x": "Анна"})])

    def found(operator: str, value: str) -> set[str]:
        return selected(shop, define(where("x", "string", operator, value)), as_of=NOW)

    assert found("equals", "müller") == {"muller"}
    assert found("equals", "οδος") == {"odos"}
    assert found("contains", "ННА") == {"anna"}


def test_a_sharp_s_equals_two_where_the_server_folds_as_unicode_says(shop: Project) -> None:
    if folding_of(connection) is not Folding.UNICODE:
        pytest.skip("PostgreSQL has casefold() from 18 on")
    store(shop, [Human("street", {"x": "Straße"})])

    assert selected(shop, define(where("x", "string", "equals", "STRASSE")), as_of=NOW) == {"street"}


def test_names_are_told_apart_by_case(shop: Project) -> None:
    store(shop, [Human("ada", {"Plan": "pro"})], [Deed("ada", "Purchase", NOW)])

    assert selected(shop, define(where("plan", "string", "is_set")), as_of=NOW) == set()
    assert selected(shop, define(did("purchase")), as_of=NOW) == set()


def test_profiles_as_the_base_leave_out_persons_without_properties(shop: Project) -> None:
    store(shop, [Human("ada", {"plan": "pro"}), Human("anonymous")])
    definition = define(where("country", "string", "is_not_set"))

    assert selected(shop, definition, as_of=NOW) == {"ada", "anonymous"}
    assert selected(shop, {**definition, "base": "profiles"}, as_of=NOW) == {"ada"}


def test_groups_and_conditions_combine_by_all_and_any(shop: Project) -> None:
    store(shop, [Human(f"{a}{b}{c}", {"a": a, "b": b, "c": c}) for a in (0, 1) for b in (0, 1) for c in (0, 1)])
    a, b, c = (where(name, "number", "equals", 1) for name in "abc")

    def found(match: str, *groups: tuple[str, list[Any]]) -> set[str]:
        definition = {
            "match": match,
            "groups": [{"match": inner, "conditions": conditions} for inner, conditions in groups],
        }
        return selected(shop, definition, as_of=NOW)

    assert found("all", ("any", [a, b]), ("all", [c])) == {"101", "011", "111"}
    assert found("any", ("all", [a, b]), ("all", [c])) == {"110", "111", "001", "011", "101"}
    assert found("any", ("all", [a, b, c])) == {"111"}
