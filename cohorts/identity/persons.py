"""Persons by their distinct_ids: found, and stored where they are new (step 3).

Called inside the transaction of a request, before any person is locked: ids come first in the order of locks, sorted
(laws.md, L4).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from django.db import IntegrityError
from django.db.backends.utils import CursorWrapper

from cohorts.arrays import json_array, number_array, text_array, time_array
from cohorts.transactions import Overtaken

_FOREIGN_KEY_VIOLATION = "23503"


@dataclass(frozen=True, slots=True)
class NewPerson:
    """A person about to be stored: their first id, and the profile they start with as JSON."""

    distinct_id: str
    properties: str = "{}"
    profile_updated_at: dt.datetime | None = None
    identified_at: dt.datetime | None = None


def find_persons(cursor: CursorWrapper, *, project_id: int, distinct_ids: Collection[str]) -> dict[str, int]:
    """Return the person of each id that is known."""
    if not distinct_ids:
        return {}
    cursor.execute(
        "SELECT sent.distinct_id, known.person_id"
        " FROM unnest(%s::bigint[], %s::text[]) AS sent (project_id, distinct_id)"
        " CROSS JOIN LATERAL (SELECT person_id FROM cohorts_distinctid AS known"
        " WHERE known.project_id = sent.project_id AND known.distinct_id = sent.distinct_id LIMIT 1) AS known",
        [number_array([project_id] * len(distinct_ids)), text_array(sorted(distinct_ids))],
    )
    return dict(cursor.fetchall())


def persons_of(
    cursor: CursorWrapper, *, project_id: int, distinct_ids: AbstractSet[str], now: dt.datetime
) -> dict[str, int]:
    """Return the person of each id; an unknown id gets a person of its own."""
    persons = find_persons(cursor, project_id=project_id, distinct_ids=distinct_ids)
    unknown = [NewPerson(distinct_id) for distinct_id in distinct_ids if distinct_id not in persons]
    if unknown:
        persons |= add_persons(cursor, project_id=project_id, persons=unknown, aliases={}, now=now)
        overtaken = [person.distinct_id for person in unknown if person.distinct_id not in persons]
        persons |= find_persons(cursor, project_id=project_id, distinct_ids=overtaken)
        if len(persons) < len(distinct_ids):
            raise Overtaken
    return persons


def add_persons(
    cursor: CursorWrapper,
    *,
    project_id: int,
    persons: Sequence[NewPerson],
    aliases: Mapping[str, str | int],
    now: dt.datetime,
) -> dict[str, int]:
    """Store persons and aliases; return the person of each id that this call stored.

    An alias is given with its owner: the first id of a person in `persons`, or a stored person. All ids go in sorted,
    in one statement; an id that somebody else stored meanwhile keeps its person and is left out of the answer. With
    aliases that would leave some pointing at nobody, so then it raises Overtaken.
    """
    cursor.execute("SELECT nextval('cohorts_person_id_seq') FROM generate_series(1, %s)", [len(persons)])
    person_ids = {person.distinct_id: row[0] for person, row in zip(persons, cursor.fetchall(), strict=True)}
    profiles = {person.distinct_id: person for person in persons}
    owners: dict[str, int] = dict(person_ids)
    for alias, owner in aliases.items():
        owners[alias] = owner if isinstance(owner, int) else person_ids[owner]
    ids = sorted(owners)
    new = [profiles.get(distinct_id) for distinct_id in ids]
    try:
        cursor.execute(
            "WITH wanted AS ("
            " SELECT * FROM unnest(%s::text[], %s::bigint[], %s::jsonb[], %s::timestamptz[], %s::timestamptz[])"
            " AS wanted (distinct_id, person_id, properties, profile_updated_at, identified_at)"
            "), stored AS ("
            " INSERT INTO cohorts_distinctid (project_id, distinct_id, person_id, created_at)"
            " SELECT %s, distinct_id, person_id, %s FROM wanted"
            " ON CONFLICT DO NOTHING RETURNING distinct_id, person_id"
            "), people AS ("
            " INSERT INTO cohorts_person"
            " (project_id, id, distinct_id, properties, profile_updated_at, identified_at, created_at)"
            " SELECT %s, stored.person_id, stored.distinct_id, properties, profile_updated_at, identified_at, %s"
            " FROM stored JOIN wanted USING (distinct_id) WHERE properties IS NOT NULL"
            ") SELECT distinct_id, person_id FROM stored",
            [
                text_array(ids),
                number_array([owners[distinct_id] for distinct_id in ids]),
                json_array([person.properties if person else None for person in new]),
                time_array([person.profile_updated_at if person else None for person in new]),
                time_array([person.identified_at if person else None for person in new]),
                project_id,
                now,
                project_id,
                now,
            ],
        )
        stored: dict[str, int] = dict(cursor.fetchall())
    except IntegrityError as error:
        # An alias of a person whose first id somebody else stored meanwhile.
        if aliases and getattr(error.__cause__, "pgcode", None) == _FOREIGN_KEY_VIOLATION:
            raise Overtaken from error
        raise
    if aliases and len(stored) < len(ids):
        raise Overtaken
    return stored
