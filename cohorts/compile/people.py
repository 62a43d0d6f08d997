"""Queries for people: whoever passes all of some tests, frozen as one value, and the profiles of some of them.

`cohorts/people_sessions.py` runs the statements.
"""

from __future__ import annotations

from dataclasses import dataclass

from cohorts.compile.expressions import LAST_SEEN_SQL, expression_sql
from cohorts.compile.folding import Folding
from cohorts.compile.fragments import Sql, joined, value
from cohorts.compile.plan import Plan
from cohorts.compile.statements import IS_ANONYMOUS, members_statement
from cohorts.expressions import Expression


@dataclass(frozen=True)
class PeopleSelection:
    """Which persons of a project: members of a cohort, some by id, whoever an expression holds for; None: all."""

    project_id: int
    plan: Plan | None = None
    person_ids: list[int] | None = None
    where: Expression | None = None
    has_profile: bool = False


def frozen_statement(selection: PeopleSelection, *, folding: Folding) -> Sql:
    """Return the statement with one row: how many persons, and their ids as 8 big-endian bytes each, ascending.

    Raises ExpressionError.
    """
    return Sql(
        "SELECT count(*), COALESCE(string_agg(int8send(chosen.id), ''::bytea ORDER BY chosen.id), ''::bytea)"
        " FROM ({}) AS chosen"
    ).fill(_chosen(selection, folding))


def profiles_statement(*, project_id: int, person_ids: list[int], names: list[str] | None) -> Sql:
    """Return the statement with a row for each of these persons, by id: distinct_id, and the properties as text.

    `$last_seen` is among the properties of whoever has a profile. `names` leaves only those properties.
    """
    document = Sql(
        "person.properties || CASE WHEN {} OR person.profile_updated_at IS NULL THEN jsonb_build_object()"
        " ELSE jsonb_build_object({}, " + LAST_SEEN_SQL + ") END"
    ).fill(IS_ANONYMOUS, value("$last_seen", "text"))
    if names is not None:
        document = Sql(
            "COALESCE((SELECT jsonb_object_agg(part.key, part.value) FROM jsonb_each({}) AS part"
            " WHERE part.key = ANY ({})), jsonb_build_object())"
        ).fill(document, value(names, "text[]"))
    return Sql(
        "SELECT person.distinct_id, ({})::text FROM unnest({}) AS wanted (project_id, id)"
        " CROSS JOIN LATERAL (SELECT * FROM cohorts_person AS known WHERE known.project_id = wanted.project_id"
        " AND known.id = wanted.id LIMIT 1) AS person ORDER BY person.id"
    ).fill(
        document,
        joined(", ", [value([project_id] * len(person_ids), "bigint[]"), value(person_ids, "bigint[]")]),
    )


def _chosen(selection: PeopleSelection, folding: Folding) -> Sql:
    conditions = [Sql("person.project_id = {}").fill(value(selection.project_id))]
    if selection.person_ids is not None:
        conditions.append(Sql("person.id = ANY ({})").fill(value(selection.person_ids, "bigint[]")))
    if selection.has_profile:
        conditions.append(Sql("NOT {}").fill(IS_ANONYMOUS))
    if selection.where is not None:
        conditions.append(expression_sql(selection.where, folding=folding))
    if selection.plan is not None:
        conditions.append(
            Sql("person.id IN (SELECT member.id FROM ({}) AS member)").fill(members_statement(selection.plan, folding))
        )
    return Sql("SELECT person.id FROM cohorts_person AS person WHERE {}").fill(joined(" AND ", conditions))
