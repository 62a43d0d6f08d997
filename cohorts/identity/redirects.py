"""Where the events of a person went who was merged into another one, until a job has moved them (step 3; laws.md, L2).

A merge writes a redirect, never a chain, and touches no event. Readers of events apply the redirects that are not swept
(`cohorts/compile/behaviours.py`). The sweep moves the events in batches and knows when no transaction can be left that
still takes the loser for somebody: an ingest takes its transaction id before it reads any distinct_id.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper

from cohorts.arrays import by_key, json_array, number_array
from cohorts.values import Properties


@dataclass(frozen=True, slots=True)
class Redirect:
    """One person taken in by another: ids, and both profiles as they were, so that somebody can look (the audit)."""

    loser_id: int
    winner_id: int
    loser_properties: Properties
    winner_properties: Properties


def has_redirects(cursor: CursorWrapper, *, project_id: int) -> bool:
    """Return whether events of this project must be read through redirects. Ask in the snapshot that reads them."""
    cursor.execute(
        "SELECT EXISTS (SELECT FROM cohorts_redirect WHERE project_id = %s AND swept_at IS NULL)", [project_id]
    )
    row = cursor.fetchone()
    return bool(row and row[0])


def add_redirects(cursor: CursorWrapper, *, project_id: int, redirects: Sequence[Redirect], now: dt.datetime) -> None:
    """Store the redirects of a merge. Whoever was redirected to one of its losers is now redirected to the winner."""
    losers = number_array([redirect.loser_id for redirect in redirects])
    winners = number_array([redirect.winner_id for redirect in redirects])
    # Swept ones too: where a person's events went stays known.
    cursor.execute(
        by_key(
            "UPDATE cohorts_redirect AS earlier SET winner_id = moved.winner_id"
            " FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[]) AS moved (project_id, loser_id, winner_id)"
            " WHERE earlier.project_id = moved.project_id AND earlier.winner_id = moved.loser_id"
        ),
        [number_array([project_id] * len(redirects)), losers, winners],
    )
    # A profile that had nothing lost nothing.
    profiles = [
        (redirect.loser_properties, redirect.winner_properties) if redirect.loser_properties else (None, None)
        for redirect in redirects
    ]
    cursor.execute(
        "INSERT INTO cohorts_redirect"
        " (project_id, loser_id, winner_id, created_at, loser_properties, winner_properties)"
        " SELECT %s, moved.loser_id, moved.winner_id, %s, moved.loser_properties, moved.winner_properties"
        " FROM unnest(%s::bigint[], %s::bigint[], %s::jsonb[], %s::jsonb[])"
        " AS moved (loser_id, winner_id, loser_properties, winner_properties)",
        [
            project_id,
            now,
            losers,
            winners,
            json_array([None if loser is None else orjson.dumps(loser).decode() for loser, _ in profiles]),
            json_array([None if winner is None else orjson.dumps(winner).decode() for _, winner in profiles]),
        ],
    )


def unswept_losers(cursor: CursorWrapper, *, project_id: int, winner: int) -> list[int]:
    """Return who was merged into a person and may have events under an id of their own."""
    cursor.execute(
        "SELECT loser_id FROM cohorts_redirect WHERE project_id = %s AND winner_id = %s AND swept_at IS NULL",
        [project_id, winner],
    )
    return [row[0] for row in cursor.fetchall()]


def take_losers(cursor: CursorWrapper, *, project_id: int, winners: Collection[int]) -> list[int]:
    """Delete all redirects to and from these persons, with the profiles kept there, and return who was redirected.

    A sweep that is moving their events is waited for.
    """
    persons = number_array(sorted(winners))
    cursor.execute(
        "DELETE FROM cohorts_redirect WHERE project_id = %s"
        " AND (winner_id = ANY (%s::bigint[]) OR loser_id = ANY (%s::bigint[])) RETURNING loser_id",
        [project_id, persons, persons],
    )
    return [row[0] for row in cursor.fetchall()]


def sweep_redirects(*, now: dt.datetime, max_redirects: int, max_events: int) -> bool:
    """Move the events of some redirects, at most `max_events`; return whether there is more to do at once.

    Any number of sweepers may run at the same time, and any may die: a redirect counts until it is marked swept, and it
    is marked only by a rewrite that left no event behind and began when every transaction that might not have seen the
    redirect had ended. Call it outside a transaction.
    """
    unswept = "FROM cohorts_redirect WHERE swept_at IS NULL ORDER BY project_id, loser_id LIMIT %s"
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"SELECT project_id, loser_id {unswept}", [max_redirects])
        seen = set(cursor.fetchall())
        # Only now an id, for whoever read a distinct_id before a redirect could be seen has a smaller one. The largest
        # one of a snapshot would not do: those above it that are still running are not counted. And a rewrite that read
        # who the winner is may itself be overtaken by a merge, like an ingest.
        cursor.execute("SELECT pg_current_xact_id()")
        cursor.execute(
            f"SELECT project_id, loser_id, noticed_xid::text {unswept} FOR UPDATE SKIP LOCKED", [max_redirects]
        )
        redirects = cursor.fetchall()
        if not redirects:
            return False
        noticed = [row for row in redirects if row[2] is None and row[:2] in seen]
        cursor.execute(
            "UPDATE cohorts_redirect AS redirect SET noticed_xid = pg_current_xact_id()"
            " FROM unnest(%s::bigint[], %s::bigint[]) AS seen (project_id, loser_id)"
            " WHERE redirect.project_id = seen.project_id AND redirect.loser_id = seen.loser_id",
            _keys(noticed),
        )
        # Read before the rewrite begins. This transaction has an id itself, so the oldest running one is at most its.
        cursor.execute("SELECT pg_snapshot_xmin(pg_current_snapshot())::text")
        oldest_running = int(_only(cursor)[0])
        found = _move_events(cursor, _keys(redirects), max_events)
        is_complete = found < max_events
        settled = [row for row in redirects if row[2] is not None and int(row[2]) <= oldest_running]
        if is_complete and settled:
            cursor.execute(
                "UPDATE cohorts_redirect AS redirect SET swept_at = %s"
                " FROM unnest(%s::bigint[], %s::bigint[]) AS seen (project_id, loser_id)"
                " WHERE redirect.project_id = seen.project_id AND redirect.loser_id = seen.loser_id",
                [now, *_keys(settled)],
            )
    # What was noticed now can usually be settled by the next call.
    return bool(noticed) or not is_complete or len(settled) == max_redirects


def _keys(redirects: Sequence[tuple[Any, ...]]) -> list[str]:
    return [number_array([row[0] for row in redirects]), number_array([row[1] for row in redirects])]


def _move_events(cursor: CursorWrapper, keys: Sequence[str], max_events: int) -> int:
    """Give up to `max_events` events of the losers to the winners and return how many were found.

    One that was found may be deleted before it is locked. Sorted by key, the order in which ingests lock events.
    """
    cursor.execute(
        by_key(
            "WITH found AS MATERIALIZED ("
            " SELECT event.project_id, event.dedup_at, event.dedup_hash, redirect.winner_id"
            " FROM unnest(%s::bigint[], %s::bigint[]) AS seen (project_id, loser_id)"
            " JOIN cohorts_redirect AS redirect"
            " ON redirect.project_id = seen.project_id AND redirect.loser_id = seen.loser_id"
            " CROSS JOIN LATERAL (SELECT project_id, dedup_at, dedup_hash FROM cohorts_event AS event"
            " WHERE event.project_id = seen.project_id AND event.person_id = seen.loser_id LIMIT %s) AS event"
            " LIMIT %s"
            "), locked AS MATERIALIZED ("
            " SELECT event.project_id, event.dedup_at, event.dedup_hash, found.winner_id"
            " FROM (SELECT * FROM found ORDER BY project_id, dedup_at, dedup_hash) AS found"
            " CROSS JOIN LATERAL (SELECT project_id, dedup_at, dedup_hash FROM cohorts_event AS event"
            " WHERE event.project_id = found.project_id AND event.dedup_at = found.dedup_at"
            " AND event.dedup_hash = found.dedup_hash LIMIT 1 FOR NO KEY UPDATE) AS event"
            "), moved AS ("
            " UPDATE cohorts_event AS event SET person_id = locked.winner_id FROM locked"
            " WHERE event.project_id = locked.project_id AND event.dedup_at = locked.dedup_at"
            " AND event.dedup_hash = locked.dedup_hash"
            ") SELECT count(*) FROM found"
        ),
        [*keys, max_events, max_events],
    )
    return int(_only(cursor)[0])


def _only(cursor: CursorWrapper) -> tuple[str, ...]:
    row: tuple[str, ...] | None = cursor.fetchone()
    assert row is not None
    return row
