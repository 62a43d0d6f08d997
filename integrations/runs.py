"""Runs: queued, admitted with what they want, counted as they go, ended. Counts are derived from sets, never summed up,
so that a run taken over after a crash cannot count anything twice (design.md, invariant 5)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass

from django.db import IntegrityError, transaction
from django.db.models import F, QuerySet
from pyroaring import BitMap

from cohorts.resolve import Coverage
from integrations.bitmaps import bitmap_bytes, read_bitmap
from integrations.diff import Plan, difference
from integrations.models import RejectedRecipient, Run, RunBitmap, Sync, UnmatchedRecipient

Kind = RunBitmap.Kind

# The full membership is stored again when the differences since the last full one exceed this share of it, or its age.
FULL_SHARE = 0.1
FULL_AGE = dt.timedelta(days=30)


@dataclass
class OpenRun:
    """A running run with what it set out to do."""

    run: Run
    to_add: BitMap
    to_remove: BitMap


def queue_run(*, sync: Sync, trigger: str, now: dt.datetime, is_retry: bool = False, is_removal: bool = False) -> Run:
    """Return the sync's queued run, made now if none waits yet. One waits at most, however often this is asked."""
    queued = Run.objects.filter(sync=sync, status=Run.Status.QUEUED)
    waiting = queued.first()
    if waiting is None:
        try:
            with transaction.atomic():
                return Run.objects.create(
                    project_id=sync.project_id,
                    sync=sync,
                    trigger=trigger,
                    queued_at=now,
                    is_retry=is_retry,
                    is_removal=is_removal,
                )
        except IntegrityError:  # somebody else queued one at the same moment
            waiting = queued.get()
    wishes: dict[str, object] = {"asked_count": F("asked_count") + 1}
    if is_retry:
        wishes["is_retry"] = True
    if is_removal:
        wishes["is_removal"] = True
    if queued.filter(pk=waiting.pk).update(**wishes):
        waiting.refresh_from_db()
        return waiting
    # It began in this very moment: the wish gets a run of its own.
    return queue_run(sync=sync, trigger=trigger, now=now, is_retry=is_retry, is_removal=is_removal)


def cancel_open_runs(*, sync: Sync, sentence: str, now: dt.datetime) -> int:
    """Cancel the sync's queued and running runs; the pass drops them before its next batch. Return how many."""
    return Run.objects.filter(sync=sync, status__in=[Run.Status.QUEUED, Run.Status.RUNNING]).update(
        status=Run.Status.CANCELLED, error=sentence, finished_at=now, waiting_for=""
    )


def cancel_running(*, run: Run, sentence: str, now: dt.datetime) -> None:
    """Cancel this one run, whose place another one takes."""
    Run.objects.filter(pk=run.pk, status=Run.Status.RUNNING).update(
        status=Run.Status.CANCELLED, error=sentence, finished_at=now, waiting_for=""
    )


def admit_run(
    *, run: Run, plan: Plan, coverage: Coverage | None, cohort_version: int, now: dt.datetime
) -> OpenRun | None:
    """Make a queued run running with what it wants, in the caller's fenced transaction.

    None when it was cancelled, or asked for once more since it was read: then it is to be resolved anew.

    `plan.wanted` holds the wanted recipients. Without coverage (a removal run) nothing is wanted.
    """
    assert plan.wanted is not None
    parts = difference(wanted=plan.wanted, state=plan.state)
    fields: dict[str, object] = {
        "status": Run.Status.RUNNING,
        "started_at": now,
        "as_of": coverage.as_of if coverage else now,
        "cohort_version": cohort_version,
        "to_add": len(parts.to_add),
        "to_remove": len(parts.to_remove),
        "unchanged": len(parts.unchanged),
        "left_to_add": len(parts.to_add),
        "left_to_remove": len(parts.to_remove),
        "waiting_for": "",
    }
    if coverage:
        fields |= {
            "members": coverage.members,
            "anonymous": coverage.anonymous,
            "without_match_property": coverage.without_match_property,
            "invalid_id": coverage.invalid_id,
            "matched_profiles": coverage.matched_profiles,
            "matched_keys": coverage.matched_keys,
            "resolve_seconds": coverage.seconds,
        }
    queued = Run.objects.filter(pk=run.pk, status=Run.Status.QUEUED, asked_count=run.asked_count)
    if not queued.update(**fields):
        return None
    for name, value in fields.items():
        setattr(run, name, value)
    _store(run, {Kind.TO_ADD: parts.to_add, Kind.TO_REMOVE: parts.to_remove, **_membership(run, plan.wanted, now)})
    return OpenRun(run, parts.to_add, parts.to_remove)


def reopen_run(run: Run) -> OpenRun:
    """Return a running run as an earlier slice left it."""
    return OpenRun(run, bitmap_of(run, Kind.TO_ADD), bitmap_of(run, Kind.TO_REMOVE))


def _membership(run: Run, wanted: BitMap, now: dt.datetime) -> dict[str, BitMap]:
    """Return the bitmaps that store `wanted`: what entered and left since the sync's previous run, or all of it."""
    chain = _chain(run)
    if not chain:
        return {Kind.WANTED: wanted}
    previous, changed, full_at = _rebuild(chain)
    entered, left = wanted - previous, previous - wanted
    is_stale = full_at is not None and full_at < now - FULL_AGE and bool(changed or entered or left)
    if is_stale or changed + len(entered) + len(left) > FULL_SHARE * max(len(wanted), 1):
        return {Kind.WANTED: wanted, Kind.ENTERED: entered, Kind.LEFT: left}
    return {Kind.ENTERED: entered, Kind.LEFT: left}


def _chain(run: Run) -> list[Run]:
    """Return the sync's resolved runs before `run`, from the last one stored in full, oldest first."""
    resolved = Run.objects.filter(sync_id=run.sync_id, id__lt=run.pk, as_of__isnull=False)
    full = resolved.filter(bitmaps__kind=Kind.WANTED).order_by("-id").first()
    return [] if full is None else list(resolved.filter(id__gte=full.pk).order_by("id"))


def _rebuild(chain: Iterable[Run]) -> tuple[BitMap, int, dt.datetime | None]:
    """Return the membership after a chain of runs, how many entries changed it since the full one, and its time."""
    wanted, changed, full_at = BitMap(), 0, None
    for run in chain:
        stored = {row.kind: read_bitmap(row.recipients) for row in run.bitmaps.all()}
        if Kind.WANTED in stored:
            wanted, changed, full_at = stored[Kind.WANTED], 0, run.as_of
            continue
        entered, left = stored.get(Kind.ENTERED, BitMap()), stored.get(Kind.LEFT, BitMap())
        wanted = (wanted | entered) - left
        changed += len(entered) + len(left)
    return wanted, changed, full_at


def wanted_of(run: Run) -> BitMap:
    """Return the recipients a resolved run wanted, rebuilt from what entered and left."""
    return _rebuild([*_chain(run), run])[0]


def bitmap_of(run: Run, kind: str) -> BitMap:
    """Return one stored set of a run; none stored is the empty set."""
    row = RunBitmap.objects.filter(run=run, kind=kind).first()
    return read_bitmap(row.recipients) if row else BitMap()


def _store(run: Run, bitmaps: dict[str, BitMap]) -> None:
    RunBitmap.objects.bulk_create(
        (
            RunBitmap(run=run, kind=kind, recipients=bitmap_bytes(bitmap))
            for kind, bitmap in bitmaps.items()
            if bitmap or kind == Kind.WANTED
        ),
        update_conflicts=True,
        update_fields=["recipients"],
        unique_fields=["run", "kind"],
    )


@dataclass(frozen=True)
class Known:
    """Recipients of whom an answer is remembered, and those of them who are not to be asked now."""

    everybody: BitMap
    not_now: BitMap


def known_unmatched(*, run: Run, app_id: int, now: dt.datetime) -> Known:
    """Return the recipients known as unmatched at the app."""
    return _known(UnmatchedRecipient.objects.filter(app_id=app_id, project_id=run.project_id), run, now)


def known_rejected(*, run: Run, ledger_id: int, now: dt.datetime) -> Known:
    """Return the recipients whose tag of this ledger was refused."""
    return _known(RejectedRecipient.objects.filter(ledger_id=ledger_id), run, now)


def _known(rows: QuerySet[UnmatchedRecipient] | QuerySet[RejectedRecipient], run: Run, now: dt.datetime) -> Known:
    """Pauses hold, except in a run that retries: that one asks everybody once, over all its slices."""
    everybody, not_now = BitMap(), BitMap()
    for recipient, answered_at, retry_at in rows.values_list("match_key_id", "answered_at", "retry_at"):
        everybody.add(recipient)
        is_asked = run.started_at is not None and answered_at >= run.started_at
        if retry_at > now and (not run.is_retry or is_asked):
            not_now.add(recipient)
    return Known(everybody, not_now)


def sets_of(*, open_run: OpenRun, plan: Plan) -> dict[str, BitMap]:
    """Return where a run stands, as disjoint sets, from the ledger's state and what is known of the recipients."""
    to_add, to_remove = open_run.to_add, open_run.to_remove
    added = to_add & plan.state.settled
    unmatched = (to_add - added) & plan.known_unmatched
    rejected = (to_add - added - unmatched) & plan.known_rejected
    return {
        "added": added,
        "unmatched": unmatched,
        "rejected": rejected,
        "left_to_add": to_add - added - unmatched - rejected,
        "removed": to_remove - plan.state.possible,
        "left_to_remove": to_remove & plan.state.possible,
    }


def record_progress(*, run: Run, sets: dict[str, BitMap], requests: int, waiting_for: str = "") -> None:
    """Write a running run's counts, in the caller's fenced transaction."""
    counts = {name: len(bitmap) for name, bitmap in sets.items()}
    run.requests += requests
    Run.objects.filter(pk=run.pk, status=Run.Status.RUNNING).update(
        **counts, requests=run.requests, waiting_for=waiting_for
    )
    for name, count in counts.items():
        setattr(run, name, count)


def finish_run(*, run: Run, sets: dict[str, BitMap], trouble: str, now: dt.datetime) -> None:
    """End a run whose work is done or given up, in the caller's fenced transaction.

    Anything left makes it failed and temporary; members refused for good make it partial; else it succeeded.
    """
    record_progress(run=run, sets=sets, requests=0)
    store_outcomes(run=run, sets=sets)
    left = run.left_to_add + run.left_to_remove
    if left:
        status = Run.Status.FAILED
        error: str | None = (
            f"{left} members could not be brought up to date now: {trouble or 'no answer came'} "
            "The next run tries them again."
        )
        error_kind: str | None = Run.ErrorKind.TEMPORARY
    else:
        status = Run.Status.PARTIAL if run.rejected else Run.Status.SUCCEEDED
        error, error_kind = None, None
    if Run.objects.filter(pk=run.pk, status=Run.Status.RUNNING).update(
        status=status, error=error, error_kind=error_kind, finished_at=now, waiting_for=""
    ):
        run.status, run.error, run.error_kind, run.finished_at = status, error, error_kind, now


def store_outcomes(*, run: Run, sets: dict[str, BitMap]) -> None:
    """Keep what became of each recipient of a run that has ended, whichever way."""
    _store(
        run,
        {
            Kind.ADDED: sets["added"],
            Kind.REMOVED: sets["removed"],
            Kind.UNMATCHED: sets["unmatched"],
            Kind.REJECTED: sets["rejected"],
        },
    )


def fail_runs(*, runs: Iterable[Run], sentence: str, error_kind: str, now: dt.datetime) -> None:
    """End runs, queued or running, with one sentence; what they delivered stays counted."""
    Run.objects.filter(pk__in=[run.pk for run in runs], status__in=[Run.Status.QUEUED, Run.Status.RUNNING]).update(
        status=Run.Status.FAILED, error=sentence, error_kind=error_kind, finished_at=now, waiting_for=""
    )
