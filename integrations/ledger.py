"""Step 7, record: intents before the requests, outcomes after them, folded into bitmaps (design.md, invariant 3).

A ledger says for one tag which recipients are known to carry it (`delivered`) and which writes were sent and never
answered (`doubt`, per value). Entries are appended batch by batch under the lease and folded into the bitmaps; readers
take bitmaps and unfolded entries in one snapshot. `integrations/diff.py` reads the state, `integrations/delivery.py`
fills it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass, field

from django.conf import settings
from django.db import transaction
from pyroaring import BitMap

from integrations.bitmaps import bitmap_bytes, read_bitmap
from integrations.models import Ledger, LedgerBitmap, LedgerEntry, WriteClock

Kind = LedgerEntry.Kind

# A fold rewrites the bitmaps; it waits until the entries are worth it (laws.md, L25).
FOLD_SHARE = 0.01
FOLD_ENTRY_COUNT = 200
FOLD_AGE = dt.timedelta(days=1)


@dataclass(frozen=True)
class Clock:
    """Until `until`, the contrary of `value` must not be written for `recipients` (laws.md, L11)."""

    value: bool
    until: dt.datetime
    recipients: BitMap


@dataclass
class LedgerState:
    """What is known about one tag: a working copy, changed only together with the entries that say the same."""

    delivered: BitMap = field(default_factory=BitMap)
    doubt: dict[bool, BitMap] = field(default_factory=lambda: {True: BitMap(), False: BitMap()})
    clocks: list[Clock] = field(default_factory=list)

    @property
    def doubtful(self) -> BitMap:
        """Recipients of whom a write was never answered."""
        return self.doubt[True] | self.doubt[False]

    @property
    def settled(self) -> BitMap:
        """Recipients known to carry the tag, without a doubt."""
        return self.delivered - self.doubtful

    @property
    def possible(self) -> BitMap:
        """Recipients who carry the tag or may carry it."""
        return self.delivered | self.doubtful

    def waiting(self, *, value: bool, now: dt.datetime) -> BitMap:
        """Return the recipients for whom `value` must not be written yet, because its contrary may still be applied."""
        held = BitMap()
        for clock in self.clocks:
            if clock.value != value and clock.until > now:
                held |= clock.recipients
        return held

    def apply(self, *, kind: str, value: bool, recipients: BitMap, at: dt.datetime) -> None:
        """Apply one entry written at `at`.

        A refused or unsent write changes nothing: neither was anything stored, nor does it say what became of an
        earlier write that was never answered.
        """
        if kind == Kind.INTENT:
            self.doubt[value] |= recipients
            # The intent is written before its batch; the last request of the batch leaves up to its duration later.
            seconds = settings.CONTRARY_AFTER_UNANSWERED_SECONDS + settings.DELIVERY_BATCH_SECONDS
            self._start_clock(value, at, seconds, recipients)
        elif kind in (Kind.ACCEPTED, Kind.ABSENT):
            # A contrary write still in doubt is over as well: its clock had run out before this one was sent.
            self.doubt[True] -= recipients
            self.doubt[False] -= recipients
            if kind == Kind.ACCEPTED and value:
                self.delivered |= recipients
            else:
                self.delivered -= recipients
            if kind == Kind.ACCEPTED:
                self._start_clock(value, at, settings.CONTRARY_AFTER_ACCEPTED_SECONDS, recipients)

    def _start_clock(self, value: bool, at: dt.datetime, seconds: float, recipients: BitMap) -> None:
        self.clocks.append(Clock(value, at + dt.timedelta(seconds=seconds), recipients.copy()))


@dataclass(frozen=True)
class Entry:
    """One line to append: a batch wrote `value` for `recipients` of a ledger, or learned what came of it."""

    ledger_id: int
    kind: str
    value: bool
    recipients: BitMap


def append(*, token: int, batch_number: int, entries: Iterable[Entry], at: dt.datetime) -> None:
    """Append entries, in the caller's fenced transaction. Empty ones are left out."""
    LedgerEntry.objects.bulk_create(
        LedgerEntry(
            ledger_id=entry.ledger_id,
            lease_token=token,
            batch_number=batch_number,
            kind=entry.kind,
            value=entry.value,
            recipients=bitmap_bytes(entry.recipients),
            written_at=at,
        )
        for entry in entries
        if entry.recipients
    )


def _apply_entries(state: LedgerState, entries: Iterable[LedgerEntry]) -> None:
    """Apply entries in the order of their batches.

    An intent starts the long clock of an unanswered write. A definite answer replaces it by the short one, and a write
    that was refused or never left starts none: nothing of it can be applied late.
    """
    batches: dict[tuple[int, int], list[LedgerEntry]] = {}
    for entry in entries:
        batches.setdefault((entry.lease_token, entry.batch_number), []).append(entry)
    for _, batch in sorted(batches.items()):
        answered = {True: BitMap(), False: BitMap()}
        for entry in batch:
            if entry.kind != Kind.INTENT:
                answered[entry.value] |= read_bitmap(entry.recipients)
        for entry in batch:
            recipients = read_bitmap(entry.recipients)
            if entry.kind == Kind.INTENT:
                recipients -= answered[entry.value]
                if not recipients:
                    continue
            state.apply(kind=entry.kind, value=entry.value, recipients=recipients, at=entry.written_at)


def read_states(*, ledgers: Iterable[Ledger]) -> dict[int, LedgerState]:
    """Return the state of each ledger by its id: bitmaps plus entries not folded yet, in one snapshot.

    The caller opens the snapshot (a REPEATABLE READ transaction) or holds the lease, so that no fold comes between.
    """
    ids = [ledger.pk for ledger in ledgers]
    states = {pk: LedgerState() for pk in ids}
    for row in LedgerBitmap.objects.filter(ledger_id__in=ids):
        state = states[row.ledger_id]
        state.delivered = read_bitmap(row.delivered)
        state.doubt = {True: read_bitmap(row.doubt_set), False: read_bitmap(row.doubt_clear)}
    for clock in WriteClock.objects.filter(ledger_id__in=ids):
        states[clock.ledger_id].clocks.append(Clock(clock.value, clock.until, read_bitmap(clock.recipients)))
    by_ledger: dict[int, list[LedgerEntry]] = {}
    for entry in LedgerEntry.objects.filter(ledger_id__in=ids).order_by("lease_token", "batch_number", "id"):
        by_ledger.setdefault(entry.ledger_id, []).append(entry)
    for pk, entries in by_ledger.items():
        _apply_entries(states[pk], entries)
    return states


def fold(*, ledger: Ledger, now: dt.datetime, is_forced: bool = False) -> bool:
    """Consume the ledger's entries into its bitmaps, in the caller's fenced transaction; tell whether it was due.

    `DELETE ... RETURNING` takes exactly the entries that are applied: one appended meanwhile stays for the next fold.
    """
    if not is_forced and not _fold_is_due(ledger, now):
        return False
    with transaction.atomic():
        row, _ = LedgerBitmap.objects.select_for_update().get_or_create(
            ledger=ledger, defaults={"delivered": b"", "doubt_set": b"", "doubt_clear": b""}
        )
        state = LedgerState(
            delivered=read_bitmap(row.delivered),
            doubt={True: read_bitmap(row.doubt_set), False: read_bitmap(row.doubt_clear)},
        )
        entries = list(
            LedgerEntry.objects.raw(
                "DELETE FROM integrations_ledgerentry WHERE ledger_id = %s RETURNING *", [ledger.pk]
            )
        )
        _apply_entries(state, sorted(entries, key=lambda entry: entry.pk))
        row.delivered = bitmap_bytes(state.delivered)
        row.doubt_set = bitmap_bytes(state.doubt[True])
        row.doubt_clear = bitmap_bytes(state.doubt[False])
        row.save()
        WriteClock.objects.filter(ledger=ledger, until__lte=now).delete()
        WriteClock.objects.bulk_create(_coalesced(ledger, state.clocks, now))
        Ledger.objects.filter(pk=ledger.pk).update(delivered_count=len(state.delivered))
    return True


def _coalesced(ledger: Ledger, clocks: Iterable[Clock], now: dt.datetime) -> list[WriteClock]:
    """Return one clock per value for those still running: the latest end serves for all, and is never too early."""
    rows = []
    for value in (True, False):
        running = [clock for clock in clocks if clock.value == value and clock.until > now]
        if running:
            recipients = BitMap.union(*(clock.recipients for clock in running))
            until = max(clock.until for clock in running)
            rows.append(WriteClock(ledger=ledger, value=value, until=until, recipients=bitmap_bytes(recipients)))
    return rows


def _fold_is_due(ledger: Ledger, now: dt.datetime) -> bool:
    entries = LedgerEntry.objects.filter(ledger=ledger)
    oldest = entries.order_by("written_at").values_list("written_at", flat=True).first()
    if oldest is None:
        return False
    stored = LedgerBitmap.objects.filter(ledger=ledger).only("pk").first()
    if stored is None or oldest < now - FOLD_AGE or entries.count() >= FOLD_ENTRY_COUNT:
        return True
    changed = sum(len(read_bitmap(recipients)) for recipients in entries.values_list("recipients", flat=True))
    return changed > FOLD_SHARE * max(ledger.delivered_count, 1)
