"""Events into the partitioned table, each once (step 2; laws.md, L3).

The order of locks is the law's: distinct_ids (`cohorts/identity.py`), then events by deduplication key, then the
refusals of the day. `cohorts/partitions.py` makes absent months before the transaction.
"""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b

import orjson
from django.db import connection
from django.db.backends.utils import CursorWrapper

from cohorts.arrays import by_key, json_array, number_array, text_array, time_array
from cohorts.erasing.events import drop_erased
from cohorts.identity import is_usable
from cohorts.identity.claims import DESCRIPTIONS, PlacedClaim
from cohorts.identity.linking import link_persons
from cohorts.messages import IncomingEvent, Ingested
from cohorts.models import Project
from cohorts.partitions import ensure_partitions
from cohorts.refusals import Reason, RefusedRecord, record_refusals, sample_of
from cohorts.transactions import hold_project, in_one_transaction

_DAY = dt.timedelta(days=1)


@dataclass(frozen=True, slots=True)
class _Row:
    """An event as it will be stored. `dedup_hash` is hexadecimal, 16 bytes; the content's hash has 8."""

    dedup_at: dt.datetime
    dedup_hash: str
    content_hash: int
    document: str
    event: IncomingEvent


def ingest_events(
    *,
    project: Project,
    events: Sequence[IncomingEvent],
    now: dt.datetime,
    endpoint: str = "",
    refusals: Sequence[RefusedRecord] = (),
) -> Ingested:
    """Store events in one transaction; what the endpoint refused is counted with them.

    An event is known by its name, time as sent, distinct_id as sent and insert id (Mixpanel); the latest content wins.
    What events claim about ids is carried out in their order; a claim that does not hold is recorded, on the event too,
    which is stored all the same. Raises ProjectGone.
    """
    hashes = _hashes(project.pk, events, now)
    rows = _rows(events, hashes, now)
    with connection.cursor() as cursor:
        moved = _as_first_stored(cursor, project.pk, rows, now)
    hashes = [moved.get(each, each) for each in hashes]
    # One order of locks for everybody.
    ordered = sorted(rows.values(), key=lambda row: (row.dedup_at, row.dedup_hash))

    claims, first_places = _claims(events)

    def store() -> Ingested:
        with connection.cursor() as cursor:
            # Merging persons writes their keys.
            hold_project(cursor, project_id=project.pk, is_writing_keys=bool(claims))
            linked = link_persons(cursor, project_id=project.pk, claims=claims, first_places=first_places, now=now)
            told = _told_refusals(ordered, {hashes[place]: linked.refusals.get(place) for place, _ in claims})
            inserted = _insert(cursor, project.pk, told, linked.persons, now) if told else 0
            if inserted < len(told) and _drop_erased(cursor, project.pk, told):
                inserted += _insert(cursor, project.pk, told, linked.persons, now)
            updated = 0
            if inserted < len(told):
                updated = _replace_contents(cursor, project.pk, told)
            own = _claim_refusals(events, linked.refusals)
            record_refusals(cursor, project_id=project.pk, endpoint=endpoint, refusals=[*refusals, *own], now=now)
        return Ingested(inserted=inserted, updated=updated, unchanged=len(events) - inserted - updated)

    return in_one_transaction(
        store, prepare=lambda: ensure_partitions(moments=[row.dedup_at for row in ordered], now=now)
    )


def _hashes(project_id: int, events: Sequence[IncomingEvent], now: dt.datetime) -> list[str]:
    """Return the deduplication hash of each event; one without an insert id is like no other."""
    random = os.urandom(16 * len(events)).hex()
    return [
        _dedup_hash(project_id, event.sent_at or _day_of(now), event)
        if event.insert_id
        else random[32 * number : 32 * number + 32]
        for number, event in enumerate(events)
    ]


def _rows(events: Sequence[IncomingEvent], hashes: Sequence[str], now: dt.datetime) -> dict[str, _Row]:
    """Return the rows by deduplication hash; of equal events in one batch the last wins."""
    today = _day_of(now)
    rows = {}
    for event, dedup_hash in zip(events, hashes, strict=True):
        document = orjson.dumps(event.properties)
        rows[dedup_hash] = _Row(
            dedup_at=event.sent_at or today,
            dedup_hash=dedup_hash,
            content_hash=int.from_bytes(blake2b(document, digest_size=8).digest(), signed=True),
            document=document.decode(),
            event=event,
        )
    return rows


def _claims(events: Sequence[IncomingEvent]) -> tuple[list[PlacedClaim], dict[str, int]]:
    """Return what the events claim about ids, by place, and the place where each id first has an event.

    Of equal events each makes its claim, as they would in requests of their own.
    """
    claims: list[PlacedClaim] = []
    first_places: dict[str, int] = {}
    for place, event in enumerate(events):
        if event.claim is not None:
            claims.append((place, event.claim))
        if is_usable(event.distinct_id):
            first_places.setdefault(event.distinct_id, place)
    return claims, first_places


def _told_refusals(ordered: Sequence[_Row], reasons: Mapping[str, Reason | None]) -> Sequence[_Row]:
    """Return the rows with the reason on each whose claim was refused (Mixpanel: `$failure_reason`).

    What such an event is known by, and the hash of its content, are as sent: sent again, it is unchanged.
    """
    if not any(reasons.values()):
        return ordered
    return [_told(row, reason) if (reason := reasons.get(row.dedup_hash)) else row for row in ordered]


def _told(row: _Row, reason: Reason) -> _Row:
    failure = {"$failure_reason": str(reason), "$failure_description": DESCRIPTIONS[reason]}
    return replace(row, document=orjson.dumps(row.event.properties | failure).decode())


def _claim_refusals(events: Sequence[IncomingEvent], refusals: Mapping[int, Reason]) -> list[RefusedRecord]:
    return [
        RefusedRecord(
            position=place,
            reason=reason,
            field="properties",
            message=DESCRIPTIONS[reason],
            insert_id=events[place].insert_id,
            sample=sample_of({"event": events[place].name, "properties": events[place].properties}),
        )
        for place, reason in refusals.items()
    ]


def _as_first_stored(cursor: CursorWrapper, project_id: int, rows: dict[str, _Row], now: dt.datetime) -> dict[str, str]:
    """Put each repeated event without a time where its first arrival stored it; return the hashes that changed so.

    Such an event is known by the UTC day of its arrival, and a retry may arrive on the next one.
    """
    yesterday = _day_of(now) - _DAY
    repeated = {
        _dedup_hash(project_id, yesterday, row.event): dedup_hash
        for dedup_hash, row in rows.items()
        if row.event.sent_at is None and row.event.insert_id
    }
    if not repeated:
        return {}
    moved = {}
    cursor.execute(
        "SELECT sent.dedup_hash FROM unnest(%s::bigint[], %s::uuid[]) AS sent (project_id, dedup_hash)"
        " CROSS JOIN LATERAL (SELECT FROM cohorts_event AS event WHERE event.project_id = sent.project_id"
        " AND event.dedup_at = %s AND event.dedup_hash = sent.dedup_hash LIMIT 1) AS event",
        [number_array([project_id] * len(repeated)), text_array(list(repeated)), yesterday],
    )
    for (found,) in cursor.fetchall():
        former = repeated[found.hex]
        rows[found.hex] = replace(rows.pop(former), dedup_at=yesterday, dedup_hash=found.hex)
        moved[former] = found.hex
    return moved


def _insert(
    cursor: CursorWrapper, project_id: int, rows: Sequence[_Row], persons: dict[str, int], now: dt.datetime
) -> int:
    """Insert the rows that are not there and return how many those were. A replay writes nothing at all."""
    cursor.execute(
        "INSERT INTO cohorts_event (project_id, received_at, dedup_at, dedup_hash, occurred_at, person_id,"
        " content_hash, name, distinct_id, insert_id, properties)"
        " SELECT %s, %s, * FROM unnest(%s::timestamptz[], %s::uuid[], %s::timestamptz[], %s::bigint[],"
        " %s::bigint[], %s::text[], %s::text[], %s::text[], %s::jsonb[])"
        " ON CONFLICT DO NOTHING",
        [
            project_id,
            now,
            time_array([row.dedup_at for row in rows]),
            text_array([row.dedup_hash for row in rows]),
            time_array([row.event.occurred_at for row in rows]),
            number_array([persons.get(row.event.distinct_id) for row in rows]),
            number_array([row.content_hash for row in rows]),
            text_array([row.event.name for row in rows]),
            text_array([row.event.distinct_id for row in rows]),
            text_array([row.event.insert_id or None for row in rows]),
            json_array([row.document for row in rows]),
        ],
    )
    return int(cursor.rowcount)


def _drop_erased(cursor: CursorWrapper, project_id: int, rows: Sequence[_Row]) -> int:
    return drop_erased(
        cursor,
        project_id=project_id,
        dedup_ats=[row.dedup_at for row in rows],
        dedup_hashes=[row.dedup_hash for row in rows],
    )


def _replace_contents(cursor: CursorWrapper, project_id: int, rows: Sequence[_Row]) -> int:
    """Give the stored rows whose content differs the content of `rows`, and return how many differed."""
    cursor.execute(
        "SELECT sent.number FROM unnest(%s::bigint[], %s::timestamptz[], %s::uuid[], %s::bigint[])"
        " WITH ORDINALITY AS sent (project_id, dedup_at, dedup_hash, content_hash, number)"
        " CROSS JOIN LATERAL (SELECT FROM cohorts_event AS event WHERE event.project_id = sent.project_id"
        " AND event.dedup_at = sent.dedup_at AND event.dedup_hash = sent.dedup_hash"
        " AND event.content_hash <> sent.content_hash LIMIT 1 FOR UPDATE) AS differing",
        [
            number_array([project_id] * len(rows)),
            time_array([row.dedup_at for row in rows]),
            text_array([row.dedup_hash for row in rows]),
            number_array([row.content_hash for row in rows]),
        ],
    )
    differing = [rows[number - 1] for (number,) in cursor.fetchall()]
    if differing:
        cursor.execute(
            by_key(
                "UPDATE cohorts_event AS event SET content_hash = sent.content_hash, properties = sent.properties"
                " FROM unnest(%s::bigint[], %s::timestamptz[], %s::uuid[], %s::bigint[], %s::jsonb[])"
                " AS sent (project_id, dedup_at, dedup_hash, content_hash, properties)"
                " WHERE event.project_id = sent.project_id AND event.dedup_at = sent.dedup_at"
                " AND event.dedup_hash = sent.dedup_hash"
                # The bounds are all the planner has for leaving out partitions.
                " AND event.dedup_at BETWEEN %s AND %s"
            ),
            [
                number_array([project_id] * len(differing)),
                time_array([row.dedup_at for row in differing]),
                text_array([row.dedup_hash for row in differing]),
                number_array([row.content_hash for row in differing]),
                json_array([row.document for row in differing]),
                differing[0].dedup_at,
                differing[-1].dedup_at,
            ],
        )
    return len(differing)


def _dedup_hash(project_id: int, dedup_at: dt.datetime, event: IncomingEvent) -> str:
    # No text holds NUL, so it parts them without doubt.
    key = f"{project_id}\0{dedup_at.isoformat()}\0{event.name}\0{event.distinct_id}\0{event.insert_id}"
    return blake2b(key.encode(), digest_size=16).hexdigest()


def _day_of(moment: dt.datetime) -> dt.datetime:
    return moment.astimezone(dt.UTC).replace(hour=0, minute=0, second=0, microsecond=0)
