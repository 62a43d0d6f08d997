"""Step 3, identify: distinct_ids -> persons, and the aliases that setting `$onesignal_user_id` makes.

Called by `ingest/events.py` and `ingest/profiles.py` inside their transaction, before any person is locked: ids come
first in the order of locks, sorted (laws.md, L4).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from django.db import IntegrityError
from django.db.backends.utils import CursorWrapper

from cohorts.arrays import json_array, number_array, text_array, time_array
from cohorts.messages import Delete, ProfileUpdate, Set, SetOnce, Unset
from cohorts.refusals import Reason
from cohorts.transactions import Overtaken
from cohorts.values import JsonValue, clean_text

# Mixpanel: what broken code sends instead of an id, for distinct_id and $insert_id alike (contract, 1.5).
DENYLIST = frozenset(
    {
        "00000000-0000-0000-0000-000000000000",
        "anon",
        "anonymous",
        "nil",
        "none",
        "null",
        "n/a",
        "na",
        "undefined",
        "unknown",
        "<nil>",
        "0",
        "-1",
        "true",
        "false",
        "[]",
        "{}",
    }
)
# Mixpanel: original ID merge.
MAX_IDS_PER_PERSON = 500
# The property whose value becomes an alias, so that messages coming back from OneSignal belong to the right person.
ALIAS_PROPERTY = "$onesignal_user_id"

_LARGEST_EXACT = 2**53
_FOREIGN_KEY_VIOLATION = "23503"


def is_usable(distinct_id: str) -> bool:
    """Return whether the id can name somebody."""
    return bool(distinct_id) and distinct_id.lower() not in DENYLIST


def text_of_id(value: JsonValue) -> str | None:
    """Return an id as text: any scalar is one (Mixpanel); None for what names nothing exactly."""
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float) and abs(value) <= _LARGEST_EXACT:
        # A number beyond that may have lost digits on the way, and so name somebody else.
        return str(int(value)) if value.is_integer() else repr(value)
    return None


@dataclass(frozen=True, slots=True)
class NewPerson:
    """A person about to be stored: their first id, and the profile they start with as JSON."""

    distinct_id: str
    properties: str = "{}"
    profile_updated_at: dt.datetime | None = None


@dataclass(slots=True)
class AddressPlan:
    """Which person each update addresses, and which ids are new.

    A person not stored yet is a negative number, the same wherever they appear. `owners` holds every id looked at,
    `new_persons` the ids whose person is new, `new_aliases` those that are added to a person.
    """

    addressees: list[int | None] = field(default_factory=list)
    owners: dict[str, int] = field(default_factory=dict)
    new_persons: dict[str, int] = field(default_factory=dict)
    new_aliases: dict[str, int] = field(default_factory=dict)
    refusals: list[tuple[ProfileUpdate, Reason, str]] = field(default_factory=list)


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
            " SELECT * FROM unnest(%s::text[], %s::bigint[], %s::jsonb[], %s::timestamptz[])"
            " AS wanted (distinct_id, person_id, properties, profile_updated_at)"
            "), stored AS ("
            " INSERT INTO cohorts_distinctid (project_id, distinct_id, person_id, created_at)"
            " SELECT %s, distinct_id, person_id, %s FROM wanted"
            " ON CONFLICT DO NOTHING RETURNING distinct_id, person_id"
            "), people AS ("
            " INSERT INTO cohorts_person (project_id, id, distinct_id, properties, profile_updated_at, created_at)"
            " SELECT %s, stored.person_id, stored.distinct_id, properties, profile_updated_at, %s"
            " FROM stored JOIN wanted USING (distinct_id) WHERE properties IS NOT NULL"
            ") SELECT distinct_id, person_id FROM stored",
            [
                text_array(ids),
                number_array([owners[distinct_id] for distinct_id in ids]),
                json_array([person.properties if person else None for person in new]),
                time_array([person.profile_updated_at if person else None for person in new]),
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


def plan_addresses(
    *,
    updates: Iterable[ProfileUpdate],
    found: Mapping[str, int],
    holders: Collection[int],
    sizes: Mapping[int, int],
    literal: Mapping[str, int | None],
    is_aliasing: bool,
) -> AddressPlan:
    """Decide in the order of the request whom each update addresses and which aliases it makes.

    `found` is who owns the known ids, `holders` the persons whose `$onesignal_user_id` is set, `sizes` how many ids
    persons have, `literal` the person of each alias that is addressed literally. An id taken by one update of the
    request is taken for the next one. (Contract, 3.4; aliases only in projects on original ID merge.)
    """
    plan = AddressPlan(owners=dict(found))
    is_set = dict.fromkeys(holders, True)
    counts = dict(sizes)
    for update in updates:
        if update.is_literal and update.distinct_id in literal:
            # Nobody is addressed by it, so it gets no aliases.
            plan.addressees.append(literal[update.distinct_id])
            continue
        person = plan.owners.get(update.distinct_id)
        if person is None and update.is_creating:
            person = -(len(plan.new_persons) + 1)
            plan.owners[update.distinct_id] = plan.new_persons[update.distinct_id] = person
            counts[person] = 1
        plan.addressees.append(person)
        if person is None or not is_aliasing:
            continue
        for value in _values_taken(update, person, is_set):
            owner = plan.owners.get(value) if isinstance(value, str) else None
            if not isinstance(value, str) or not is_usable(value):
                plan.refusals.append((update, Reason.ALIAS_UNUSABLE, "the value names nobody: no alias was made"))
            elif owner is not None and owner != person:
                plan.refusals.append((update, Reason.ALIAS_TAKEN, "the value is an id of another person: no alias"))
            elif owner is None and counts.get(person, 1) >= MAX_IDS_PER_PERSON:
                plan.refusals.append((update, Reason.ALIAS_TOO_MANY, f"a person has at most {MAX_IDS_PER_PERSON} ids"))
            elif owner is None:
                plan.owners[value] = plan.new_aliases[value] = person
                counts[person] = counts.get(person, 1) + 1
    return plan


def wished_aliases(updates: Iterable[ProfileUpdate]) -> set[str]:
    """Return the values of `$onesignal_user_id` in these updates that could become aliases."""
    return {
        value
        for update in updates
        for operation in update.operations
        if isinstance(operation, Set | SetOnce)
        and isinstance(value := operation.properties.get(ALIAS_PROPERTY), str)
        and is_usable(value)
    }


def _values_taken(update: ProfileUpdate, person: int, is_set: dict[int, bool]) -> list[JsonValue]:
    """Return the values that the person's `$onesignal_user_id` takes by this update; note whether it is set then."""
    taken: list[JsonValue] = []
    for operation in update.operations:
        if isinstance(operation, Set) and ALIAS_PROPERTY in operation.properties:
            value = operation.properties[ALIAS_PROPERTY]
            is_set[person] = value is not None
            if value is not None:
                taken.append(value)
        elif isinstance(operation, SetOnce):
            value = operation.properties.get(ALIAS_PROPERTY)
            if value is not None and not is_set.get(person, False):
                is_set[person] = True
                taken.append(value)
        elif isinstance(operation, Delete) or (isinstance(operation, Unset) and ALIAS_PROPERTY in operation.names):
            is_set[person] = False
    return taken
