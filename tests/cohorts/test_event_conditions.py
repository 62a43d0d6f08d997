"""Measures, comparisons and filters; and who did nothing, which is somebody too."""

from __future__ import annotations

import datetime as dt
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from cohorts.compile import plan_members
from cohorts.definition import parse_definition
from cohorts.models import Project
from tests.cast import make_project
from tests.cohorts.people import define, did, last, selected, store, where
from tests.reference_evaluator import Deed, Human

NOW = dt.datetime(2026, 11, 23, 13, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)

# Who bought for how many dollars, one purchase a day back from now; None is a purchase without the property.
DOLLARS: dict[str, list[Any]] = {
    "none": [],
    "free": [None, None],
    "text": ["50", True],
    "ten": [10],
    "tens": [10, 10.0, 10],
    "low high": [1, 100],
    "three": [10, 30, 20],
    "cents": [0.1, 0.2],
    "mixed": [5, "x", None],
}
EVERYBODY = set(DOLLARS)


@pytest.fixture
def buyers(shop: Project) -> Project:
    deeds = [
        Deed(name, "Purchase", NOW - number * DAY, {} if dollars is None else {"dollars": dollars})
        for name, spent in DOLLARS.items()
        for number, dollars in enumerate(spent)
    ]
    store(shop, [Human(name) for name in DOLLARS], deeds)
    return shop


@pytest.mark.parametrize(
    ("measure", "operator", "value", "expected"),
    [
        ("total", "at_least", 3, {"tens", "three", "mixed"}),
        ("total", "greater_than", 1, {"free", "text", "tens", "low high", "three", "cents", "mixed"}),
        ("total", "equals", 1, {"ten"}),
        ("total", "equals", 0, {"none"}),
        ("total", "not_equals", 3, EVERYBODY - {"tens", "three", "mixed"}),
        ("total", "not_equals", 0, EVERYBODY - {"none"}),
        ("total", "at_most", 1, {"none", "ten"}),
        ("total", "less_than", 1, {"none"}),
        ("total", "less_than", 0, set()),
        ("total", "at_least", 0, EVERYBODY),
        ("total", "between", [1, 2], {"free", "text", "ten", "low high", "cents"}),
        ("total", "between", [0, 1], {"none", "ten"}),
        ("distinct_days", "at_least", 2, EVERYBODY - {"none", "ten"}),
        ("distinct_days", "at_most", 1, {"none", "ten"}),
        ("sum", "at_least", 30, {"tens", "low high", "three"}),
        ("sum", "equals", 0.3, {"cents"}),
        ("sum", "not_equals", 0.3, {"ten", "tens", "low high", "three", "mixed"}),
        ("sum", "less_than", 30, {"ten", "cents", "mixed"}),
        ("sum", "at_least", 0, {"ten", "tens", "low high", "three", "cents", "mixed"}),
        ("average", "equals", 50.5, {"low high"}),
        ("average", "between", [10, 20], {"ten", "tens", "three"}),
        ("average", "less_than", 5.1, {"cents", "mixed"}),
        ("minimum", "less_than", 5, {"low high", "cents"}),
        ("maximum", "greater_than", 20, {"low high", "three"}),
        ("median", "equals", 20, {"three"}),
        ("median", "equals", 50.5, {"low high"}),
        ("median", "at_most", 5, {"cents", "mixed"}),
        ("distinct_count", "at_least", 2, {"text", "low high", "three", "cents", "mixed"}),
        ("distinct_count", "equals", 1, {"ten", "tens"}),
        ("distinct_count", "equals", 0, {"none", "free"}),
        ("distinct_count", "less_than", 2, {"none", "free", "ten", "tens"}),
    ],
)
def test_a_measure_selects_exactly_these(
    buyers: Project, measure: str, operator: str, value: Any, expected: set[str]
) -> None:
    measured = {"type": measure} if measure in ("total", "distinct_days") else {"type": measure, "property": "dollars"}

    assert (
        selected(buyers, define(did("Purchase", measure=measured, operator=operator, value=value)), as_of=NOW)
        == expected
    )


def test_doing_it_once_is_what_counts_by_default(buyers: Project) -> None:
    assert selected(buyers, define(did("Purchase")), as_of=NOW) == EVERYBODY - {"none"}


def test_not_doing_it_is_for_those_without_any_event_too(buyers: Project) -> None:
    store(buyers, [Human("anonymous"), Human("profile", {"plan": "pro"})])
    did_not = define(did("Purchase", did=False))

    assert selected(buyers, did_not, as_of=NOW) == {"none", "anonymous", "profile"}
    assert selected(buyers, {**did_not, "base": "profiles"}, as_of=NOW) == {"profile"}


def test_did_not_may_say_what_is_meant_by_default(buyers: Project) -> None:
    spelled_out = did("Purchase", did=False, measure={"type": "total"}, operator="at_least", value=1)

    assert selected(buyers, define(spelled_out), as_of=NOW) == {"none"}


def test_filters_choose_which_events_are_measured(buyers: Project) -> None:
    over_nine = where("dollars", "number", "greater_than", 9)
    text = where("dollars", "string", "is_set")

    def found(*conditions: Any, match: str = "all", **fields: Any) -> set[str]:
        filters = {"match": match, "conditions": list(conditions)}
        return selected(buyers, define(did("Purchase", filters=filters, **fields)), as_of=NOW)

    assert found(over_nine, value=2) == {"tens", "three"}
    assert found(over_nine, did=False) == {"none", "free", "text", "cents", "mixed"}
    assert found(over_nine, where("dollars", "number", "less_than", 15)) == {"ten", "tens", "three"}
    assert found(over_nine, where("dollars", "string", "equals", "x"), match="any") == {
        *("ten", "tens", "low high", "three", "mixed")
    }
    assert found(text, measure={"type": "sum", "property": "dollars"}, value=100) == {"low high"}
    assert found() == EVERYBODY - {"none"}


def test_any_event_is_every_one_but_those_that_link_ids(shop: Project) -> None:
    store(
        shop,
        [Human(name) for name in ("visitor", "linked", "aliased", "merged", "idle")],
        [
            Deed("visitor", "Visit", NOW),
            Deed("linked", "$identify", NOW),
            Deed("aliased", "$create_alias", NOW),
            Deed("merged", "$merge", NOW),
        ],
    )

    assert selected(shop, define(did("$any_event")), as_of=NOW) == {"visitor"}
    assert selected(shop, define(did("$any_event", did=False)), as_of=NOW) == {"linked", "aliased", "merged", "idle"}
    assert selected(shop, define(did("$identify")), as_of=NOW) == {"linked"}


def test_an_event_without_an_id_is_nobodys(shop: Project) -> None:
    store(shop, [Human("ada")], [Deed(None, "Visit", NOW), Deed(None, "Visit", NOW)])

    assert selected(shop, define(did("Visit")), as_of=NOW) == set()
    assert selected(shop, define(did("Visit", did=False)), as_of=NOW) == {"ada"}


def test_another_projects_people_and_events_do_not_exist(shop: Project) -> None:
    rival = make_project("Rival")
    store(shop, [Human("ada")], [Deed("ada", "Visit", NOW)])
    store(rival, [Human("ada"), Human("eve")], [Deed("eve", "Visit", NOW)])

    assert selected(shop, define(did("Visit")), as_of=NOW) == {"ada"}
    assert selected(rival, define(did("Visit")), as_of=NOW) == {"eve"}
    assert selected(rival, define(did("Visit", did=False)), as_of=NOW) == {"ada"}


def test_events_clamped_from_the_future_or_without_a_time_are_found_by_when_they_occurred(shop: Project) -> None:
    """`dedup_at`, which the partitions go by, may lie far after `occurred_at`, and up to a day before it (L3)."""
    store(
        shop,
        [Human("ahead"), Human("timeless"), Human("plain")],
        [
            Deed("ahead", "Visit", NOW - DAY),
            Deed("timeless", "Visit", dt.datetime(2026, 11, 22, 23, 59, 59, tzinfo=dt.UTC)),
            Deed("plain", "Visit", NOW - 9 * DAY),
        ],
        sent_at={0: dt.datetime(2040, 1, 1, tzinfo=dt.UTC), 1: dt.datetime(2026, 11, 22, tzinfo=dt.UTC)},
    )
    # From here on the timeless one counts, whose day began before.
    window = {"type": "last", "unit": "hour", "value": 14}

    assert selected(shop, define(did("Visit", last(1))), as_of=NOW) == {"ahead", "timeless"}
    assert selected(shop, define(did("Visit", window)), as_of=NOW) == {"timeless"}
    assert selected(shop, define(did("Visit", {"type": "all_time"})), as_of=NOW) == {"ahead", "timeless", "plain"}


def test_conditions_on_the_same_events_share_a_scan() -> None:
    sum_of_dollars = {"type": "sum", "property": "dollars"}
    filters = [{"conditions": [where("x", "list", "any_in", value)]} for value in (True, 1)]
    definition = define(
        did("Purchase", last(30), value=2),
        did("Purchase", last(30), measure=sum_of_dollars, value=50),
        did("Purchase", last(30), did=False),
        did("Purchase", last(31)),
        *(did("Purchase", last(30), filters=each) for each in filters),
    )

    plan = plan_members(
        parse_definition(definition), project_id=1, zone=ZoneInfo("UTC"), as_of=NOW, is_redirecting=False
    )

    assert [len(scan.measurements) for scan in plan.scans] == [3, 1, 1, 1]
