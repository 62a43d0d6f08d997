"""Step 8, show: does a segment equal its cohort? A pure answer from the sync and its runs; nothing here is a guess."""

from __future__ import annotations

import datetime as dt
import enum
from dataclasses import dataclass

from django.db.models import QuerySet

from integrations.models import Run, Sync


class Verdict(enum.Enum):
    """What is known of a segment."""

    EQUAL = "equal"
    NOTHING = "nothing"  # nothing is there yet, or any more
    CHANGING = "changing"  # a run is under way
    OUTDATED = "outdated"  # it did equal the cohort, and nothing keeps it so
    DIFFERENT = "different"  # members are missing or too many
    UNKNOWN = "unknown"  # a run ended before it was through


@dataclass(frozen=True)
class Freshness:
    """The verdict in words. `equal_as_of` is the last moment of which equality is known, now or in the past."""

    verdict: Verdict
    sentence: str
    equal_as_of: dt.datetime | None = None


@dataclass(frozen=True)
class LastRuns:
    """The newest runs of a sync that have ended: any, the newest that changed or checked something, the newest good."""

    ended: Run | None
    resolved: Run | None
    succeeded: Run | None


def last_runs(runs: QuerySet[Run]) -> LastRuns:
    """Read them from the runs of one sync."""
    ended = runs.filter(finished_at__isnull=False).order_by("-pk")
    return LastRuns(
        ended=ended.first(),
        resolved=ended.filter(as_of__isnull=False).first(),
        succeeded=ended.filter(status=Run.Status.SUCCEEDED, is_removal=False).first(),
    )


def freshness(*, sync: Sync, running: Run | None, last: LastRuns) -> Freshness:
    """Tell whether the segment equals the cohort. `sync.ledger` and `sync.cohort` should be there already.

    OneSignal is taken at its word: what others change over there is not seen here.
    """
    equal_as_of = last.succeeded.as_of if last.succeeded else None
    if sync.deleting_at is not None or (sync.ledger.is_draining and sync.ledger.is_segment_doomed):
        return Freshness(Verdict.CHANGING, "The segment is being removed, and its tag taken back from every user.")
    if sync.ledger.is_draining:
        return Freshness(Verdict.CHANGING, "The tag is being taken back from every user.")
    if running is not None:
        return Freshness(Verdict.CHANGING, "A run is bringing the segment up to date.", equal_as_of)
    run = last.resolved
    if run is None:
        sentence = "The first run failed; nothing was exported." if last.ended else "Nothing has been exported yet."
        return Freshness(Verdict.NOTHING, sentence)
    if run.status in (Run.Status.SUCCEEDED, Run.Status.PARTIAL) and not run.is_removal:
        return _after_a_complete_run(sync, run, last, equal_as_of)
    if _is_empty(sync):
        return Freshness(Verdict.NOTHING, f"OneSignal holds no segment of this cohort: {_ending(run)}")
    return Freshness(Verdict.UNKNOWN, f"The segment may not equal the cohort: {_ending(run)}", equal_as_of)


def _after_a_complete_run(sync: Sync, run: Run, last: LastRuns, equal_as_of: dt.datetime | None) -> Freshness:
    if _is_empty(sync):
        sentence = (
            "OneSignal holds no segment yet: nobody of the cohort could be exported."
            if not run.added and not run.unchanged
            else "OneSignal does not hold the segment any more."
        )
        return Freshness(Verdict.NOTHING, sentence)
    if run.status == Run.Status.PARTIAL:
        sentence = f"The segment does not equal the cohort: OneSignal rejected {_members(run.rejected)}."
        return Freshness(Verdict.DIFFERENT, sentence, equal_as_of)
    if run.cohort_version is not None and run.cohort_version < sync.cohort.version:
        sentence = "The cohort’s definition was changed after the last run; the segment follows the old one."
        return Freshness(Verdict.OUTDATED, sentence, equal_as_of)
    if sync.status == Sync.Status.PAUSED:
        return Freshness(Verdict.OUTDATED, "The sync is paused: the segment does not follow the cohort.", equal_as_of)
    if last.ended is not None and last.ended.pk > run.pk and last.ended.status == Run.Status.FAILED:
        sentence = "The newest run failed before it changed anything; the segment stays as it was."
        return Freshness(Verdict.OUTDATED, sentence, equal_as_of)
    apart = f", apart from {_members(run.unmatched)} unknown to OneSignal" if run.unmatched else ""
    return Freshness(Verdict.EQUAL, f"The segment equals the cohort{apart}.", equal_as_of)


def _is_empty(sync: Sync) -> bool:
    return sync.ledger.segment_seen_at is None and not sync.ledger.delivered_count


def _ending(run: Run) -> str:
    if run.is_removal:
        return "its removal began and did not come to an end."
    if run.status == Run.Status.CANCELLED:
        return "the last run was stopped before its end."
    if run.status == Run.Status.HELD:
        return "the last run is held."
    return "the last run failed."


def _members(count: int) -> str:
    return "1 member" if count == 1 else f"{count:,} members"
