"""The plan as one statement: the members, and what `cohorts/resolve.py` asks about them."""

from __future__ import annotations

from cohorts.compile.behaviours import scan_sql
from cohorts.compile.folding import Folding
from cohorts.compile.fragments import Sql, joined, value
from cohorts.compile.plan import Behaviour, Combination, Plan, PropertyTest
from cohorts.compile.properties import test_sql

_PERSON_PROPERTIES = Sql("person.properties")
# The size is known without reading a profile that lies in pieces elsewhere, and an empty one is smaller than this.
IS_ANONYMOUS = Sql("(pg_column_size(person.properties) < 16 AND person.properties = '{}')")


def coverage_statement(plan: Plan, *, match_property_id: int, folding: Folding) -> Sql:
    """Return the statement with one row: members, anonymous, without match property, invalid id, matched profiles, and
    the matched keys' ids as one byte string of big-endian 32-bit integers, a shared key repeated, NULL for none.

    Only a person with a profile has a key or a reason, so only those with neither are looked at for being anonymous.
    """
    return Sql(
        "WITH member AS MATERIALIZED ({}) SELECT count(*),"
        " count(*) FILTER (WHERE held.person_id IS NULL AND member.is_anonymous),"
        " count(*) FILTER (WHERE held.person_id IS NULL AND NOT member.is_anonymous),"
        " count(*) FILTER (WHERE held.person_id IS NOT NULL AND held.match_key_id IS NULL),"
        " count(held.match_key_id), string_agg(int4send(held.match_key_id), ''::bytea)"
        " FROM member LEFT JOIN cohorts_personkey AS held"
        " ON held.project_id = {} AND held.match_property_id = {} AND held.person_id = member.id"
    ).fill(members_statement(plan, folding), value(plan.project_id), value(match_property_id))


def member_ids_statement(plan: Plan, *, after: int | None, limit: int, folding: Folding) -> Sql:
    """Return the statement with the ids of the first `limit` members above `after`, in order."""
    return Sql("SELECT id FROM ({}) AS member ORDER BY id LIMIT {}").fill(
        members_statement(plan, folding, after=after), value(limit)
    )


def persons_statement(*, project_id: int, person_ids: list[int], match_property_id: int) -> Sql:
    """Return the statement with a row for each of these persons, by id.

    A row has the person's id, distinct_id, properties, all distinct_ids by their age, and the match key's value.
    """
    project = value(project_id)
    return Sql(
        "SELECT person.id, person.distinct_id, person.properties,"
        " ARRAY(SELECT known.distinct_id FROM cohorts_distinctid AS known"
        " WHERE known.project_id = {} AND known.person_id = person.id ORDER BY known.id), key.value"
        " FROM cohorts_person AS person LEFT JOIN cohorts_personkey AS held"
        " ON held.project_id = {} AND held.match_property_id = {} AND held.person_id = person.id"
        " LEFT JOIN cohorts_matchkey AS key ON key.project_id = {} AND key.id = held.match_key_id"
        " WHERE person.project_id = {} AND person.id = ANY ({}) ORDER BY person.id"
    ).fill(project, project, value(match_property_id), project, project, value(person_ids, "bigint[]"))


def members_statement(plan: Plan, folding: Folding, *, after: int | None = None) -> Sql:
    """Return the query of members: `id` and `is_anonymous` of persons."""
    scans = [
        Sql(" LEFT JOIN ({}) AS scan_" + f"{number} ON scan_{number}.person_id = person.id").fill(
            scan_sql(scan, plan=plan, folding=folding)
        )
        for number, scan in enumerate(plan.scans)
    ]
    conditions = [Sql("person.project_id = {}").fill(value(plan.project_id)), _part(plan.root, folding)]
    if plan.is_profiles_only:
        conditions.append(Sql("NOT {}").fill(IS_ANONYMOUS))
    if after is not None:
        conditions.append(Sql("person.id > {}").fill(value(after)))
    return Sql("SELECT person.id, {} AS is_anonymous FROM cohorts_person AS person{} WHERE {}").fill(
        IS_ANONYMOUS, joined("", scans), joined(" AND ", conditions)
    )


def _part(part: Combination | Behaviour | PropertyTest, folding: Folding) -> Sql:
    match part:
        case Combination():
            pieces = [_part(each, folding) for each in part.parts]
            return Sql("({})").fill(joined(" OR " if part.is_any else " AND ", pieces))
        case Behaviour():
            flag = Sql(f"scan_{part.scan}.measurement_{part.measurement}")
            return Sql("({} IS NOT TRUE)").fill(flag) if part.is_complement else flag
        case PropertyTest():
            return test_sql(part, document=_PERSON_PROPERTIES, folding=folding)
