"""Step 5, diff: wanted recipients and the ledgers' states -> what changes for each recipient, over all ledgers at once.

Pure decisions on bitmaps; `integrations/sync.py` reads the inputs and `integrations/delivery.py` carries a batch out.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from pyroaring import BitMap

from integrations.ledger import LedgerState


@dataclass
class Plan:
    """One ledger's part of a pass. `wanted` None: no run asks for a change, but known tags travel along (L15)."""

    ledger_id: int
    tag: str
    state: LedgerState
    wanted: BitMap | None = None
    # Known as unmatched at the app, or refused for this tag; and of these, who is not to be asked now.
    known_unmatched: BitMap = field(default_factory=BitMap)
    known_rejected: BitMap = field(default_factory=BitMap)
    unmatched: BitMap = field(default_factory=BitMap)
    rejected: BitMap = field(default_factory=BitMap)
    # Erased persons' keys: whatever is wanted, their tags go (laws.md, L8).
    erased: BitMap = field(default_factory=BitMap)
    # An archived ledger is here for its erased persons only: its other tags do not travel along.
    is_archived: bool = field(default=False, init=False)
    # Given up in this pass after repeated temporary failures.
    given_up: BitMap = field(default_factory=BitMap)

    def to_set(self) -> BitMap:
        """Return the recipients whose tag is still to be set, those in doubt included."""
        if self.wanted is None:
            return BitMap()
        return self.wanted - self.state.settled - self.unmatched - self.rejected - self.given_up - self.erased

    def to_clear(self) -> BitMap:
        """Return the recipients whose tag is still to be cleared, those in doubt included."""
        possible = self.state.possible
        unwanted = possible & self.erased
        if self.wanted is not None:
            unwanted |= possible - self.wanted
        return unwanted - self.given_up


@dataclass(frozen=True)
class Difference:
    """A cohort's recipients against what is delivered, as the counts of a run name it."""

    to_add: BitMap
    to_remove: BitMap
    unchanged: BitMap


def difference(*, wanted: BitMap, state: LedgerState) -> Difference:
    """Return what a run has to do: wanted = unchanged + to_add, and what may be there without being wanted goes."""
    settled = state.settled
    return Difference(to_add=wanted - settled, to_remove=state.possible - wanted, unchanged=wanted & settled)


@dataclass(frozen=True)
class Batch:
    """The recipients of one batch and, by ledger, what is written to which of them."""

    recipients: Sequence[int]
    setting: dict[int, BitMap]
    clearing: dict[int, BitMap]


def next_batch(*, plans: Iterable[Plan], size: int, held_back: BitMap, now: dt.datetime) -> Batch | None:
    """Choose the next recipients and every tag that travels with them; None when nothing can be written now.

    Removals come first, then the ledgers with least left, so that a first load delays nobody (L18). A recipient for
    whom any change must still wait for its clock (L11) is left out whole, since one request carries all their tags.
    """
    plans = list(plans)
    due: list[BitMap] = []
    waiting = held_back.copy()
    for plan in plans:
        setting, clearing = plan.to_set(), plan.to_clear()
        waiting |= setting & plan.state.waiting(value=True, now=now)
        waiting |= clearing & plan.state.waiting(value=False, now=now)
        due += [clearing, setting]
    removals, additions = due[0::2], sorted(due[1::2], key=len)
    chosen = BitMap()
    for candidates in [*removals, *additions]:
        room = size - len(chosen)
        if room <= 0:
            break
        free = candidates - waiting - chosen
        chosen |= free if len(free) <= room else BitMap(free[:room])
    if not chosen:
        return None
    setting_by, clearing_by = {}, {}
    for plan in plans:
        not_now = plan.erased | plan.state.waiting(value=True, now=now)
        if plan.wanted is not None:
            setting_by[plan.ledger_id] = chosen & plan.wanted - plan.rejected - not_now
        elif not plan.is_archived:
            # A tag that is known to be there travels along and heals what others changed; it may not be contrary to
            # a removal that is under way.
            setting_by[plan.ledger_id] = chosen & plan.state.settled - not_now
        clearing_by[plan.ledger_id] = chosen & plan.to_clear()
    return Batch(
        recipients=list(chosen),
        setting={pk: bitmap for pk, bitmap in setting_by.items() if bitmap},
        clearing={pk: bitmap for pk, bitmap in clearing_by.items() if bitmap},
    )


def without(batch: Batch, erased: BitMap, *, unaddressed: BitMap) -> Batch:
    """Return the batch with no tag set for `erased` recipients and nothing written to `unaddressed` ones."""
    setting = {pk: bitmap - erased - unaddressed for pk, bitmap in batch.setting.items()}
    clearing = {pk: bitmap - unaddressed for pk, bitmap in batch.clearing.items()}
    return Batch(
        recipients=list(BitMap.union(BitMap(), *setting.values(), *clearing.values())),
        setting={pk: bitmap for pk, bitmap in setting.items() if bitmap},
        clearing={pk: bitmap for pk, bitmap in clearing.items() if bitmap},
    )


def is_finished(plan: Plan) -> bool:
    """Tell whether nothing is left to write for this ledger in this pass."""
    return not plan.to_set() and not plan.to_clear()


def earliest_clock(*, plans: Iterable[Plan], now: dt.datetime) -> dt.datetime | None:
    """Return when the first recipient that waits only for its clock may be written; None when none waits."""
    ends = [
        clock.until
        for plan in plans
        for clock in plan.state.clocks
        if clock.until > now and clock.recipients & (plan.to_clear() if clock.value else plan.to_set())
    ]
    return min(ends, default=None)
