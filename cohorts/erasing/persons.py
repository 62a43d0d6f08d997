"""The first and deciding transaction of an erasure: after it nothing leads to the persons any more.

Locks are taken in the law's order (laws.md, L4): distinct_ids, persons, match keys, then the refusals of the day. The
way in is `integrations/erasing.py`, which also has the removals at destinations done.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Sequence

from django.db import connection
from django.db.backends.utils import CursorWrapper

from cohorts.arrays import by_key, number_array, text_array
from cohorts.erasing.hashes import id_hash
from cohorts.erasing.samples import erase_samples
from cohorts.identity import find_persons, is_usable
from cohorts.identity.redirects import take_losers
from cohorts.models import ErasedKey, ErasedPerson, Erasure, Project
from cohorts.transactions import Overtaken, hold_project, in_one_transaction
from cohorts.values import clean_text


def erase_persons(
    *, project: Project, distinct_ids: Collection[str], requested_by: str, compliance_type: str, now: dt.datetime
) -> Erasure:
    """Erase the persons with these ids, with all other ids of theirs, and return the request's audit row.

    When it returns, persons, ids, profiles (those of literal ids too) and samples of refusals are gone, their match
    keys are detached and due to be erased, and their events are reached by no query. An id nobody has changes nothing
    but is cleared from the samples. Whoever sends events with an erased id afterwards is a new person. Raises
    ProjectGone.
    """
    # As ingest reads them, so that the same text finds the same person.
    ids = sorted({clean_text(distinct_id) for distinct_id in distinct_ids})
    ids = [distinct_id for distinct_id in ids if is_usable(distinct_id)]

    def erase() -> Erasure:
        with connection.cursor() as cursor:
            return _erase(cursor, project.pk, ids, requested_by, compliance_type, now)

    return in_one_transaction(erase)


def _erase(
    cursor: CursorWrapper,
    project_id: int,
    ids: Sequence[str],
    requested_by: str,
    compliance_type: str,
    now: dt.datetime,
) -> Erasure:
    hold_project(cursor, project_id=project_id, is_writing_keys=False)
    known, persons = _locked(cursor, project_id, ids)
    names = {*ids, *known}
    keys = _keys(cursor, project_id, persons, names)
    erasure = Erasure.objects.create(
        project_id=project_id,
        requested_by=requested_by[:255],
        compliance_type=compliance_type,
        requested_at=now,
        id_hashes=[id_hash(project_id=project_id, distinct_id=distinct_id) for distinct_id in ids],
        person_count=len(set(known.values())),
        key_count=len(keys),
    )
    # Whoever was merged into them left events under an id of their own until those are swept.
    swept = sorted({*persons, *take_losers(cursor, project_id=project_id, winners=persons)})
    ErasedPerson.objects.bulk_create(
        ErasedPerson(project_id=project_id, person_id=person_id, erasure=erasure) for person_id in swept
    )
    ErasedKey.objects.bulk_create(
        [
            ErasedKey(project_id=project_id, match_property_id=property_id, match_key_id=key_id, erasure=erasure)
            for key_id, (property_id, _) in sorted(keys.items())
        ],
        update_conflicts=True,
        unique_fields=["project", "match_key"],
        update_fields=["erasure", "is_due", "looked_at"],
    )
    _delete(cursor, project_id, known, persons)
    erase_samples(cursor, project_id=project_id, values={*names, *(value for _, value in keys.values() if value)})
    return erasure


def _locked(cursor: CursorWrapper, project_id: int, ids: Sequence[str]) -> tuple[dict[str, int], list[int]]:
    """Lock the persons with these ids and return all their ids as id -> person, and the persons, literal ones included.

    Raises Overtaken when an id moved before everything was locked; from then on none can move or be added, since
    adding one needs a share of its person's row.
    """
    found = find_persons(cursor, project_id=project_id, distinct_ids=ids)
    known = _ids_of(cursor, project_id, set(found.values()))
    literals = _literals(cursor, project_id, {*ids, *known})
    ordered = sorted(known)
    cursor.execute(
        "SELECT sent.distinct_id, known.person_id"
        " FROM unnest(%s::bigint[], %s::text[]) AS sent (project_id, distinct_id)"
        " CROSS JOIN LATERAL (SELECT person_id FROM cohorts_distinctid AS known"
        " WHERE known.project_id = sent.project_id AND known.distinct_id = sent.distinct_id"
        " LIMIT 1 FOR UPDATE) AS known",
        # One after the other in this order.
        [number_array([project_id] * len(ordered)), text_array(ordered)],
    )
    if dict(cursor.fetchall()) != known:
        raise Overtaken
    persons = sorted({*known.values(), *literals})
    cursor.execute(
        "SELECT person.id FROM unnest(%s::bigint[], %s::bigint[]) AS sent (project_id, id)"
        " CROSS JOIN LATERAL (SELECT id FROM cohorts_person AS person"
        " WHERE person.project_id = sent.project_id AND person.id = sent.id LIMIT 1 FOR UPDATE) AS person",
        [number_array([project_id] * len(persons)), number_array(persons)],
    )
    if [row[0] for row in cursor.fetchall()] != persons:
        raise Overtaken
    is_unmoved = find_persons(cursor, project_id=project_id, distinct_ids=ids) == found
    if not is_unmoved or _ids_of(cursor, project_id, set(found.values())) != known:
        raise Overtaken
    return known, persons


def _ids_of(cursor: CursorWrapper, project_id: int, persons: Collection[int]) -> dict[str, int]:
    cursor.execute(
        "SELECT known.distinct_id, sent.id FROM unnest(%s::bigint[], %s::bigint[]) AS sent (project_id, id)"
        " CROSS JOIN LATERAL (SELECT distinct_id FROM cohorts_distinctid AS known"
        " WHERE known.project_id = sent.project_id AND known.person_id = sent.id OFFSET 0) AS known",
        [number_array([project_id] * len(persons)), number_array(sorted(persons))],
    )
    return dict(cursor.fetchall())


def _literals(cursor: CursorWrapper, project_id: int, ids: Collection[str]) -> list[int]:
    """Return the persons that hold the profiles written to these ids literally."""
    cursor.execute(
        "SELECT person.id FROM unnest(%s::bigint[], %s::text[]) AS sent (project_id, distinct_id)"
        " CROSS JOIN LATERAL (SELECT id FROM cohorts_person AS person WHERE person.project_id = sent.project_id"
        " AND person.distinct_id = sent.distinct_id AND person.is_literal LIMIT 1) AS person",
        [number_array([project_id] * len(ids)), text_array(sorted(ids))],
    )
    return [row[0] for row in cursor.fetchall()]


def _keys(
    cursor: CursorWrapper, project_id: int, persons: Sequence[int], ids: Iterable[str]
) -> dict[int, tuple[int, str | None]]:
    """Return the keys that are the persons', as key -> (match property, value).

    Those they hold or held before their property changed, and those whose value is one of their ids.
    """
    ordered = sorted(ids)
    cursor.execute(
        "SELECT held.match_key_id, property.id, known.value"
        " FROM unnest(%s::bigint[], %s::bigint[]) AS sent (project_id, id)"
        " JOIN cohorts_matchproperty AS property ON property.project_id = sent.project_id"
        " CROSS JOIN LATERAL (SELECT match_key_id FROM cohorts_personkey AS held"
        " WHERE held.project_id = sent.project_id AND held.match_property_id = property.id"
        " AND held.person_id = sent.id LIMIT 1) AS held"
        " CROSS JOIN LATERAL (SELECT value FROM cohorts_matchkey AS known"
        " WHERE known.project_id = sent.project_id AND known.id = held.match_key_id LIMIT 1) AS known",
        [number_array([project_id] * len(persons)), number_array(persons)],
    )
    keys: dict[int, tuple[int, str | None]] = {row[0]: (row[1], row[2]) for row in cursor.fetchall()}
    cursor.execute(
        "SELECT known.id, known.match_property_id, known.value"
        " FROM unnest(%s::bigint[], %s::bigint[]) AS sent (project_id, id)"
        " CROSS JOIN LATERAL (SELECT match_key_id FROM cohorts_formerkey AS former"
        " WHERE former.project_id = sent.project_id AND former.person_id = sent.id OFFSET 0) AS former"
        " CROSS JOIN LATERAL (SELECT id, match_property_id, value FROM cohorts_matchkey AS known"
        " WHERE known.project_id = sent.project_id AND known.id = former.match_key_id AND known.value IS NOT NULL"
        " LIMIT 1) AS known",
        [number_array([project_id] * len(persons)), number_array(persons)],
    )
    keys |= {row[0]: (row[1], row[2]) for row in cursor.fetchall()}
    cursor.execute(
        "SELECT known.id, property.id, sent.value FROM unnest(%s::bigint[], %s::text[]) AS sent (project_id, value)"
        " JOIN cohorts_matchproperty AS property ON property.project_id = sent.project_id"
        " CROSS JOIN LATERAL (SELECT id FROM cohorts_matchkey AS known WHERE known.project_id = sent.project_id"
        " AND known.match_property_id = property.id AND known.value = sent.value LIMIT 1) AS known",
        [number_array([project_id] * len(ordered)), text_array(ordered)],
    )
    return keys | {row[0]: (row[1], row[2]) for row in cursor.fetchall()}


def _delete(cursor: CursorWrapper, project_id: int, known: Collection[str], persons: Sequence[int]) -> None:
    """Delete ids and persons; what they hold and held of keys goes with them (the foreign keys cascade)."""
    cursor.execute(
        by_key(
            "DELETE FROM cohorts_distinctid AS known USING unnest(%s::bigint[], %s::text[]) AS gone (project_id, id)"
            " WHERE known.project_id = gone.project_id AND known.distinct_id = gone.id"
        ),
        [number_array([project_id] * len(known)), text_array(sorted(known))],
    )
    cursor.execute(
        by_key(
            "DELETE FROM cohorts_person AS person USING unnest(%s::bigint[], %s::bigint[]) AS gone (project_id, id)"
            " WHERE person.project_id = gone.project_id AND person.id = gone.id"
        ),
        [number_array([project_id] * len(persons)), number_array(persons)],
    )
