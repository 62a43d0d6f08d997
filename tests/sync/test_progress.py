"""What is said of an open run: where it stands, and a time to go only when one is known."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import Any

import pytest
from django.utils import timezone

from cohorts.models import Project
from integrations.models import Connection, DestinationApp, LedgerEntry, Run
from integrations.progress import Phase, Progress, Surroundings, progress_of, surroundings_of, time_left_words
from tests.cast import make_cohort
from tests.sandbox_app import SandboxApp
from tests.sync.stories import export, start_export, work_steps

NOON = dt.datetime(2026, 11, 23, 12, tzinfo=dt.UTC)
AT_WORK = Surroundings(
    now=NOON, is_worked_on=True, wake_at=None, runs_before=0, is_behind_own_run=False, answered_at=None
)


def ago(seconds: float) -> dt.datetime:
    return NOON - dt.timedelta(seconds=seconds)


def queued(**fields: Any) -> Run:
    return Run(**{"status": "queued", "queued_at": ago(5), **fields})


def running(*, to_add: int = 1000, left: int = 1000, **fields: Any) -> Run:
    """A run that began 20 seconds ago and sent one request for each member done."""
    given = {"status": "running", "queued_at": ago(25), "started_at": ago(20), "requests": to_add - left}
    return Run(**{**given, "to_add": to_add, "added": to_add - left, "left_to_add": left, **fields})


def concluded(run: Run, **around: Any) -> Progress:
    return progress_of(run, replace(AT_WORK, **around))


@pytest.mark.parametrize(
    ("run", "around", "phase", "words"),
    [
        (queued(), {"is_worked_on": False}, Phase.QUEUED, "Waiting for its turn."),
        (queued(), {}, Phase.RESOLVING, "Resolving the cohort."),
        (queued(is_removal=True), {}, Phase.RESOLVING, "Looking up who carries the tag."),
        (queued(), {"runs_before": 1}, Phase.QUEUED, "1 run before it"),
        (queued(), {"runs_before": 3}, Phase.QUEUED, "3 runs before it"),
        (queued(), {"runs_before": 1, "is_behind_own_run": True}, Phase.QUEUED, "run of this sync that is under way"),
        (queued(waiting_for="Waiting until the ids are indexed."), {}, Phase.WAITING, "the ids are indexed"),
        (
            queued(),
            {"is_worked_on": False, "wake_at": NOON + dt.timedelta(seconds=40)},
            Phase.QUEUED,
            "until 12:00:40 UTC",
        ),
        (
            queued(queued_at=ago(300)),
            {"is_worked_on": False},
            Phase.QUEUED,
            "No worker has taken it up since 11:55 UTC",
        ),
        (running(), {}, Phase.DELIVERING, "Sending the changes to OneSignal."),
        (
            running(is_removal=True, to_add=0, left=0, to_remove=9, left_to_remove=9),
            {},
            Phase.DELIVERING,
            "Taking the tag back",
        ),
        (running(left=0), {}, Phase.FINISHING, "being closed"),
        (running(to_add=0, left=0), {}, Phase.FINISHING, "being closed"),
        (running(waiting_for="Waiting until 12:01 UTC."), {}, Phase.WAITING, "Waiting until 12:01 UTC."),
        (running(), {"is_worked_on": False}, Phase.WAITING, "Waiting for a worker to go on with it."),
        (running(started_at=ago(200)), {"is_worked_on": False}, Phase.WAITING, "No worker has taken it up since 11:56"),
        (running(), {"is_worked_on": False, "wake_at": NOON + dt.timedelta(seconds=9)}, Phase.WAITING, "12:00:09 UTC"),
    ],
)
def test_an_open_run_says_what_it_does_or_waits_for(run: Run, around: dict[str, Any], phase: Phase, words: str) -> None:
    progress = concluded(run, **around)
    assert progress.phase is phase
    assert words in progress.sentence
    assert progress.seconds_left is None


@pytest.mark.parametrize(
    ("run", "around", "per_second", "seconds_left"),
    [
        # 500 answers in the 10 s up to the last batch; then 500 more take 10 s.
        (running(left=500), {"answered_at": ago(10), "now": ago(10)}, 50, 10),
        # 4 s of them have gone by since.
        (running(left=500), {"answered_at": ago(10), "now": ago(6)}, 50, 6),
        # The next batch is late: never less than nothing.
        (running(left=500), {"answered_at": ago(10), "now": ago(-5)}, 50, 0),
        # Nothing answered yet, or too little time to tell a speed.
        (running(), {}, None, None),
        (running(left=500), {"answered_at": ago(18), "now": ago(18)}, None, None),
        # 900 of 1000 were known as unmatched without a request: the speed is that of the 90 requests.
        (running(left=10, requests=90), {"answered_at": ago(2), "now": ago(2)}, 5, 2),
        # 600 requests of which 500 found no answer: the speed is that of the 100 members done.
        (running(left=900, requests=600), {"answered_at": NOON}, 5, 180),
        # Silent for longer than two batches take: the speed of before promises nothing.
        (running(left=500), {"answered_at": ago(10), "now": NOON + dt.timedelta(seconds=60)}, 50, None),
        (running(waiting_for="Waiting.", left=500), {"answered_at": ago(10), "now": ago(10)}, None, None),
        (running(left=500), {"answered_at": ago(10), "now": ago(10), "is_worked_on": False}, None, None),
    ],
)
def test_a_time_to_go_is_measured_or_not_given(
    run: Run, around: dict[str, Any], per_second: float | None, seconds_left: float | None, settings: Any
) -> None:
    settings.DELIVERY_BATCH_SECONDS = 20.0
    progress = concluded(run, **around)
    assert progress.per_second == pytest.approx(per_second)
    assert progress.seconds_left == pytest.approx(seconds_left)


def test_members_done_are_those_that_are_not_left() -> None:
    run = running(to_add=100, left=40, to_remove=10, removed=3, left_to_remove=7)
    assert (concluded(run).done, concluded(run).total) == (63, 110)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "a few seconds left"),
        (9.9, "a few seconds left"),
        (11, "about 20 seconds left"),
        (50, "about 50 seconds left"),
        (51, "about 1 minute left"),
        (100, "about 2 minutes left"),
        (59 * 60, "about 59 minutes left"),
        (59.6 * 60, "about 1 h left"),
        (61 * 60, "about 1 h left"),
        (95 * 60, "about 1 h 40 min left"),
        (7200, "about 2 h left"),
    ],
)
def test_a_time_to_go_is_no_more_exact_than_it_can_be(seconds: float, words: str) -> None:
    assert time_left_words(seconds) == words


@pytest.mark.django_db(transaction=True)
def test_the_surroundings_of_a_run_at_work_are_read_from_the_ledger_and_the_lease(
    onesignal: SandboxApp, shop: Project, crm: Connection, settings: Any, django_assert_num_queries: Any
) -> None:
    settings.DELIVERY_BATCH_RECIPIENTS = 2
    first = start_export(make_cohort(shop), crm)
    second = start_export(make_cohort(shop, "Others"), crm)
    waiting = Run.objects.select_related("sync__connection").get(sync=second)
    around = surroundings_of(waiting)
    assert (around.is_worked_on, around.runs_before, around.is_behind_own_run) == (False, 1, False)
    assert around.answered_at is None
    work_steps(crm, 1)
    run = Run.objects.select_related("sync__connection").get(sync=first)
    assert run.status == "running"
    with django_assert_num_queries(3):
        around = surroundings_of(run)
    last = LedgerEntry.objects.filter(ledger=first.ledger_id).exclude(kind="intent").latest("id")
    assert around.answered_at == last.written_at
    assert (around.runs_before, around.is_worked_on) == (0, False)
    lease_ends_at = timezone.now() + dt.timedelta(minutes=1)
    DestinationApp.objects.filter(pk=crm.app_id).update(lease_expires_at=lease_ends_at)
    assert surroundings_of(run).is_worked_on


@pytest.mark.django_db(transaction=True)
def test_the_next_slice_of_a_run_still_knows_when_it_was_last_answered(
    onesignal: SandboxApp, shop: Project, crm: Connection, settings: Any
) -> None:
    settings.DELIVERY_BATCH_RECIPIENTS = 1
    sync = start_export(make_cohort(shop), crm)
    work_steps(crm, 1)
    work_steps(crm, 0)  # a slice that only begins: it folds what the first one was answered
    run = Run.objects.select_related("sync__connection").get(sync=sync)
    assert (run.status, LedgerEntry.objects.filter(ledger=sync.ledger_id).exists()) == ("running", False)
    assert surroundings_of(run).answered_at == sync.ledger.bitmap.folded_at


@pytest.mark.django_db(transaction=True)
def test_answers_of_an_earlier_run_say_nothing_of_this_one(
    onesignal: SandboxApp, shop: Project, crm: Connection
) -> None:
    _, run = export(make_cohort(shop), crm)
    LedgerEntry.objects.create(
        ledger=run.sync.ledger,
        lease_token=1,
        batch_number=1,
        kind="accepted",
        value=True,
        recipients=b"",
        written_at=timezone.now() - dt.timedelta(hours=1),
    )
    assert run.started_at is not None
    run.started_at = timezone.now()
    assert surroundings_of(run).answered_at is None
