"""Deleting events past their retention (laws.md, L1), daily, called by `cohorts/tasks.py`.

Months are shared by all projects: one is dropped only when it is past the longest retention. What a shorter retention
leaves behind is deleted project by project, in batches by the primary key. `cohorts/retention.py` has the setting.

A row is known to be past by `dedup_at`: it occurred at most `DEDUP_LAG` after that (`cohorts/partitions.py`), so events
are kept up to a day longer than said. Those sent with a time in the future occurred, by our clock, when they arrived.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Collection

import structlog
from django.db import connection

from cohorts.models import Project
from cohorts.partitions import DEDUP_LAG, drop_months
from cohorts.retention import kept_since
from cohorts.transactions import in_one_transaction

ROWS_PER_BATCH = 10_000

logger = structlog.get_logger(__name__)


def expire_events(*, now: dt.datetime, max_seconds: float) -> bool:
    """Delete what is past, and return whether all of it is gone; what is left goes next time."""
    deadline = time.monotonic() + max_seconds
    is_done = _drop_shared_months(now)
    for project in Project.objects.exclude(retention_months=None).order_by("pk"):
        before = kept_since(project, now=now)
        assert before is not None
        deleted = 0
        while batch := delete_events(project_id=project.pk, before=before, now=now, limit=ROWS_PER_BATCH):
            deleted += batch
            if time.monotonic() > deadline:
                logger.info("events_expired", project_id=project.pk, count=deleted, is_done=False)
                return False
        if deleted:
            logger.info("events_expired", project_id=project.pk, count=deleted, is_done=True)
    return is_done


def delete_events(*, project_id: int, before: dt.datetime, now: dt.datetime, limit: int) -> int:
    """Delete up to `limit` events of the project from before a moment; return how many, 0 when none is left."""

    def delete() -> int:
        with connection.cursor() as cursor:
            # The batch's last row by the primary key: the months then go from it backwards, each by its index.
            cursor.execute(
                "SELECT dedup_at, dedup_hash FROM cohorts_event WHERE project_id = %s AND dedup_at < %s"
                " ORDER BY dedup_at, dedup_hash OFFSET %s LIMIT 1",
                [project_id, before - DEDUP_LAG, limit - 1],
            )
            last = cursor.fetchone()
            if last is not None:
                cursor.execute(
                    "DELETE FROM cohorts_event WHERE project_id = %s AND dedup_at <= %s"
                    " AND (dedup_at, dedup_hash) <= (%s, %s)",
                    [project_id, last[0], *last],
                )
                return int(cursor.rowcount)
            cursor.execute(
                "DELETE FROM cohorts_event WHERE project_id = %s"
                " AND (dedup_at < %s OR (dedup_at > %s AND occurred_at < %s))",
                [project_id, before - DEDUP_LAG, now, before],
            )
            return int(cursor.rowcount)

    return in_one_transaction(delete)


def _drop_shared_months(now: dt.datetime) -> bool:
    """Drop the months that no project keeps; return whether all such are gone."""
    starts = [kept_since(project, now=now) for project in Project.objects.all()]
    until = None
    # While anybody keeps events for ever, no month goes.
    if starts and None not in starts:
        until = min(start for start in starts if start is not None) - DEDUP_LAG

    def may_go(project_ids: Collection[int], end: dt.datetime) -> bool:
        """Ask the settings once more: a project may be new, or keep events longer, since the month was chosen."""
        kept = [kept_since(project, now=now) for project in Project.objects.filter(pk__in=project_ids)]
        return all(start is not None and end <= start - DEDUP_LAG for start in kept)

    return drop_months(until=until, may_go=may_go)
