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
from django.db.models import Q

from cohorts.resolve import snapshot
from integrations.connection_pass import ConnectionPass, database_now
from integrations.diff import next_batch
from integrations.errors import CredentialRefused, Temporary
from integrations.failures import fail_connection, postpone_runs
from integrations.lease import Lease, take_lease
from integrations.models import Connection, DestinationApp, Ledger, Run
from integrations.rate import RateUnknown

# A worker sleeps out waits up to this; longer ones end the slice and free the worker.
LONGEST_SLEEP_SECONDS = 5.0
# A ledger whose last removals were given up is tried again after this.
UNFINISHED_DRAIN_SECONDS = 60.0

logger = structlog.get_logger(__name__)


@dataclass(frozen=True)
class SliceEnd:
    """How a slice ended: whether the app's pass is over, and if not, when it goes on (None: at once)."""

    is_finished: bool
    wake_at: dt.datetime | None = None


def work_step(work: ConnectionPass, *, now: dt.datetime) -> float | None:
    """Do the next piece of a connection's work; return the seconds until more can be done, None when all is done."""
    work.refresh()
    if queued := work.queued_runs():
        with snapshot() as as_of:
            wishes = [work.resolve(run, as_of=as_of) for run in queued]
        work.admit(wishes, now=now)
        work.ensure_segments()
    work.finish_runs(now=now)
    batch = next_batch(
        plans=work.plans.values(),
        size=settings.DELIVERY_BATCH_RECIPIENTS,
        held_back=work.patience.held_back(),
        now=now,
    )
    if batch is None:
        return work.seconds_to_wait(now=now)
    delivered = work.deliver(batch)
    work.record(batch, delivered)
    work.ensure_segments()
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
        DestinationApp.objects.filter(pk=app_id).update(wake_at=end.wake_at)
    return end


def _take_turns(lease: Lease, threads: ThreadPoolExecutor, is_stopping: Callable[[], bool]) -> SliceEnd:
    """Give each connection of the app one batch after another in turn."""
    ends_at = time.monotonic() + settings.SLICE_SECONDS
    working = [ConnectionPass.open(lease, connection, threads) for connection in connections_with_work(lease.app_id)]
    try:
        while working:
            if is_stopping() or time.monotonic() > ends_at or not lease.may_send():
                return SliceEnd(is_finished=False)
            waits = []
            for work in list(working):
                wait = _guarded_step(work)
                if wait is None:
                    work.close()
                    working.remove(work)
                else:
                    waits.append(wait)
            wait = min(waits, default=0.0)
            if wait > LONGEST_SLEEP_SECONDS:
                return SliceEnd(is_finished=False, wake_at=database_now() + dt.timedelta(seconds=wait))
            time.sleep(min(wait, 0.5))
    except RateUnknown as error:
        logger.warning("rate_unknown", app_id=lease.app_id)
        wake_at = database_now() + dt.timedelta(seconds=error.retry_after_seconds)
        return SliceEnd(is_finished=False, wake_at=wake_at)
    finally:
        for work in working:
            work.close()
    if Ledger.objects.filter(app_id=lease.app_id, is_draining=True).exists():
        wake_at = database_now() + dt.timedelta(seconds=UNFINISHED_DRAIN_SECONDS)
        return SliceEnd(is_finished=False, wake_at=wake_at)
    return SliceEnd(is_finished=True)


def _guarded_step(work: ConnectionPass) -> float | None:
    """Do one step; a failure of the destination ends this connection's work, not that of others."""
    try:
        return work_step(work, now=database_now())
    except RateUnknown:
        raise
    except CredentialRefused as error:
        with work.lease.fenced():
            for ledger_id in work.runs:
                work.keep_outcomes(ledger_id)
            fail_connection(connection=work.connection, sentence=error.sentence, now=database_now())
    except Temporary as error:
        with work.lease.fenced():
            for ledger_id in work.runs:
                work.keep_outcomes(ledger_id)
            postpone_runs(connection=work.connection, sentence=error.sentence, now=database_now())
    return None


def connections_with_work(app_id: int) -> list[Connection]:
    """Return the app's connections that have something to send and a credential to send it with."""
    return list(
        Connection.objects.filter(_has_work("syncs__", "ledgers__"), app_id=app_id)
        .filter(Q(status=Connection.Status.CONNECTED) | Q(is_draining=True))
        .select_related("app", "project", "match_property")
        .distinct()
        .order_by("id")
    )


def apps_with_work(*, now: dt.datetime) -> list[int]:
    """Return the ids of apps whose pass is due and held by no live lease: the truth behind every enqueued slice."""
    can_send = Q(connections__status=Connection.Status.CONNECTED) | Q(connections__is_draining=True)
    return list(
        DestinationApp.objects.filter(can_send, _has_work("connections__syncs__", "connections__ledgers__"))
        .filter(Q(wake_at=None) | Q(wake_at__lte=now))
        .filter(Q(lease_expires_at=None) | Q(lease_expires_at__lte=now))
        .distinct()
        .values_list("id", flat=True)
    )


def _has_work(syncs: str, ledgers: str) -> Q:
    return (
        Q(**{f"{syncs}runs__status__in": [Run.Status.QUEUED, Run.Status.RUNNING]})
        | Q(**{f"{ledgers}is_draining": True})
        | Q(**{f"{ledgers}renamed_to__gt": "", f"{ledgers}segment_seen_at__isnull": False})
    )
