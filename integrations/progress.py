"""Step 8, show: how far an open run is and when it will be done. What is read is apart from what is concluded of it."""

from __future__ import annotations

import datetime as dt
import enum
from dataclasses import dataclass

from django.conf import settings
from django.db.models.functions import Now

from integrations.models import DestinationApp, LedgerBitmap, LedgerEntry, Run

# Before this much of a run was seen, its speed is chance.
MEASURED_SECONDS = 3.0
# Beat looks for forgotten work every few seconds, so a minute without a worker says that none runs.
FORGOTTEN_SECONDS = 60.0


class Phase(enum.Enum):
    """What an open run does."""

    QUEUED = "queued"
    RESOLVING = "resolving"
    WAITING = "waiting"
    DELIVERING = "delivering"
    FINISHING = "finishing"


@dataclass(frozen=True)
class Surroundings:
    """What an open run depends on besides itself, as of `now` of the database's clock."""

    now: dt.datetime
    # A worker holds the app's lease.
    is_worked_on: bool
    # When the pass goes on by itself.
    wake_at: dt.datetime | None
    # Open runs on the same app that were queued earlier, and whether one of them is of the same sync.
    runs_before: int
    is_behind_own_run: bool
    # When the last batch that concerned this run was answered.
    answered_at: dt.datetime | None


@dataclass(frozen=True)
class Progress:
    """Where an open run stands: members done of those to change, and how long the rest takes, if that is known."""

    phase: Phase
    sentence: str
    done: int
    total: int
    per_second: float | None = None
    seconds_left: float | None = None


def surroundings_of(run: Run) -> Surroundings:
    """Read what an open run depends on; `run.sync.connection` should be there already."""
    app_id = run.sync.connection.app_id
    app = (
        DestinationApp.objects.filter(pk=app_id).annotate(now=Now()).values("now", "lease_expires_at", "wake_at").get()
    )
    now, lease_expires_at = app["now"], app["lease_expires_at"]
    # Of other projects on the same app too: they share its rate, and only their number is told.
    before = Run.objects.filter(
        sync__connection__app_id=app_id, status__in=[Run.Status.QUEUED, Run.Status.RUNNING], id__lt=run.pk
    )
    syncs_before = list(before.values_list("sync_id", flat=True))
    return Surroundings(
        now=now,
        is_worked_on=lease_expires_at is not None and lease_expires_at > now,
        wake_at=app["wake_at"],
        runs_before=len(syncs_before),
        is_behind_own_run=run.sync_id in syncs_before,
        answered_at=_answered_at(run),
    )


def _answered_at(run: Run) -> dt.datetime | None:
    if run.started_at is None:
        return None
    answers = LedgerEntry.objects.filter(ledger_id=run.sync.ledger_id).exclude(kind=LedgerEntry.Kind.INTENT)
    last = answers.order_by("-lease_token", "-batch_number").values_list("written_at", flat=True).first()
    if last is None:
        # A slice that goes on has folded the answers of the one before.
        last = LedgerBitmap.objects.filter(pk=run.sync.ledger_id).values_list("folded_at", flat=True).first()
    return last if last and last > run.started_at else None


def progress_of(run: Run, around: Surroundings) -> Progress:
    """Conclude where an open run stands. No time is given while it waits, or before its speed could be measured."""
    if run.status == Run.Status.QUEUED:
        phase, sentence = _queued(run, around)
        return Progress(phase, sentence, 0, 0)
    total = run.to_add + run.to_remove
    left = run.left_to_add + run.left_to_remove
    phase, sentence = _running(run, around, left)
    if phase is not Phase.DELIVERING:
        return Progress(phase, sentence, total - left, total)
    per_second, seconds_left = _pace(run, around, done=total - left, left=left)
    return Progress(phase, sentence, total - left, total, per_second, seconds_left)


def _queued(run: Run, around: Surroundings) -> tuple[Phase, str]:
    if run.waiting_for:
        return Phase.WAITING, run.waiting_for
    if around.is_behind_own_run:
        return Phase.QUEUED, "Waiting until the run of this sync that is under way has ended."
    if around.runs_before:
        noun = "run" if around.runs_before == 1 else "runs"
        return Phase.QUEUED, f"Waiting for its turn: {around.runs_before} {noun} before it on this OneSignal app."
    if around.is_worked_on:
        return Phase.RESOLVING, "Looking up who carries the tag." if run.is_removal else "Resolving the cohort."
    return Phase.QUEUED, _without_worker(run.queued_at, around, "Waiting for its turn.")


def _running(run: Run, around: Surroundings, left: int) -> tuple[Phase, str]:
    if not left:
        return Phase.FINISHING, "Every change is answered; the run is being closed."
    if run.waiting_for:
        return Phase.WAITING, run.waiting_for
    if not around.is_worked_on:
        since = around.answered_at or run.started_at or run.queued_at
        return Phase.WAITING, _without_worker(since, around, "Waiting for a worker to go on with it.")
    if run.is_removal:
        return Phase.DELIVERING, "Taking the tag back from its users."
    return Phase.DELIVERING, "Sending the changes to OneSignal."


def _without_worker(since: dt.datetime, around: Surroundings, sentence: str) -> str:
    if around.wake_at is not None and around.wake_at > around.now:
        return f"Waiting until {around.wake_at:%H:%M:%S} UTC, when OneSignal may be asked again."
    if (around.now - since).total_seconds() > FORGOTTEN_SECONDS:
        return f"{sentence} No worker has taken it up since {since:%H:%M} UTC: somebody should see whether one runs."
    return sentence


def _pace(run: Run, around: Surroundings, *, done: int, left: int) -> tuple[float | None, float | None]:
    """Return members a second and the seconds left, each None when nothing honest can be said.

    Members known as unmatched are done without a request, and a request that found no answer does none: the speed is
    that of the fewer. Answers come in batches, so it is measured up to the last of them.
    """
    if run.started_at is None or around.answered_at is None:
        return None, None
    elapsed = (around.answered_at - run.started_at).total_seconds()
    sent = min(done, run.requests)
    if elapsed < MEASURED_SECONDS or sent <= 0:
        return None, None
    per_second = sent / elapsed
    silent = max((around.now - around.answered_at).total_seconds(), 0.0)
    if silent > 2 * settings.DELIVERY_BATCH_SECONDS:
        # Others go first, or the destination hangs: the old speed says nothing about the rest.
        return per_second, None
    return per_second, max(left / per_second - silent, 0.0)


def time_left_words(seconds: float) -> str:
    """Return a time to go in words, no more exact than such a guess is."""
    if seconds < 10:
        return "a few seconds left"
    if seconds <= 50:
        return f"about {-(-seconds // 10) * 10:.0f} seconds left"
    minutes = max(round(seconds / 60), 1)
    if minutes < 60:
        return f"about {minutes} minute{'' if minutes == 1 else 's'} left"
    hours, minutes = divmod(round(minutes, -1), 60)
    return f"about {hours} h {minutes} min left" if minutes else f"about {hours} h left"
