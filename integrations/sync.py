"""The spine: a pass over one destination app, in slices. Resolve, diff, deliver, record; nothing else calls these four.

One worker at a time holds an app's lease (`integrations/lease.py`) and works for about a minute: it lets in the runs
that became due, then sends batch after batch, each with its intents written before and its outcomes after. What is left
goes on in the next slice, by whichever worker takes the lease then; all it needs is in the database.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import structlog
from django.conf import settings
from django.db import InterfaceError, OperationalError
from django.db.models import Q

from cohorts.resolve import snapshot
from integrations.connection_pass import ConnectionPass
from integrations.diff import next_batch
from integrations.endings import finish_runs
from integrations.errors import LeaseLost, Permanent, Temporary
from integrations.failures import fail_connection, fail_internally, postpone_runs
from integrations.lease import Lease, database_now, take_lease
from integrations.models import Connection, DestinationApp, Run
from integrations.rate import RateUnknown

# A worker sleeps out waits up to this; longer ones end the slice and free the worker.
LONGEST_SLEEP_SECONDS = 5.0
# What no run waits for is tried again after this.
LEFTOVER_SECONDS = 60.0

logger = structlog.get_logger(__name__)


@dataclass(frozen=True)
class SliceEnd:
    """How a slice ended: whether the app's pass is over, and if not, when it goes on (None: at once)."""

    is_finished: bool
    wake_at: dt.datetime | None = None


def work_step(work: ConnectionPass, *, now: dt.datetime) -> float | None:
    """Do the next piece of a connection's work; return the seconds until more can be done, None when all is done."""
    work.refresh()
    work.rename_segments()
    if queued := work.queued_runs():
        with snapshot() as as_of:
            wishes = [work.resolve(run, as_of=as_of) for run in queued]
        work.admit(wishes, now=now)
    work.ensure_segments()
    finish_runs(work, now=now)
    batch = next_batch(
        plans=work.plans.values(),
        size=settings.DELIVERY_BATCH_RECIPIENTS,
        held_back=work.patience.held_back(),
        now=now,
    )
    if batch is None:
        return work.seconds_to_wait(now=now)
    batch, delivered = work.deliver(batch)
    work.record(batch, delivered)
    return 0.0


def run_slice(*, app_id: int, is_stopping: Callable[[], bool] = lambda: False) -> SliceEnd:
    """Work on an app's pass for about a minute, or until it is over, waits, or `is_stopping` says so.

    When another worker holds the lease there is nothing to do. Raises LeaseLost when this worker was fenced out.
    """
    with take_lease(app_id) as lease:
        if lease is None:
            return SliceEnd(is_finished=True)
        # Runs queued within a second of each other share one pass; and a user's last write of an earlier slice, whose
        # end this worker does not know, is at least this long ago.
        time.sleep(settings.MIN_SECONDS_BETWEEN_WRITES_OF_A_USER)
        with ThreadPoolExecutor(settings.DELIVERY_THREADS, thread_name_prefix="deliver") as threads:
            end = _take_turns(lease, threads, is_stopping)
        _sleep_until(app_id, end)
    return end


def _sleep_until(app_id: int, end: SliceEnd) -> None:
    """Store when the pass goes on, unless somebody asked for a run meanwhile that can begin at once."""
    can_begin = (
        Run.objects.filter(
            sync__connection__app_id=app_id,
            sync__connection__match_property__completed_at__isnull=False,
            status=Run.Status.QUEUED,
        )
        .exclude(sync__runs__status=Run.Status.RUNNING)
        .exists()
    )
    DestinationApp.objects.filter(pk=app_id).update(wake_at=None if can_begin else end.wake_at)


def _take_turns(lease: Lease, threads: ThreadPoolExecutor, is_stopping: Callable[[], bool]) -> SliceEnd:
    """Give each connection of the app one batch after another in turn."""
    ends_at = time.monotonic() + settings.SLICE_SECONDS
    opened = (_open(lease, connection, threads) for connection in connections_with_work(lease.app_id))
    working = [work for work in opened if work is not None]
    try:
        while working:
            if is_stopping() or time.monotonic() > ends_at or not lease.may_send():
                return _unfinished(working)
            waits = []
            for work in list(working):
                wait = _guarded_step(work)
                if wait is None:
                    work.close()
                    working.remove(work)
                    continue
                waits.append(wait)
                if len(working) > 1:
                    # Two connections may write to one user, whose writes keep their distance all the same.
                    time.sleep(settings.MIN_SECONDS_BETWEEN_WRITES_OF_A_USER)
            wait = min(waits, default=0.0)
            if wait > LONGEST_SLEEP_SECONDS:
                return _unfinished(working, seconds=wait)
            time.sleep(min(wait, 0.5))
    except RateUnknown as error:
        logger.warning("rate_unknown", app_id=lease.app_id)
        return _unfinished(working, seconds=error.retry_after_seconds)
    finally:
        for work in working:
            work.close()
    # What is left needs nobody's run: a removal or a new name that the destination would not take now.
    is_finished = lease.app_id not in apps_with_work(now=database_now(), is_leased=True)
    return SliceEnd(is_finished) if is_finished else _unfinished([], seconds=LEFTOVER_SECONDS)


def _open(lease: Lease, connection: Connection, threads: ThreadPoolExecutor) -> ConnectionPass | None:
    """Take up a connection; None when it has no usable address or key, which is said on the connection."""
    try:
        return ConnectionPass.open(lease, connection, threads)
    except Permanent as error:
        with lease.fenced():
            fail_connection(connection=connection, sentence=error.sentence, now=database_now())
        return None


def _unfinished(working: list[ConnectionPass], *, seconds: float | None = None) -> SliceEnd:
    for work in working:
        work.keep_outcomes()
    return SliceEnd(False, None if seconds is None else database_now() + dt.timedelta(seconds=seconds))


def _guarded_step(work: ConnectionPass) -> float | None:
    """Do one step; a failure of the destination ends this connection's work, not that of others.

    An unexpected error is stored on the runs and raised again. Not so when the database went away or another worker
    took over: then the runs stay as they are, and whoever holds the lease next goes on with them.
    """
    try:
        return work_step(work, now=database_now())
    except (RateUnknown, LeaseLost, OperationalError, InterfaceError):
        raise
    except Temporary as error:
        work.keep_outcomes()
        with work.lease.fenced():
            postpone_runs(connection=work.connection, sentence=error.sentence, now=database_now())
    except Permanent as error:
        work.keep_outcomes()
        with work.lease.fenced():
            fail_connection(connection=work.connection, sentence=error.sentence, now=database_now())
    except Exception as error:
        # The task boundary, drawn here and not in the task: only here the lease still fences the write, and only here
        # it is known whose runs were interrupted. Celery logs the traceback of what is raised again.
        with work.lease.fenced():
            fail_internally(runs=work.interrupted_runs(), error=error, now=database_now())
        raise
    return None


def connections_with_work(app_id: int) -> list[Connection]:
    """Return the app's connections that have something to send and a credential to send it with."""
    return list(
        Connection.objects.filter(_has_work(""), app_id=app_id)
        .filter(_can_send(""))
        .select_related("app", "project", "match_property")
        # Read when it is needed: one that no key opens must not hide the others.
        .defer("credential")
        .distinct()
        .order_by("id")
    )


def apps_with_work(*, now: dt.datetime, is_leased: bool = False) -> list[int]:
    """Return the ids of apps whose pass is due and held by no live lease: the truth behind every enqueued slice.

    With `is_leased` the holder asks, for whom neither lease nor wake-up time counts.
    """
    apps = DestinationApp.objects.filter(_can_send("connections__") & _has_work("connections__"))
    if not is_leased:
        apps = apps.filter(Q(wake_at=None) | Q(wake_at__lte=now)).filter(
            Q(lease_expires_at=None) | Q(lease_expires_at__lte=now)
        )
    return list(apps.distinct().values_list("id", flat=True))


def _can_send(prefix: str) -> Q:
    return Q(**{f"{prefix}status": Connection.Status.CONNECTED}) | Q(**{f"{prefix}is_draining": True})


def _has_work(prefix: str) -> Q:
    renamed = {
        f"{prefix}ledgers__renamed_to__gt": "",
        f"{prefix}ledgers__segment_seen_at__isnull": False,
        f"{prefix}ledgers__sync__isnull": False,
    }
    return (
        Q(**{f"{prefix}syncs__runs__status__in": [Run.Status.QUEUED, Run.Status.RUNNING]})
        | Q(**{f"{prefix}ledgers__is_draining": True})
        | Q(**{f"{prefix}ledgers__is_erasing": True})
        | Q(**{f"{prefix}is_draining": True})
        | Q(**renamed)
    )
