"""The partitions of the event table: one a month, made before the ingest transaction that needs them (step 2).

They are made on another connection, under an advisory lock, by CREATE TABLE and ATTACH, which locks the parent against
nobody who reads or writes events (laws.md, L3). Everything before ten years before the first event came in shares one
partition, and so does everything from ten years after it, so that a sender of wild dates cannot make thousands. There
is no default partition: attaching a month would have to scan it. Called by `ingest/events.py`.

Months leave by DETACH CONCURRENTLY, which waits for whoever still uses them, and DROP (`cohorts/expiry.py` says which).
Interrupted, it leaves a month that is detached by half, invisible and closed to new rows, or one that is detached and
not dropped. A mark on the table says so with its bounds: whoever needs the month attaches it again, and the next time
it is dropped for good.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TypeAlias

import structlog
from django.db import OperationalError, connection
from django.db.backends.utils import CursorWrapper

# A moment's partition is found by `dedup_at`. A row's `occurred_at` is the same time or, where the sent time lay in the
# future, an earlier one; an event without a time has the UTC day of its arrival as `dedup_at`. So
# `occurred_at >= X` implies `dedup_at >= X - DEDUP_LAG`, and nothing bounds `dedup_at` from above.
DEDUP_LAG = dt.timedelta(days=1)

_YEARS_BEFORE = 10
_YEARS_AHEAD = 10
# Makers of absent months wait up to 10 seconds, those who are detached by half must give the lock back before.
_MAX_DETACH_SECONDS = 5
# The beginning of the comment on a partition on its way out; the bounds follow. One that an operator detached has none.
_MARK = "Past every retention: "
_WAITED_TOO_LONG = {"57014", "55P03"}
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


logger = structlog.get_logger(__name__)

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
                if any(left.name == name for left in _leaving(cursor)):
                    _finalize(cursor, name)
                    _keep(cursor, name, bounds)
                    continue
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


_MayGo: TypeAlias = Callable[[Collection[int], dt.datetime], bool]


@dataclass(frozen=True)
class _Part:
    """A partition, attached or on its way out."""

    name: str
    bounds: str
    is_detached: bool

    @property
    def end(self) -> dt.datetime | None:
        """Return the first moment that is no longer in it."""
        found = _BOUND.search(self.bounds)
        return dt.datetime.fromisoformat(found[2]) if found and found[2] else None


def drop_months(*, until: dt.datetime | None, may_go: _MayGo) -> bool:
    """Drop the partitions with no row from `until` or later (None: no further ones), and what was on its way out.

    Once a month is detached, and can get no row any more, `may_go` is asked with the projects that have events in it
    and the moment it ends; if not, it is attached again. Returns whether all is done; a month that long transactions
    use stays for the next time. Call it outside any transaction: what it does is done at once, on another connection.
    """
    dropper = connection.copy()
    try:
        with dropper.cursor() as cursor:
            cursor.execute("SET timezone = 'UTC'")
            # Makers of months wait meanwhile, and not as long as this.
            cursor.execute(f"SET statement_timeout = '{_MAX_DETACH_SECONDS}s'")
            leaving = _leaving(cursor)
            left = {each.name for each in leaving}
            if until is not None:
                leaving += [each for each in _past(cursor, until) if each.name not in left]
            is_done = True
            for each in leaving:
                try:
                    cursor.execute("SELECT pg_advisory_lock(%s)", [_LOCK])
                    _drop(cursor, each, may_go)
                except OperationalError as error:
                    if getattr(error.__cause__, "pgcode", None) not in _WAITED_TOO_LONG:
                        raise
                    # Only one can be detached by half at a time.
                    logger.warning("month_not_dropped", partition=each.name)
                    is_done = False
                finally:
                    cursor.execute("SELECT pg_advisory_unlock_all()")
                if not is_done:
                    break
    finally:
        dropper.close()
    forget()
    return is_done


def _drop(cursor: CursorWrapper, leaving: _Part, may_go: _MayGo) -> None:
    name = leaving.name
    # Somebody may have attached it again, or dropped it, before we had the lock.
    now_leaving = {each.name: each for each in _leaving(cursor)}
    if name not in now_leaving:
        if name not in {each.name for each in _attached(cursor)}:
            return
        cursor.execute(f"COMMENT ON TABLE {name} IS '{_MARK}{_quoted(leaving.bounds)}'")
        cursor.execute(f"ALTER TABLE cohorts_event DETACH PARTITION {name} CONCURRENTLY")
    _finalize(cursor, name)
    # One project after the other by the primary key, without reading their rows.
    cursor.execute(
        f"WITH RECURSIVE found (id) AS ((SELECT min(project_id) FROM {name})"  # noqa: S608 - names are made of numbers
        f" UNION ALL SELECT (SELECT min(project_id) FROM {name} WHERE project_id > found.id) FROM found"
        " WHERE found.id IS NOT NULL) SELECT id FROM found WHERE id IS NOT NULL"
    )
    project_ids = [project_id for (project_id,) in cursor.fetchall()]
    if leaving.end is not None and may_go(project_ids, leaving.end):
        cursor.execute(f"DROP TABLE {name}")
        logger.info("month_dropped", partition=name)
    else:
        _keep(cursor, name, leaving.bounds)


def _keep(cursor: CursorWrapper, name: str, bounds: str) -> None:
    """Attach a detached month again. The constraint that detaching left spares PostgreSQL from reading it."""
    # One transaction: a mark that stays would let the month be dropped if an operator detached it some day.
    cursor.execute(
        f"ALTER TABLE cohorts_event ATTACH PARTITION {name} FOR VALUES {bounds}; COMMENT ON TABLE {name} IS NULL"
    )


def _finalize(cursor: CursorWrapper, name: str) -> None:
    """Detach a month altogether that an interruption left detached by half."""
    if any(each.name == name and not each.is_detached for each in _leaving(cursor)):
        cursor.execute(f"ALTER TABLE cohorts_event DETACH PARTITION {name} FINALIZE")


def _leaving(cursor: CursorWrapper) -> list[_Part]:
    """Return the months on their way out, one that is detached by half first, for it keeps others from leaving."""
    cursor.execute(
        "SELECT part.relname, obj_description(part.oid, 'pg_class'), inhrelid IS NULL"
        " FROM pg_class AS part LEFT JOIN pg_inherits ON inhrelid = part.oid AND inhparent = 'cohorts_event'::regclass"
        " WHERE part.relkind = 'r' AND part.relnamespace = (SELECT relnamespace FROM pg_class WHERE oid ="
        " 'cohorts_event'::regclass) AND part.relname LIKE 'cohorts_event_%%'"
        " AND (inhdetachpending OR inhrelid IS NULL) AND obj_description(part.oid, 'pg_class') LIKE %s"
        " ORDER BY inhrelid IS NULL, part.relname",
        [_MARK + "%"],
    )
    return [_Part(name, mark.removeprefix(_MARK), is_detached) for name, mark, is_detached in cursor.fetchall()]


def _attached(cursor: CursorWrapper) -> list[_Part]:
    cursor.execute(
        "SELECT child.relname, pg_get_expr(child.relpartbound, child.oid) FROM pg_inherits"
        " JOIN pg_class AS child ON child.oid = inhrelid"
        " WHERE inhparent = 'cohorts_event'::regclass AND NOT inhdetachpending ORDER BY child.relname"
    )
    return [_Part(name, bounds.removeprefix("FOR VALUES "), False) for name, bounds in cursor.fetchall()]


def _past(cursor: CursorWrapper, until: dt.datetime) -> list[_Part]:
    """Return the partitions that end at `until` or before."""
    return [each for each in _attached(cursor) if each.end is not None and each.end <= until]


def _quoted(text: str) -> str:
    return text.replace("'", "''")


def _read_layout(cursor: CursorWrapper, now: dt.datetime) -> _Layout:
    cursor.execute(
        "SELECT pg_get_expr(child.relpartbound, child.oid) FROM pg_inherits"
        " JOIN pg_class AS child ON child.oid = inhrelid"
        # Rows no longer find one that is detached by half.
        " WHERE inhparent = 'cohorts_event'::regclass AND NOT inhdetachpending"
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
