"""The SQL: what a definition says travels as a parameter, and events are read from the index of their months only."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass, field
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.db import connection

from cohorts.compile import Folding, coverage_statement, plan_members
from cohorts.definition import parse_definition
from cohorts.models import MatchProperty, Person, Project
from tests.cohorts.people import coverage_of, define, did, last, selected, store, where
from tests.reference_evaluator import Deed, Human

NOW = dt.datetime(2026, 11, 23, 13, tzinfo=dt.UTC)
TRICKS = [
    "'); DROP TABLE cohorts_person; --",
    "' OR '1'='1",
    '" || pg_sleep(10) || "',
    '$."a" ? (@ > 1)',
    "$[*]",
    "%s %(name)s %%",
    "{} {0} {{}}",
    "\\' \\\\ \\",
    "$$; SELECT 1; $$",
    "/* */ -- ",
    "a\nb\tc",
    "?|&",
    "🙂",
]


@pytest.mark.parametrize("trick", TRICKS)
def test_whatever_a_name_or_value_holds_it_is_only_itself(shop: Project, trick: str) -> None:
    store(
        shop,
        [Human("target", {trick: trick, "list": [trick], "deep": {trick: trick}}), Human("other", {"x": "x"})],
        [Deed("target", trick, NOW, {trick: trick, "n": 1}), Deed("other", "Visit", NOW, {"x": "x"})],
    )
    conditions: list[Any] = [
        where(trick, "string", "equals", trick),
        where(trick, "string", "contains", trick),
        where(trick, "string", "starts_with", trick),
        where("list", "list", "any_in", trick),
        where("list", "list", "all_in", trick),
        where(trick, "list", "contains_item", trick),
        where(f"deep.{trick.replace('.', '')}", "object", "ends_with", trick) if "." not in trick else None,
        did(trick),
        did(trick, filters={"conditions": [where(trick, "string", "equals", trick)]}),
        did(trick, measure={"type": "distinct_count", "property": trick}),
    ]

    for condition in conditions:
        if condition is not None:
            assert selected(shop, define(condition), as_of=NOW) == {"target"}
    assert selected(shop, define(did(trick, did=False)), as_of=NOW) == {"other"}
    assert Person.objects.filter(project=shop).count() == 2


def test_the_statements_text_depends_on_the_shape_alone(shop: Project) -> None:
    def text(word: str, number: float) -> str:
        definition = define(
            where(word, "string", "equals", word),
            where(word, "date", "on", "2026-01-01"),
            did(word, last(7), value=number, filters={"conditions": [where(word, "number", "between", number, 99)]}),
        )
        plan = plan_members(
            parse_definition(definition),
            project_id=int(number),
            zone=ZoneInfo("UTC"),
            as_of=NOW,
            is_redirecting=False,
        )
        return coverage_statement(plan, match_property_id=int(number), folding=Folding.UNICODE).text

    assert text("plan", 1) == text("'); DROP TABLE cohorts_person; --", 7)


@dataclass
class Explained:
    """PostgreSQL's plans of the statements that find members, as they are run."""

    plans: list[str] = field(default_factory=list)

    def __call__(self, execute: Any, sql: str, parameters: Any, many: bool, context: Any) -> Any:
        if "AS person" in sql and "cohorts_distinctid" not in sql:
            cursor = context["cursor"].cursor
            cursor.execute("EXPLAIN " + sql, parameters)
            self.plans.append("\n".join(row[0] for row in cursor.fetchall()))
        return execute(sql, parameters, many, context)


def explained(project: Project, definition: Any) -> str:
    """Resolve and return PostgreSQL's plan of it, as it is where reading whole tables costs too much."""
    explain = Explained()
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off")
    with connection.execute_wrapper(explain):
        coverage_of(project, definition, as_of=NOW)
    (plan,) = explain.plans
    return plan


def months(plan: str) -> set[str]:
    return set(re.findall(r"on cohorts_event_(\w+)", plan))


@pytest.fixture
def busy_shop(shop: Project) -> Project:
    """A project with some events in a month, which PostgreSQL knows about."""
    names = [f"u{number}" for number in range(50)]
    deeds = [
        Deed(name, event, NOW - dt.timedelta(hours=number))
        for name in names
        for number, event in enumerate(["Purchase", "Visit", "Search", "Visit"] * 5)
    ]
    store(shop, [Human(name, {"plan": "pro"}) for name in names], deeds)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE cohorts_event, cohorts_person")
    return shop


@pytest.mark.parametrize(
    "condition",
    [
        did("Purchase", last(30), value=3),
        did("Purchase", last(30), did=False),
        did("Purchase", last(30), operator="at_most", value=2),
        did("Purchase", last(30), measure={"type": "distinct_days"}, value=2),
    ],
)
def test_counting_events_reads_the_index_only_and_the_months_of_the_window(busy_shop: Project, condition: Any) -> None:
    plan = explained(busy_shop, define(condition))

    assert "Index Only Scan using cohorts_event_202611_project_id_name_occurred_at" in plan
    # From 24 October, less a day for events without a time; nothing bounds `dedup_at` from above.
    assert months(plan) == {"202610", "202611", "202612", "after"}


def test_a_filter_reads_the_events_it_must(busy_shop: Project) -> None:
    filters = {"conditions": [where("units", "number", "greater_than", 1)]}

    plan = explained(busy_shop, define(did("Purchase", last(30), filters=filters)))

    assert "Index Scan using cohorts_event_202611_project_id_name_occurred_at" in plan


@pytest.mark.parametrize("match", ["all", "any"])
def test_tables_that_were_never_analyzed_do_not_make_one_condition_be_asked_for_each_person(
    shop: Project, match: str
) -> None:
    """It took two minutes for 23,000 persons, right after they were imported."""
    definition = define(
        did("Visit"),
        did("Purchase", value=2),
        did("Search", did=False),
        where("plan", "string", "is_set"),
        match=match,
    )

    plan = explained(shop, definition)

    assert "Nested Loop" not in plan
    assert "SubPlan" not in plan


@pytest.mark.parametrize("folding", Folding)
def test_every_way_to_fold_is_sql_where_the_server_has_it(shop: Project, folding: Folding) -> None:
    needed = {Folding.UNICODE: "pg_unicode_fast", Folding.BUILT_IN: "pg_c_utf8", Folding.ICU: "und-x-icu"}
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_collation WHERE collname = %s", [needed.get(folding, "default")])
        if cursor.fetchone()[0] == 0:
            pytest.skip(f"this server has no collation {needed[folding]}")
    # A database made with the C locale, without any of the others, folds ASCII alone.
    name, part = ("MULLER", "ulle") if folding is Folding.DATABASE else ("MÜLLER", "ülle")
    store(shop, [Human("muller", {"x": name})])
    plan = plan_members(
        parse_definition(define(where("x", "string", "contains", part))),
        project_id=shop.pk,
        zone=ZoneInfo("UTC"),
        as_of=NOW,
        is_redirecting=False,
    )
    statement = coverage_statement(plan, match_property_id=MatchProperty.objects.get(project=shop).pk, folding=folding)

    with connection.cursor() as cursor:
        cursor.execute(statement.text, statement.parameters)
        assert cursor.fetchone()[0] == 1
