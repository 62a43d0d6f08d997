"""The sweep of erased persons' events, in batches, by `cohorts/tasks.py`.

An ingest that read the ids before they were gone may still insert an event of the person afterwards. As with merges
(laws.md, L2) the sweeper, once it has seen an erased person, draws a transaction id and notes it, and is done with them
only after a sweep that began when no older transaction was left.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from django.db import connection
from django.db.backends.utils import CursorWrapper
from django.db.models import F

from cohorts.arrays import by_key, number_array, text_array, time_array
from cohorts.models import ErasedPerson, Erasure
from cohorts.transactions import in_one_transaction

_PERSONS_AT_A_TIME = 100


@dataclass(frozen=True)
class Swept:
    """What one batch did: events deleted, persons done with. Neither: there is nothing to do now."""

    events: int
    persons: int


def sweep_events(*, batch_size: int) -> Swept:
    """Delete up to `batch_size` events of erased persons, in a transaction of its own; several may work at once."""

    def sweep() -> Swept:
        with connection.cursor() as cursor:
            return _sweep(cursor, batch_size)

    return in_one_transaction(sweep)


def drop_erased(
    cursor: CursorWrapper, *, project_id: int, dedup_ats: Sequence[dt.datetime], dedup_hashes: Sequence[str]
) -> int:
    """Delete those of these events, given by their keys, that are an erased person's; return how many those were.

    For ingest, when an event it was sent is there already: sent again after the erasure it is a new person's, and must
    not vanish with the old one.
    """
    cursor.execute("SELECT EXISTS (SELECT FROM cohorts_erasedperson WHERE project_id = %s)", [project_id])
    row = cursor.fetchone()
    if not (row and row[0]):
        return 0
    cursor.execute(
        by_key(
            "DELETE FROM cohorts_event AS event"
            " USING unnest(%s::bigint[], %s::timestamptz[], %s::uuid[]) AS sent (project_id, dedup_at, dedup_hash)"
            " WHERE event.project_id = sent.project_id AND event.dedup_at = sent.dedup_at"
            " AND event.dedup_hash = sent.dedup_hash AND event.dedup_at BETWEEN %s AND %s"
            " AND EXISTS (SELECT FROM cohorts_erasedperson AS erased"
            " WHERE erased.project_id = event.project_id AND erased.person_id = event.person_id)"
        ),
        [
            number_array([project_id] * len(dedup_ats)),
            time_array(dedup_ats),
            text_array(dedup_hashes),
            min(dedup_ats),
            max(dedup_ats),
        ],
    )
    return int(cursor.rowcount)


def _sweep(cursor: CursorWrapper, batch_size: int) -> Swept:
    first = ErasedPerson.objects.order_by("id")[:_PERSONS_AT_A_TIME]
    seen = set(first.values_list("pk", flat=True))
    # Only now an id: whoever read a distinct_id before the erasure could be seen has a smaller one.
    cursor.execute("SELECT pg_current_xact_id()::text::bigint")
    (own_xid,) = cursor.fetchone() or (0,)
    persons = list(first.select_for_update(skip_locked=True))
    if not persons:
        return Swept(0, 0)
    new = [person.pk for person in persons if person.settled_from_xid is None and person.pk in seen]
    ErasedPerson.objects.filter(pk__in=new).update(settled_from_xid=own_xid)
    # Before the sweep: what these transactions wrote is seen by the statements that follow.
    cursor.execute("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint")
    (oldest_xid,) = cursor.fetchone() or (0,)
    by_person = {(person.project_id, person.person_id): person.erasure_id for person in persons}
    found, deleted = _delete(cursor, list(by_person), batch_size)
    counts = Counter(by_person[pair] for pair in deleted)
    for erasure_id, count in sorted(counts.items()):
        Erasure.objects.filter(pk=erasure_id).update(event_count=F("event_count") + count)
    if found >= batch_size:
        return Swept(len(deleted), 0)
    done = [
        person.pk for person in persons if person.settled_from_xid is not None and person.settled_from_xid <= oldest_xid
    ]
    ErasedPerson.objects.filter(pk__in=done).delete()
    # A person just noted is looked at once more, usually at once.
    return Swept(len(deleted), len(done) + len(new))


def _delete(
    cursor: CursorWrapper, persons: list[tuple[int, int]], batch_size: int
) -> tuple[int, list[tuple[int, int]]]:
    """Delete events of these (project, person); return how many were found, and whose each deleted one was.

    One that was found may be deleted by somebody else before. Rows are locked in the order of ingest (L4).
    """
    cursor.execute(
        by_key(
            "WITH doomed AS MATERIALIZED ("
            " SELECT gone.project_id, event.dedup_at, event.dedup_hash"
            " FROM unnest(%s::bigint[], %s::bigint[]) AS gone (project_id, person_id)"
            " CROSS JOIN LATERAL (SELECT dedup_at, dedup_hash FROM cohorts_event AS event"
            " WHERE event.project_id = gone.project_id AND event.person_id = gone.person_id LIMIT %s) AS event"
            " LIMIT %s"
            "), ordered AS MATERIALIZED (SELECT * FROM doomed ORDER BY project_id, dedup_at, dedup_hash)"
            ", deleted AS (DELETE FROM cohorts_event AS event USING ordered"
            " WHERE event.project_id = ordered.project_id AND event.dedup_at = ordered.dedup_at"
            " AND event.dedup_hash = ordered.dedup_hash RETURNING event.project_id, event.person_id)"
            " SELECT NULL, count(*) FROM doomed UNION ALL SELECT project_id, person_id FROM deleted"
        ),
        [
            number_array([project_id for project_id, _ in persons]),
            number_array([person_id for _, person_id in persons]),
            batch_size,
            batch_size,
        ],
    )
    found = 0
    deleted: list[tuple[int, int]] = []
    for project_id, number in cursor.fetchall():
        if project_id is None:
            found = number
        else:
            deleted.append((project_id, number))
    return found, deleted
