"""The partitions of the event table: one a month, made before the ingest transaction that needs them (step 2).

They are made on another connection, under an advisory lock, by CREATE TABLE and ATTACH, which locks the parent against
nobody who reads or writes events (laws.md, L3). Everything before ten years before the first event came in shares one
partition, and so does everything from ten years after it, so that a sender of wild dates cannot make thousands. There
is no default partition: attaching a month would have to scan it. Called by `ingest/events.py`.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Collection
from dataclasses import dataclass

from django.db import connection
from django.db.backends.utils import CursorWrapper

# A moment's partition is found by `dedup_at`. A row's `occurred_at` is the same time or, where the sent time lay in the
# future, an earlier one; an event without a time has the UTC day of its arrival as `dedup_at`. So
# `occurred_at >= X` implies `dedup_at >= X - DEDUP_LAG`, and nothing bounds `dedup_at` from above.
DEDUP_LAG = dt.timedelta(days=1)

_YEARS_BEFORE = 10
_YEARS_AHEAD = 10
# Serialises the makers of partitions over all processes. The number only has to be our own.
_LOCK = 7_205_116_302
_BOUND = re.compile(r"FROM \((?:MINVALUE|'([^']+)')\) TO \((?:MAXVALUE|'([^']+)')\)")


@dataclass(frozen=True)
class _Layout:
    """Months as numbers (year * 12 + month - 1): below `floor` and from `ceiling` on, one partition has them all."""

    floor: int
    ceiling: int
    months: frozenset[int]
    has_floor: bool
    has_ceiling: bool

    def missing(self, months: Collection[int]) -> list[int]:
        """Return the months without a partition of their own that should have one, sorted."""
        return sorted(m for m in months if self.floor <= m < self.ceiling and m not in self.months)

    def covers(self, months: Collection[int]) -> bool:
        """Return whether a row of each of these months finds a partition."""
        return (
            not self.missing(months)
            and (self.has_floor or min(months) >= self.floor)
            and (self.has_ceiling or max(months) < self.ceiling)
        )


# What this process has seen, by database. Partitions only vanish by retention, and then `forget` is called.
_seen: dict[str, _Layout] = {}


def ensure_partitions(*, moments: Collection[dt.datetime], now: dt.datetime) -> None:
    """Make every partition that events with these `dedup_at` need; nothing to do is the usual case and costs no query.

    Call it outside the transaction that will insert: what it makes is committed at once.
    """
    months = {moment.year * 12 + moment.month - 1 for moment in moments}
    database = str(connection.settings_dict["NAME"])
    layout = _seen.get(database)
    if not months or (layout is not None and layout.covers(months)):
        return
    maker = connection.copy()
    try:
        maker.set_autocommit(False)
        with maker.cursor() as cursor:
            # Whoever locks the parent for longer (a manual VACUUM, say) makes senders come again, not wait for ever.
            cursor.execute("SET LOCAL timezone = 'UTC'; SET LOCAL lock_timeout = '10s'")
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
            layout = _read_layout(cursor, now)
            for name, bounds in _absent(layout, months):
                # Bounds and names come from numbers, never from input.
                cursor.execute(f"CREATE TABLE {name} (LIKE cohorts_event INCLUDING DEFAULTS)")
                cursor.execute(f"ALTER TABLE cohorts_event ATTACH PARTITION {name} FOR VALUES {bounds}")
            layout = _read_layout(cursor, now)
        maker.commit()
    finally:
        maker.close()
    _seen[database] = layout


def forget() -> None:
    """Forget what this process has seen; the next call looks again."""
    _seen.clear()


def _read_layout(cursor: CursorWrapper, now: dt.datetime) -> _Layout:
    cursor.execute(
        "SELECT pg_get_expr(child.relpartbound, child.oid) FROM pg_inherits"
        " JOIN pg_class AS child ON child.oid = inhrelid WHERE inhparent = 'cohorts_event'::regclass"
    )
    floor: int | None = None
    ceiling: int | None = None
    months: set[int] = set()
    for (expression,) in cursor.fetchall():
        if bound := _BOUND.search(expression):
            low, high = (_month(text) if text else None for text in bound.groups())
            if low is None:
                floor = high
            elif high is None:
                ceiling = low
            else:
                months.update(range(low, high))
    this_month = now.year * 12 + now.month - 1
    return _Layout(
        # Decided once, at the first event; from then on the partition's own bound says it.
        floor=floor if floor is not None else min({this_month - _YEARS_BEFORE * 12, *months}),
        ceiling=ceiling if ceiling is not None else max({this_month + _YEARS_AHEAD * 12, *(m + 1 for m in months)}),
        months=frozenset(months),
        has_floor=floor is not None,
        has_ceiling=ceiling is not None,
    )


def _absent(layout: _Layout, months: Collection[int]) -> list[tuple[str, str]]:
    """Return the name and the bounds of each partition to make."""
    absent = [
        (_name(month), f"FROM ({_first_day(month)}) TO ({_first_day(month + 1)})") for month in layout.missing(months)
    ]
    if not layout.has_floor:
        absent.append(("cohorts_event_before", f"FROM (MINVALUE) TO ({_first_day(layout.floor)})"))
    if not layout.has_ceiling:
        absent.append(("cohorts_event_after", f"FROM ({_first_day(layout.ceiling)}) TO (MAXVALUE)"))
    return absent


def _name(month: int) -> str:
    return f"cohorts_event_{month // 12:04}{month % 12 + 1:02}"


def _first_day(month: int) -> str:
    return f"'{month // 12:04}-{month % 12 + 1:02}-01 00:00:00+00'"


def _month(bound: str) -> int:
    return int(bound[:4]) * 12 + int(bound[5:7]) - 1
