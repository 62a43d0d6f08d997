"""Whom the profile updates of a request address: what `cohorts/identity.py` decides from, read from the database.

Everything here is read before persons are locked; `ingest/profiles.py` checks afterwards that it still holds.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet

from django.db.backends.utils import CursorWrapper

from cohorts.arrays import number_array, text_array
from cohorts.identity import ALIAS_PROPERTY, AddressPlan, find_persons, plan_addresses, wished_aliases
from cohorts.messages import ProfileUpdate, SetOnce


def plan_request(
    cursor: CursorWrapper,
    *,
    project_id: int,
    updates: Sequence[ProfileUpdate],
    is_aliasing: bool,
    now: dt.datetime,
) -> tuple[AddressPlan, dict[int, bool]]:
    """Return whom each update addresses, and for the persons whose aliases depend on it whether the property is set."""
    aliases = wished_aliases(updates) if is_aliasing else set()
    found = find_persons(
        cursor, project_id=project_id, distinct_ids={update.distinct_id for update in updates} | aliases
    )
    holders = _holders(cursor, project_id, updates, found) if aliases else {}
    plan = plan_addresses(
        updates=updates,
        found=found,
        holders=[person_id for person_id, is_set in holders.items() if is_set],
        sizes={} if aliases <= found.keys() else id_counts(cursor, project_id, found.values()),
        literal=_literal_persons(cursor, project_id, [update for update in updates if update.is_literal], now),
        is_aliasing=is_aliasing,
    )
    return plan, holders


def _holders(
    cursor: CursorWrapper, project_id: int, updates: Iterable[ProfileUpdate], found: Mapping[str, int]
) -> dict[int, bool]:
    """Return, for the stored persons with a `$set_once` of the alias property, whether it is set."""
    persons = {
        found[update.distinct_id]
        for update in updates
        if update.distinct_id in found
        and any(isinstance(each, SetOnce) and ALIAS_PROPERTY in each.properties for each in update.operations)
    }
    if not persons:
        return {}
    cursor.execute(
        "SELECT sent.id, person.is_set FROM unnest(%s::bigint[], %s::bigint[]) AS sent (project_id, id)"
        " CROSS JOIN LATERAL (SELECT properties ? %s AS is_set FROM cohorts_person AS person"
        " WHERE person.project_id = sent.project_id AND person.id = sent.id LIMIT 1) AS person",
        [number_array([project_id] * len(persons)), number_array(sorted(persons)), ALIAS_PROPERTY],
    )
    return dict(cursor.fetchall())


def id_counts(cursor: CursorWrapper, project_id: int, person_ids: Iterable[int]) -> dict[int, int]:
    """Return how many ids each of these persons has."""
    persons = sorted(set(person_ids))
    cursor.execute(
        "SELECT sent.id, known.count FROM unnest(%s::bigint[], %s::bigint[]) AS sent (project_id, id)"
        " CROSS JOIN LATERAL (SELECT count(*) FROM cohorts_distinctid AS known"
        " WHERE known.project_id = sent.project_id AND known.person_id = sent.id) AS known",
        [number_array([project_id] * len(persons)), number_array(persons)],
    )
    return dict(cursor.fetchall())


def _literal_persons(
    cursor: CursorWrapper, project_id: int, updates: Sequence[ProfileUpdate], now: dt.datetime
) -> dict[str, int | None]:
    """Return, for each alias that is addressed literally, the person with the profile of that literal id, if any.

    The one of an update that makes profiles is made.
    """
    if not updates:
        return {}
    ids = sorted({update.distinct_id for update in updates})
    cursor.execute(
        "SELECT sent.distinct_id FROM unnest(%s::bigint[], %s::text[]) AS sent (project_id, distinct_id)"
        " CROSS JOIN LATERAL (SELECT person_id FROM cohorts_distinctid AS known"
        " WHERE known.project_id = sent.project_id AND known.distinct_id = sent.distinct_id LIMIT 1) AS known"
        " CROSS JOIN LATERAL (SELECT FROM cohorts_person AS person WHERE person.project_id = sent.project_id"
        " AND person.id = known.person_id AND person.distinct_id <> sent.distinct_id LIMIT 1) AS person",
        [number_array([project_id] * len(ids)), text_array(ids)],
    )
    aliases = {row[0] for row in cursor.fetchall()}
    literals = _stored_literals(cursor, project_id, aliases)
    new = sorted({update.distinct_id for update in updates if update.is_creating} & aliases - literals.keys())
    if new:
        cursor.execute(
            "INSERT INTO cohorts_person (project_id, distinct_id, is_literal, created_at)"
            " SELECT %s, literal, true, %s FROM unnest(%s::text[]) AS literal ON CONFLICT DO NOTHING",
            [project_id, now, text_array(new)],
        )
        literals = _stored_literals(cursor, project_id, aliases)
    return dict.fromkeys(aliases) | literals


def _stored_literals(cursor: CursorWrapper, project_id: int, ids: AbstractSet[str]) -> dict[str, int]:
    cursor.execute(
        "SELECT sent.distinct_id, person.id FROM unnest(%s::bigint[], %s::text[]) AS sent (project_id, distinct_id)"
        " CROSS JOIN LATERAL (SELECT id FROM cohorts_person AS person WHERE person.project_id = sent.project_id"
        " AND person.distinct_id = sent.distinct_id AND person.is_literal LIMIT 1) AS person",
        [number_array([project_id] * len(ids)), text_array(sorted(ids))],
    )
    return dict(cursor.fetchall())
