"""What the pages say of a run beside its numbers: pure words from rows that were read already."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass

from integrations.models import Run, Sync
from integrations.progress import Progress, time_left_words

TRIGGERS: Mapping[str, str] = {
    Run.Trigger.MANUAL: "On request",
    Run.Trigger.SCHEDULE: "On schedule",
    Run.Trigger.VERIFY: "After a check at OneSignal",
}
ERROR_KINDS: Mapping[str, str] = {
    Run.ErrorKind.PERMANENT: "It will fail again until somebody changes something.",
    Run.ErrorKind.TEMPORARY: "It may pass by itself.",
    Run.ErrorKind.INTERNAL: "This is a fault of CohortSync or its servers.",
}
OPEN = (Run.Status.QUEUED, Run.Status.RUNNING)


@dataclass(frozen=True)
class Timings:
    """How long a run waited and worked so far, and how many requests a second it made."""

    waited: dt.timedelta | None
    took: dt.timedelta | None
    requests_per_second: float | None


@dataclass(frozen=True)
class RunRow:
    """A run in a list."""

    run: Run
    timings: Timings
    trigger: str
    is_open: bool


def timings_of(run: Run, *, now: dt.datetime) -> Timings:
    """Return the timings. A run that ended without beginning only waited."""
    waited = (run.started_at or run.finished_at or now) - run.queued_at
    took = (run.finished_at or now) - run.started_at if run.started_at else None
    seconds = took.total_seconds() if took else 0.0
    # Less than a second is one batch at most, of which a rate says nothing.
    rate = run.requests / seconds if run.requests and seconds >= 1 else None
    zero = dt.timedelta()
    return Timings(max(waited, zero), None if took is None else max(took, zero), rate)


def pace_words(progress: Progress) -> str:
    """Return the speed of a run and its time to go, as far as they are known."""
    words = []
    if progress.per_second is not None:
        digits = 0 if progress.per_second >= 10 else 1
        words.append(f"{progress.per_second:,.{digits}f} a second")
    if progress.seconds_left is not None:
        words.append(time_left_words(progress.seconds_left))
    return ", ".join(words)


def row_of(run: Run, *, now: dt.datetime) -> RunRow:
    """Return a run as a list shows it."""
    return RunRow(run, timings_of(run, now=now), TRIGGERS[run.trigger], run.status in OPEN)


def after_a_pause(sync: Sync) -> str:
    """Tell what a paused sync takes to go on; the reason stands beside it."""
    if sync.paused_by in (Sync.PausedBy.DISCONNECT, Sync.PausedBy.CONNECTION):
        return (
            f"An owner or admin can give the connection “{sync.connection.name}” valid credentials on the Integrations "
            "page; the sync then goes on by itself."
        )
    if sync.paused_by == Sync.PausedBy.FAILURE:
        return "Put that right, then resume the sync: it runs at once."
    return "What was delivered stays at OneSignal. Resume the sync to bring the segment up to date at once."


def what_next(run: Run, sync: Sync) -> str:
    """Tell what follows the newest run of a sync, once it has ended."""
    if run.status in OPEN or sync.deleting_at is not None:
        return ""
    if sync.status == Sync.Status.PAUSED:
        return "The sync is paused, so no run follows by itself."
    if run.status in (Run.Status.FAILED, Run.Status.CANCELLED):
        return "" if sync.next_run_at else "No run follows by itself: run it again."
    if run.status == Run.Status.PARTIAL:
        return "Rejected members are asked again after a day, or at once with “Retry unmatched and rejected”."
    return ""
