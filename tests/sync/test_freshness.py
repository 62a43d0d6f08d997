"""Whether a segment equals its cohort is said only when it is known."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from cohorts.models import Cohort
from integrations.freshness import LastRuns, Verdict, freshness
from integrations.models import Ledger, Run, Sync

NOON = dt.datetime(2026, 11, 23, 12, tzinfo=dt.UTC)


def sync_with(*, cohort_version: int = 1, ledger: dict[str, Any] | None = None, **fields: Any) -> Sync:
    """A sync whose segment holds somebody."""
    held = {"segment_seen_at": NOON, "delivered_count": 3, **(ledger or {})}
    given = {"mode": "dynamic", "status": "active", **fields}
    return Sync(cohort=Cohort(version=cohort_version), ledger=Ledger(**held), **given)


def ended(pk: int, status: str = "succeeded", *, minute: int = 0, **fields: Any) -> Run:
    given = {"added": 3, "matched_keys": 3, "cohort_version": 1, "as_of": NOON + dt.timedelta(minutes=minute)}
    return Run(pk=pk, status=status, **{**given, **fields})


def newest(*runs: Run) -> LastRuns:
    """Return what `last_runs` would read of these, given oldest first."""
    resolved = [run for run in runs if run.as_of]
    good = [run for run in runs if run.status == "succeeded" and not run.is_removal]
    return LastRuns(*(some[-1] if some else None for some in (list(runs), resolved, good)))


GOOD, LATER = ended(1), NOON + dt.timedelta(minutes=15)


@pytest.mark.parametrize(
    ("sync", "runs", "verdict", "words", "equal_as_of"),
    [
        (sync_with(), [GOOD], Verdict.EQUAL, "The segment equals the cohort.", NOON),
        (sync_with(status="finished", mode="one_time"), [GOOD], Verdict.EQUAL, "equals the cohort", NOON),
        (sync_with(), [GOOD, ended(2, minute=15)], Verdict.EQUAL, "equals the cohort", LATER),
        (sync_with(), [ended(1, unmatched=1)], Verdict.EQUAL, "apart from 1 member unknown to OneSignal.", NOON),
        (sync_with(), [], Verdict.NOTHING, "Nothing has been exported yet.", None),
        (sync_with(), [ended(1, "failed", as_of=None)], Verdict.NOTHING, "The first run failed", None),
        (sync_with(), [GOOD, ended(2, "partial", rejected=1)], Verdict.DIFFERENT, "OneSignal rejected 1 member.", NOON),
        (
            sync_with(),
            [ended(2, "partial", rejected=1200)],
            Verdict.DIFFERENT,
            "OneSignal rejected 1,200 members.",
            None,
        ),
        (sync_with(), [GOOD, ended(2, "failed")], Verdict.UNKNOWN, "the last run failed", NOON),
        (sync_with(), [GOOD, ended(2, "cancelled")], Verdict.UNKNOWN, "stopped before its end", NOON),
        (sync_with(), [GOOD, ended(2, "held")], Verdict.UNKNOWN, "the last run is held", NOON),
        # One that ended before it was let in has changed nothing.
        (sync_with(), [GOOD, ended(2, "cancelled", as_of=None)], Verdict.EQUAL, "equals the cohort", NOON),
        (sync_with(), [GOOD, ended(2, "failed", as_of=None)], Verdict.OUTDATED, "before it changed anything", NOON),
        (sync_with(status="paused"), [GOOD], Verdict.OUTDATED, "does not follow the cohort", NOON),
        (sync_with(status="paused"), [GOOD, ended(2, "failed")], Verdict.UNKNOWN, "the last run failed", NOON),
        (sync_with(cohort_version=2), [GOOD], Verdict.OUTDATED, "definition was changed", NOON),
        (sync_with(deleting_at=NOON), [GOOD], Verdict.CHANGING, "The segment is being removed", None),
        (sync_with(ledger={"is_draining": True}), [GOOD], Verdict.CHANGING, "tag is being taken back", None),
        (
            sync_with(ledger={"is_draining": True, "is_segment_doomed": True}, status="paused"),
            [GOOD],
            Verdict.CHANGING,
            "The segment is being removed",
            None,
        ),
        (
            sync_with(ledger={"segment_seen_at": None, "delivered_count": 0}),
            [ended(1, added=0, matched_keys=0)],
            Verdict.NOTHING,
            "nobody of the cohort could be exported",
            None,
        ),
        (
            sync_with(ledger={"segment_seen_at": None, "delivered_count": 0}, status="paused"),
            [GOOD],
            Verdict.NOTHING,
            "does not hold the segment any more",
            None,
        ),
        (
            sync_with(ledger={"segment_seen_at": None, "delivered_count": 0}, status="paused"),
            [ended(1, "failed")],
            Verdict.NOTHING,
            "OneSignal holds no segment of this cohort: the last run failed.",
            None,
        ),
        (sync_with(), [GOOD, ended(2, "succeeded", is_removal=True)], Verdict.UNKNOWN, "its removal", NOON),
    ],
)
def test_equality_is_claimed_only_as_of_the_last_good_run(
    sync: Sync, runs: list[Run], verdict: Verdict, words: str, equal_as_of: dt.datetime | None
) -> None:
    told = freshness(sync=sync, running=None, last=newest(*runs))
    assert (told.verdict, told.equal_as_of) == (verdict, equal_as_of)
    assert words in told.sentence


def test_while_a_run_works_the_segment_is_between_two_states() -> None:
    told = freshness(sync=sync_with(), running=Run(status="running"), last=newest(GOOD))
    assert (told.verdict, told.equal_as_of) == (Verdict.CHANGING, NOON)
