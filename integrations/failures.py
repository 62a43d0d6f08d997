"""What a failure does to a connection and its syncs. The sentence is written once and shown verbatim everywhere."""

from __future__ import annotations

import datetime as dt

from django.conf import settings
from django.db.models import Q

from integrations.models import Connection, Ledger, Run, Sync
from integrations.runs import fail_runs

OPEN = [Run.Status.QUEUED, Run.Status.RUNNING]


def fail_connection(*, connection: Connection, sentence: str, now: dt.datetime) -> None:
    """The destination refuses the key or the app: every sync of the connection pauses with the sentence."""
    Connection.objects.filter(pk=connection.pk).update(error=sentence, checked_at=now)
    # One that is disconnected and only drains stays disconnected.
    Connection.objects.filter(pk=connection.pk, status=Connection.Status.CONNECTED).update(
        status=Connection.Status.ERROR
    )
    fail_runs(
        runs=Run.objects.filter(sync__connection=connection, status__in=OPEN),
        sentence=sentence,
        error_kind=Run.ErrorKind.PERMANENT,
        now=now,
    )
    Sync.objects.filter(connection=connection, status=Sync.Status.ACTIVE).update(
        status=Sync.Status.PAUSED,
        paused_by=Sync.PausedBy.CONNECTION,
        pause_reason=sentence,
        next_run_at=None,
    )


def fail_sync(*, sync: Sync, sentence: str, now: dt.datetime, is_withdrawn: bool = False) -> None:
    """One sync cannot go on until a person acts; with `is_withdrawn` the tags it has set are taken back."""
    fail_runs(
        runs=Run.objects.filter(sync=sync, status__in=OPEN),
        sentence=sentence,
        error_kind=Run.ErrorKind.PERMANENT,
        now=now,
    )
    Sync.objects.filter(pk=sync.pk).update(
        status=Sync.Status.PAUSED,
        paused_by=Sync.PausedBy.FAILURE,
        pause_reason=sentence,
        next_run_at=None,
    )
    if is_withdrawn:
        Ledger.objects.filter(pk=sync.ledger_id).update(is_draining=True)


def postpone_runs(*, connection: Connection, sentence: str, now: dt.datetime) -> None:
    """The destination cannot be used for now: its runs fail as temporary, and the schedule tries again.

    A one-time sync that has not finished is put on the schedule too, until its export is done.
    """
    runs = list(Run.objects.filter(sync__connection=connection, status__in=OPEN))
    fail_runs(runs=runs, sentence=sentence, error_kind=Run.ErrorKind.TEMPORARY, now=now)
    retry_one_time_syncs(sync_ids=[run.sync_id for run in runs], now=now)


def fail_internally(*, runs: list[Run], error: Exception, now: dt.datetime) -> None:
    """An error nobody foresaw stopped these runs; the log has it."""
    sentence = (
        f"An internal error stopped this run ({type(error).__name__}); the worker's log has the details. "
        "What was delivered stays recorded, and the next run goes on from there."
    )
    fail_runs(runs=runs, sentence=sentence, error_kind=Run.ErrorKind.INTERNAL, now=now)
    retry_one_time_syncs(sync_ids=[run.sync_id for run in runs], now=now)


def retry_one_time_syncs(*, sync_ids: list[int], now: dt.datetime) -> None:
    """Give unfinished one-time syncs another run at the next interval."""
    Sync.objects.filter(
        Q(pk__in=sync_ids), mode=Sync.Mode.ONE_TIME, status=Sync.Status.ACTIVE, deleting_at=None
    ).update(next_run_at=now + dt.timedelta(minutes=settings.SYNC_INTERVAL_MINUTES))
