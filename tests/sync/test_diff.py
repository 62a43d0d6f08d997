"""Step 5: what changes for each recipient, decided on bitmaps alone."""

from __future__ import annotations

import datetime as dt

from hypothesis import given
from hypothesis import strategies as st
from pyroaring import BitMap

from integrations.diff import Plan, difference, earliest_clock, is_finished, next_batch
from integrations.ledger import Clock, LedgerState
from tests.cast import at

NOW = at("2026-11-23T12:00:00")
LATER = NOW + dt.timedelta(seconds=30)


def plan(ledger_id: int, *, wanted: set[int] | None, delivered: set[int] = frozenset(), **rest: BitMap) -> Plan:  # type: ignore[assignment]
    state = LedgerState(delivered=BitMap(delivered))
    return Plan(
        ledger_id=ledger_id,
        tag=f"t{ledger_id}",
        state=state,
        wanted=None if wanted is None else BitMap(wanted),
        **rest,
    )


def batch_of(*plans: Plan, size: int = 100, held_back: set[int] = frozenset()):  # type: ignore[assignment, no-untyped-def]
    return next_batch(plans=plans, size=size, held_back=BitMap(held_back), now=NOW)


def test_nothing_changed_means_no_batch() -> None:
    assert batch_of(plan(1, wanted={1, 2}, delivered={1, 2})) is None


def test_one_request_carries_the_changes_of_all_ledgers() -> None:
    batch = batch_of(plan(1, wanted={1, 2}), plan(2, wanted={2, 3}, delivered={1}))
    assert batch.recipients == [1, 2, 3]
    assert batch.setting == {1: BitMap([1, 2]), 2: BitMap([2, 3])}
    assert batch.clearing == {2: BitMap([1])}


def test_a_known_tag_travels_along_and_heals() -> None:
    batch = batch_of(plan(1, wanted={1}), plan(2, wanted=None, delivered={1, 5}))
    assert batch.recipients == [1]
    assert batch.setting == {1: BitMap([1]), 2: BitMap([1])}


def test_a_tag_that_is_already_there_travels_with_a_change_of_its_recipient() -> None:
    batch = batch_of(plan(1, wanted={1}, delivered={1}), plan(2, wanted={1}))
    assert batch.setting == {1: BitMap([1]), 2: BitMap([1])}


def test_removals_come_before_additions_and_small_ledgers_before_a_first_load() -> None:
    first_load = plan(1, wanted=set(range(100, 200)))
    small = plan(2, wanted={7, 8}, delivered={9})
    assert batch_of(first_load, small, size=1).recipients == [9]
    assert batch_of(first_load, small, size=3).recipients == [7, 8, 9]
    assert len(batch_of(first_load, small, size=10).recipients) == 10


def test_an_unmatched_or_rejected_recipient_is_not_asked_again() -> None:
    assert batch_of(plan(1, wanted={1}, unmatched=BitMap([1]))) is None
    assert batch_of(plan(1, wanted={1}, rejected=BitMap([1]))) is None


def test_who_must_wait_for_a_clock_is_left_out_with_all_tags() -> None:
    waiting = plan(1, wanted=set(), delivered={1})
    waiting.state.clocks.append(Clock(value=True, until=LATER, recipients=BitMap([1])))
    other = plan(2, wanted={1, 2})
    assert batch_of(waiting, other).recipients == [2]
    assert earliest_clock(plans=[waiting, other], now=NOW) == LATER


def test_a_clock_of_the_same_value_delays_nothing() -> None:
    again = plan(1, wanted={1})
    again.state.clocks.append(Clock(value=True, until=LATER, recipients=BitMap([1])))
    assert batch_of(again).recipients == [1]


def test_a_doubtful_recipient_is_sent_its_wanted_state_whichever_that_is() -> None:
    stays = plan(1, wanted={1}, delivered={1})
    stays.state.doubt[False].add(1)
    assert batch_of(stays).setting == {1: BitMap([1])}
    leaves = plan(2, wanted=set())
    leaves.state.doubt[True].add(4)
    assert batch_of(leaves).clearing == {2: BitMap([4])}


def test_who_is_given_up_ends_the_plan_without_counting_as_done() -> None:
    tired = plan(1, wanted={1}, given_up=BitMap([1]))
    assert batch_of(tired) is None
    assert is_finished(tired)
    assert difference(wanted=BitMap([1]), state=tired.state).to_add == BitMap([1])


@given(
    wanted=st.sets(st.integers(0, 30)),
    delivered=st.sets(st.integers(0, 30)),
    set_doubt=st.sets(st.integers(0, 30)),
    clear_doubt=st.sets(st.integers(0, 30)),
)
def test_counts_add_up_for_any_state(
    wanted: set[int], delivered: set[int], set_doubt: set[int], clear_doubt: set[int]
) -> None:
    state = LedgerState(delivered=BitMap(delivered), doubt={True: BitMap(set_doubt), False: BitMap(clear_doubt)})
    parts = difference(wanted=BitMap(wanted), state=state)
    assert parts.unchanged | parts.to_add == BitMap(wanted)
    assert not parts.unchanged & parts.to_add
    assert not parts.to_remove & BitMap(wanted)
    assert BitMap(delivered | set_doubt | clear_doubt) - BitMap(wanted) == parts.to_remove
