"""Match keys: which value of a match property names a person at a destination, kept up to date as profiles change.

Steps 2 and 3 call `maintain_keys` in their transaction, while they hold the project's row FOR SHARE: a new match
property updates that row, so it waits for every writer that has not seen it, and its backfill then covers the rest
(laws.md, L6). Resolve (step 4) reads the keys.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import orjson
from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper
from django.db.models import F

from cohorts.arrays import by_key, number_array, text_array
from cohorts.erasing.keys import revive_keys
from cohorts.identity import ALIAS_PROPERTY
from cohorts.models import MatchProperty, Person, Project
from cohorts.transactions import Overtaken, in_one_transaction
from cohorts.values import JsonValue, Properties

DEFAULT_MATCH_PROPERTY = ALIAS_PROPERTY

MAX_ID_CHARACTERS = 128
# What OneSignal refuses as an External ID, or mangles as part of a path (contract/onesignal.md).
RESERVED_IDS = frozenset({".", "..", "NA", "NULL", "0", "1", "-1", "all", "00000000-0000-0000-0000-000000000000"})


@dataclass(frozen=True, slots=True)
class KeyValue:
    """What a match property says of a person: the id, or why the value is none. Neither: the person is without."""

    value: str | None = None
    invalid_reason: str | None = None


WITHOUT = KeyValue()

# A match property and a person.
_Pair: TypeAlias = tuple[int, int]


def key_value_of(value: JsonValue) -> KeyValue:
    """Return what a property's value gives as an id. Null and the empty string are no value, not an invalid one."""
    if value is None or value == "":
        return WITHOUT
    if not isinstance(value, str):
        return KeyValue(invalid_reason="The id is not a string.")
    value = value.replace("\0", "")
    if not value:
        return WITHOUT
    if len(value) > MAX_ID_CHARACTERS:
        return KeyValue(invalid_reason=f"The id is longer than {MAX_ID_CHARACTERS} characters.")
    if value in RESERVED_IDS:
        return KeyValue(invalid_reason=f"The id {value} is reserved and names nobody.")
    return KeyValue(value=value)


def add_match_property(*, project: Project, name: str) -> MatchProperty:
    """Return the project's match property of this name, made if there is none; the caller enqueues its backfill.

    It waits for every transaction that writes profiles without having seen it. Until `completed_at` is set, syncs on it
    have to wait.
    """
    existing = MatchProperty.objects.filter(project=project, name=name).first()
    if existing:
        return existing
    with transaction.atomic():
        # Locks the project's row against writers of keys until this commits.
        Project.objects.filter(pk=project.pk).update(match_properties_version=F("match_properties_version") + 1)
        return MatchProperty.objects.get_or_create(project=project, name=name)[0]


def ensure_default_match_property(project: Project) -> MatchProperty:
    """Return the project's `$onesignal_user_id`, made if there is none: complete from the start in a new project.

    Call it in the transaction that makes the project. In a project that has persons already it needs a backfill like
    any other.
    """
    match_property = add_match_property(project=project, name=DEFAULT_MATCH_PROPERTY)
    if match_property.completed_at is None and not Person.objects.filter(project=project).exists():
        match_property.completed_at = match_property.created_at
        match_property.save(update_fields=["completed_at"])
    return match_property


def match_properties(cursor: CursorWrapper, *, project_id: int) -> dict[int, str]:
    """Return the project's match properties as id -> name. Read it after the project's row is held FOR SHARE."""
    cursor.execute("SELECT id, name FROM cohorts_matchproperty WHERE project_id = %s ORDER BY id", [project_id])
    return dict(cursor.fetchall())


def maintain_keys(
    cursor: CursorWrapper,
    *,
    project_id: int,
    properties: Mapping[int, str],
    profiles: Mapping[int, Properties],
    new_persons: Collection[int] = (),
) -> None:
    """Make the keys of these persons what their profiles say; what is right already is not written.

    `properties` maps match property ids to names, `profiles` persons to their properties; `new_persons` have no keys
    yet. The persons must be locked, or new.
    """
    wanted = {
        (property_id, person): key_value_of(profile.get(name))
        for property_id, name in properties.items()
        for person, profile in profiles.items()
    }
    present = _present_keys(cursor, project_id, sorted(pair for pair in wanted if pair[1] not in new_persons))
    changed = {pair: value for pair, value in wanted.items() if value != present.get(pair, WITHOUT)}
    if not changed:
        return
    key_ids = _key_ids(
        cursor,
        project_id=project_id,
        wanted=sorted({(property_id, key.value) for (property_id, _), key in changed.items() if key.value is not None}),
    )
    _keep_former(cursor, project_id, sorted(pair for pair in changed if present.get(pair, WITHOUT).value is not None))
    gone = sorted(pair for pair, key in changed.items() if key == WITHOUT)
    if gone:
        cursor.execute(
            by_key(
                "DELETE FROM cohorts_personkey AS held"
                " USING unnest(%s::bigint[], %s::bigint[], %s::bigint[])"
                " AS gone (project_id, match_property_id, person_id)"
                " WHERE held.project_id = gone.project_id AND held.match_property_id = gone.match_property_id"
                " AND held.person_id = gone.person_id"
            ),
            _pair_arrays(project_id, gone),
        )
    kept = sorted(pair for pair, key in changed.items() if key != WITHOUT)
    # Apart from each other, for an insert that finds its row draws an id all the same.
    for statement, pairs in (
        (
            "INSERT INTO cohorts_personkey (project_id, match_property_id, person_id, match_key_id, invalid_reason)"
            " SELECT * FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[], %s::integer[], %s::text[])",
            [pair for pair in kept if pair not in present],
        ),
        (
            by_key(
                "UPDATE cohorts_personkey AS held"
                " SET match_key_id = new.match_key_id, invalid_reason = new.invalid_reason"
                " FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[], %s::integer[], %s::text[])"
                " AS new (project_id, match_property_id, person_id, match_key_id, invalid_reason)"
                " WHERE held.project_id = new.project_id AND held.match_property_id = new.match_property_id"
                " AND held.person_id = new.person_id"
            ),
            [pair for pair in kept if pair in present],
        ),
    ):
        if pairs:
            cursor.execute(
                statement,
                [
                    *_pair_arrays(project_id, pairs),
                    number_array([key_ids.get((pair[0], changed[pair].value)) for pair in pairs]),
                    text_array([changed[pair].invalid_reason for pair in pairs]),
                ],
            )


def _keep_former(cursor: CursorWrapper, project_id: int, pairs: Sequence[_Pair]) -> None:
    """Note which keys these persons are about to lose: exports may still hold them when a person is erased (L8)."""
    if not pairs:
        return
    cursor.execute(
        "INSERT INTO cohorts_formerkey (project_id, person_id, match_key_id)"
        " SELECT sent.project_id, sent.person_id, held.match_key_id"
        " FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[]) AS sent (project_id, match_property_id, person_id)"
        " CROSS JOIN LATERAL (SELECT match_key_id FROM cohorts_personkey AS held"
        " WHERE held.project_id = sent.project_id AND held.match_property_id = sent.match_property_id"
        " AND held.person_id = sent.person_id LIMIT 1) AS held"
        # Not inside, where it would let the planner take the index by key and read the whole project.
        " WHERE held.match_key_id IS NOT NULL ON CONFLICT DO NOTHING",
        _pair_arrays(project_id, pairs),
    )


def keep_former_keys(cursor: CursorWrapper, *, project_id: int, moves: Sequence[tuple[int, int]]) -> None:
    """Note the keys of persons who will be no more, and those they had before, with whoever takes them in (L8).

    `moves` are pairs of such a person and the one who survives; both must be locked, or new.
    """
    cursor.execute(
        "INSERT INTO cohorts_formerkey (project_id, person_id, match_key_id)"
        " SELECT sent.project_id, sent.winner_id, held.match_key_id"
        " FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[]) AS sent (project_id, loser_id, winner_id)"
        " CROSS JOIN LATERAL ("
        "  SELECT match_key_id FROM cohorts_personkey AS held WHERE held.project_id = sent.project_id"
        "  AND held.person_id = sent.loser_id AND held.match_key_id IS NOT NULL"
        "  UNION SELECT match_key_id FROM cohorts_formerkey AS former WHERE former.project_id = sent.project_id"
        "  AND former.person_id = sent.loser_id OFFSET 0) AS held"
        " ON CONFLICT DO NOTHING",
        [
            number_array([project_id] * len(moves)),
            number_array([loser for loser, _ in moves]),
            number_array([winner for _, winner in moves]),
        ],
    )


def backfill(*, match_property: MatchProperty, batch_size: int, now: dt.datetime) -> bool:
    """Write the keys of the next `batch_size` persons; return whether that was the last of them.

    Where it got to is kept on the row, so it may be called again at any time, also by two workers at once.
    """
    return in_one_transaction(lambda: _backfill_batch(match_property.pk, batch_size, now))


def _backfill_batch(match_property_id: int, batch_size: int, now: dt.datetime) -> bool:
    # Writers of keys share the row for their foreign keys; a lock that kept them out could deadlock with them.
    match_property = MatchProperty.objects.select_for_update(no_key=True).get(pk=match_property_id)
    if match_property.completed_at is not None:
        return True
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id, properties -> %s FROM cohorts_person WHERE project_id = %s AND id > %s"
            " ORDER BY id LIMIT %s FOR UPDATE",
            [match_property.name, match_property.project_id, match_property.backfilled_to, batch_size],
        )
        rows = cursor.fetchall()
        maintain_keys(
            cursor,
            project_id=match_property.project_id,
            properties={match_property.pk: match_property.name},
            profiles={
                person: {match_property.name: orjson.loads(value) if value is not None else None}
                for person, value in rows
            },
        )
    if rows:
        match_property.backfilled_to = rows[-1][0]
    is_complete = len(rows) < batch_size
    if is_complete:
        match_property.completed_at = now
    match_property.save(update_fields=["backfilled_to", "completed_at"])
    return is_complete


def _pair_arrays(project_id: int, pairs: Sequence[_Pair]) -> list[str]:
    return [
        number_array([project_id] * len(pairs)),
        number_array([property_id for property_id, _ in pairs]),
        number_array([person_id for _, person_id in pairs]),
    ]


def _present_keys(cursor: CursorWrapper, project_id: int, pairs: Sequence[_Pair]) -> dict[_Pair, KeyValue]:
    if not pairs:
        return {}
    cursor.execute(
        "SELECT sent.match_property_id, sent.person_id, known.value, held.invalid_reason"
        " FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[]) AS sent (project_id, match_property_id, person_id)"
        " CROSS JOIN LATERAL (SELECT match_key_id, invalid_reason FROM cohorts_personkey AS held"
        " WHERE held.project_id = sent.project_id AND held.match_property_id = sent.match_property_id"
        " AND held.person_id = sent.person_id LIMIT 1) AS held"
        " LEFT JOIN LATERAL (SELECT value FROM cohorts_matchkey AS known"
        " WHERE known.project_id = sent.project_id AND known.id = held.match_key_id LIMIT 1) AS known ON true",
        _pair_arrays(project_id, pairs),
    )
    return {(row[0], row[1]): KeyValue(row[2], row[3]) for row in cursor.fetchall()}


def _key_ids(
    cursor: CursorWrapper, *, project_id: int, wanted: list[tuple[int, str | None]]
) -> dict[tuple[int, str | None], int]:
    """Return the key of each (match property, value); ids are drawn only for values never seen (laws.md, L5).

    A key that was found is shared until the transaction ends, so that its value is not erased meanwhile (L8).
    """
    known = _known_key_ids(cursor, project_id=project_id, wanted=wanted)
    unseen = [pair for pair in wanted if pair not in known]
    if unseen:
        known |= revive_keys(cursor, project_id=project_id, wanted=unseen)
        unseen = [pair for pair in unseen if pair not in known]
    if unseen:
        cursor.execute(
            "INSERT INTO cohorts_matchkey (project_id, match_property_id, value)"
            " SELECT %s, * FROM unnest(%s::bigint[], %s::text[])"
            " ON CONFLICT DO NOTHING RETURNING match_property_id, value, id",
            [project_id, number_array([pair[0] for pair in unseen]), text_array([pair[1] for pair in unseen])],
        )
        known |= {(row[0], row[1]): row[2] for row in cursor.fetchall()}
        overtaken = [pair for pair in unseen if pair not in known]
        known |= _known_key_ids(cursor, project_id=project_id, wanted=overtaken)
        if len(known) < len(wanted):
            # Its value was erased in this very moment.
            raise Overtaken
    return known


def _known_key_ids(
    cursor: CursorWrapper, *, project_id: int, wanted: list[tuple[int, str | None]]
) -> dict[tuple[int, str | None], int]:
    if not wanted:
        return {}
    cursor.execute(
        "SELECT sent.match_property_id, sent.value, known.id"
        " FROM unnest(%s::bigint[], %s::bigint[], %s::text[]) AS sent (project_id, match_property_id, value)"
        " CROSS JOIN LATERAL (SELECT id FROM cohorts_matchkey AS known WHERE known.project_id = sent.project_id"
        " AND known.match_property_id = sent.match_property_id AND known.value = sent.value LIMIT 1"
        " FOR KEY SHARE) AS known",
        [
            number_array([project_id] * len(wanted)),
            number_array([pair[0] for pair in wanted]),
            text_array([pair[1] for pair in wanted]),
        ],
    )
    return {(row[0], row[1]): row[2] for row in cursor.fetchall()}
