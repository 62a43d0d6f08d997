"""Step 7: the ledger never lies, whatever crashes between an intent and its outcome (laws.md, L11, L12)."""

from __future__ import annotations

import datetime as dt
import threading
import uuid
from typing import Any

import pytest
from django.db import connection as database
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyroaring import BitMap

from integrations.ledger import Entry, Kind, LedgerState, append, fold, read_states
from integrations.models import Ledger, LedgerEntry, WriteClock
from tests.cast import at, make_connection, make_project

NOW = at("2026-11-23T12:00:00")


def make_ledger() -> Ledger:
    connection = make_connection(make_project())
    return Ledger.objects.create(
        project=connection.project,
        connection=connection,
        app=connection.app,
        cohort_id=1,
        tag="cs_1",
        segment_id=uuid.uuid4(),
    )


def write(ledger: Ledger, batch: int, *lines: tuple[str, bool, set[int]], token: int = 1, seconds: float = 0) -> None:
    append(
        token=token,
        batch_number=batch,
        entries=[Entry(ledger.pk, kind, value, BitMap(recipients)) for kind, value, recipients in lines],
        at=NOW + dt.timedelta(seconds=seconds),
    )


def state_of(ledger: Ledger) -> LedgerState:
    return read_states(ledgers=[ledger])[ledger.pk]


@pytest.mark.django_db
def test_an_accepted_write_is_delivered_and_no_longer_in_doubt() -> None:
    ledger = make_ledger()
    write(ledger, 1, (Kind.INTENT, True, {1, 2}))
    assert state_of(ledger).doubt[True] == BitMap([1, 2])
    assert not state_of(ledger).delivered
    write(ledger, 1, (Kind.ACCEPTED, True, {1}))
    assert state_of(ledger).delivered == BitMap([1])
    assert state_of(ledger).doubt[True] == BitMap([2])


@pytest.mark.django_db
@pytest.mark.parametrize("kind", [Kind.REFUSED, Kind.UNSENT])
def test_a_write_that_stored_nothing_leaves_neither_doubt_nor_clock(kind: str) -> None:
    ledger = make_ledger()
    write(ledger, 1, (Kind.INTENT, True, {1}), (kind, True, {1}))
    state = state_of(ledger)
    assert not state.possible
    assert not state.waiting(value=False, now=NOW)


@pytest.mark.django_db
def test_an_absent_recipient_carries_no_tag() -> None:
    ledger = make_ledger()
    write(ledger, 1, (Kind.INTENT, True, {1}), (Kind.ACCEPTED, True, {1}))
    write(ledger, 2, (Kind.INTENT, False, {1}), (Kind.ABSENT, False, {1}))
    assert not state_of(ledger).possible


@pytest.mark.django_db
def test_the_contrary_of_a_write_waits_longer_when_it_was_never_answered(settings: Any) -> None:
    settings.CONTRARY_AFTER_ACCEPTED_SECONDS = 60
    settings.CONTRARY_AFTER_UNANSWERED_SECONDS = 120
    settings.DELIVERY_BATCH_SECONDS = 0
    ledger = make_ledger()
    write(ledger, 1, (Kind.INTENT, True, {1, 2}), (Kind.ACCEPTED, True, {1}))
    state = state_of(ledger)
    assert state.waiting(value=False, now=NOW + dt.timedelta(seconds=59)) == BitMap([1, 2])
    assert state.waiting(value=False, now=NOW + dt.timedelta(seconds=61)) == BitMap([2])
    assert not state.waiting(value=False, now=NOW + dt.timedelta(seconds=121))
    assert not state.waiting(value=True, now=NOW)
    # A fold keeps one clock per value, the later end for all: never too early.
    fold(ledger=ledger, now=NOW, is_forced=True)
    folded = state_of(ledger)
    assert folded.waiting(value=False, now=NOW + dt.timedelta(seconds=119)) == BitMap([1, 2])
    assert not folded.waiting(value=False, now=NOW + dt.timedelta(seconds=121))


@pytest.mark.django_db
def test_an_answer_does_not_shorten_the_clock_of_an_earlier_write_that_may_still_be_applied(settings: Any) -> None:
    settings.CONTRARY_AFTER_ACCEPTED_SECONDS = 60
    settings.CONTRARY_AFTER_UNANSWERED_SECONDS = 120
    settings.DELIVERY_BATCH_SECONDS = 0
    ledger = make_ledger()
    write(ledger, 1, (Kind.INTENT, False, {1}))
    write(ledger, 2, (Kind.INTENT, False, {1}), (Kind.ACCEPTED, False, {1}), seconds=1)
    fold(ledger=ledger, now=NOW, is_forced=True)
    state = state_of(ledger)
    assert not state.doubtful
    assert state.waiting(value=True, now=NOW + dt.timedelta(seconds=119)) == BitMap([1])


@pytest.mark.django_db
def test_folding_changes_nothing_that_a_reader_sees() -> None:
    ledger = make_ledger()
    write(ledger, 1, (Kind.INTENT, True, {1, 2, 3}), (Kind.ACCEPTED, True, {1, 2}))
    write(ledger, 2, (Kind.INTENT, False, {2}))
    before = state_of(ledger)
    assert fold(ledger=ledger, now=NOW)
    after = state_of(ledger)
    assert (after.delivered, after.doubt) == (before.delivered, before.doubt)
    assert not LedgerEntry.objects.filter(ledger=ledger).exists()
    assert not fold(ledger=ledger, now=NOW)


@pytest.mark.django_db
def test_a_few_entries_on_a_large_ledger_are_not_worth_rewriting_its_bitmaps() -> None:
    ledger = make_ledger()
    everybody = set(range(10_000))
    write(ledger, 1, (Kind.INTENT, True, everybody), (Kind.ACCEPTED, True, everybody))
    fold(ledger=ledger, now=NOW)
    ledger.refresh_from_db()
    assert ledger.delivered_count == 10_000
    write(ledger, 2, (Kind.INTENT, False, {5}), (Kind.ACCEPTED, False, {5}))
    assert not fold(ledger=ledger, now=NOW)
    assert 5 not in state_of(ledger).delivered
    assert fold(ledger=ledger, now=NOW + dt.timedelta(days=1, seconds=1))


class DiesAt:
    """Fails at the nth statement, before or after it was executed."""

    def __init__(self, position: int, *, is_after: bool) -> None:
        self.position, self.is_after, self.seen = position, is_after, 0

    def __call__(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        self.seen += 1
        if self.seen == self.position and not self.is_after:
            raise RuntimeError("died before a statement")
        answer = execute(sql, params, many, context)
        if self.seen == self.position:
            raise RuntimeError("died after a statement")
        return answer


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("is_after", [False, True])
def test_a_fold_that_dies_at_any_statement_changes_nothing(is_after: bool) -> None:
    ledger = make_ledger()
    write(ledger, 1, (Kind.INTENT, True, {1, 2}), (Kind.ACCEPTED, True, {1}))
    before = state_of(ledger)
    for position in range(1, 50):
        death = DiesAt(position, is_after=is_after)
        try:
            with transaction.atomic(), database.execute_wrapper(death):
                fold(ledger=ledger, now=NOW, is_forced=True)
        except RuntimeError:
            after = state_of(ledger)
            assert (after.delivered, after.doubt) == (before.delivered, before.doubt)
            assert LedgerEntry.objects.filter(ledger=ledger).count() == 2
        else:
            break
    assert position > 6
    assert state_of(ledger).delivered == BitMap([1])
    assert not LedgerEntry.objects.filter(ledger=ledger).exists()


@pytest.mark.django_db(transaction=True)
def test_an_outcome_that_arrives_while_a_fold_runs_is_not_lost() -> None:
    ledger = make_ledger()
    write(ledger, 1, (Kind.INTENT, True, {1}), (Kind.ACCEPTED, True, {1}))
    is_folding, may_commit = threading.Event(), threading.Event()

    def slow_fold() -> None:
        with transaction.atomic():
            fold(ledger=ledger, now=NOW, is_forced=True)
            is_folding.set()
            may_commit.wait(5)
        database.close()

    folder = threading.Thread(target=slow_fold)
    folder.start()
    assert is_folding.wait(5)
    write(ledger, 2, (Kind.INTENT, True, {2}), (Kind.ACCEPTED, True, {2}))
    may_commit.set()
    folder.join()
    assert state_of(ledger).delivered == BitMap([1, 2])
    fold(ledger=ledger, now=NOW, is_forced=True)
    assert state_of(ledger).delivered == BitMap([1, 2])


@pytest.mark.django_db(transaction=True)
def test_clocks_that_have_run_out_are_dropped_by_a_fold() -> None:
    ledger = make_ledger()
    write(ledger, 1, (Kind.INTENT, True, {1}), (Kind.ACCEPTED, True, {1}))
    fold(ledger=ledger, now=NOW, is_forced=True)
    assert WriteClock.objects.filter(ledger=ledger).count() == 1
    fold(ledger=ledger, now=NOW + dt.timedelta(hours=1), is_forced=True)
    assert not WriteClock.objects.filter(ledger=ledger).exists()


MOVES = st.lists(
    st.tuples(
        st.booleans(),
        st.sets(st.integers(0, 5), min_size=1),
        st.sampled_from([Kind.ACCEPTED, Kind.ABSENT, Kind.REFUSED, Kind.UNSENT, None]),
        st.booleans(),
    ),
    max_size=12,
)


@pytest.mark.django_db
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(moves=MOVES)
def test_any_history_reads_the_same_folded_or_not(moves: list[tuple[bool, set[int], str | None, bool]]) -> None:
    with transaction.atomic():
        plain, folded = make_ledger(), make_ledger()
        expected = LedgerState()
        for number, (value, recipients, outcome, is_folded) in enumerate(moves):
            for ledger in (plain, folded):
                write(ledger, number, (Kind.INTENT, value, recipients))
                if outcome:
                    write(ledger, number, (outcome, value, recipients))
            for recipient in recipients:
                _expect(expected, recipient, value, outcome)
            if is_folded:
                fold(ledger=folded, now=NOW, is_forced=True)
        for ledger in (plain, folded):
            state = state_of(ledger)
            assert state.delivered == expected.delivered
            assert state.doubtful == expected.doubtful
        transaction.set_rollback(True)


def _expect(expected: LedgerState, recipient: int, value: bool, outcome: str | None) -> None:
    """The rule of invariant 3 for one recipient, said without bitmaps."""
    if outcome is None:
        expected.doubt[value].add(recipient)
    elif outcome in (Kind.ACCEPTED, Kind.ABSENT):
        expected.doubt[True].discard(recipient)
        expected.doubt[False].discard(recipient)
        if outcome == Kind.ACCEPTED and value:
            expected.delivered.add(recipient)
        else:
            expected.delivered.discard(recipient)
