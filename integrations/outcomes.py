"""What a batch's answers mean: for the ledgers, for the plans of the pass, and for what is remembered of recipients."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence

from pyroaring import BitMap

from integrations.delivery import Delivered
from integrations.destinations.base import Outcome
from integrations.diff import Batch, Plan
from integrations.ledger import Entry, Kind
from integrations.models import Connection, Ledger, RejectedRecipient, UnmatchedRecipient

# Unmatched recipients are asked again after so many days, growing with each attempt (laws.md, L21).
UNMATCHED_PAUSE_DAYS = (1, 2, 4, 8, 14)
REJECTED_PAUSE = dt.timedelta(days=1)


def entries_of(batch: Batch, delivered: Delivered) -> list[Entry]:
    """Return the ledger entries of a batch's answers. A write nobody answered has none: its intent stays open."""
    by = delivered.by_outcome
    kinds = {
        Kind.ACCEPTED: by[Outcome.ACCEPTED],
        Kind.ABSENT: by[Outcome.ABSENT],
        Kind.REFUSED: by[Outcome.REFUSED] | by[Outcome.THROTTLED] | by[Outcome.DENIED],
        Kind.UNSENT: by[Outcome.UNSENT],
    }
    entries = [
        Entry(ledger_id, kind, value, written & recipients)
        for value, by_ledger in ((True, batch.setting), (False, batch.clearing))
        for ledger_id, written in by_ledger.items()
        for kind, recipients in kinds.items()
    ]
    return [entry for entry in entries if entry.recipients]


def apply(
    plans: Mapping[int, Plan],
    batch: Batch,
    delivered: Delivered,
    entries: Sequence[Entry],
    *,
    at: dt.datetime,
) -> None:
    """Bring the plans' states to what the intents and entries of the batch say."""
    unanswered = delivered.by_outcome[Outcome.UNANSWERED]
    for value, by_ledger in ((True, batch.setting), (False, batch.clearing)):
        for ledger_id, written in by_ledger.items():
            if open_intents := written & unanswered:
                plans[ledger_id].state.apply(kind=Kind.INTENT, value=value, recipients=open_intents, at=at)
    for entry in entries:
        plans[entry.ledger_id].state.apply(kind=entry.kind, value=entry.value, recipients=entry.recipients, at=at)
    accepted = delivered.by_outcome[Outcome.ACCEPTED]
    absent, refused = delivered.by_outcome[Outcome.ABSENT], delivered.by_outcome[Outcome.REFUSED]
    for ledger_id, plan in plans.items():
        refused_here = _refused_here(plan, batch, delivered)
        plan.unmatched |= absent
        plan.rejected |= refused_here
        plan.known_unmatched = (plan.known_unmatched | absent) - accepted
        taken_here = accepted & batch.setting.get(ledger_id, BitMap())
        plan.known_rejected = (plan.known_rejected | refused_here) - taken_here
        # A refused removal stays to be done; the run says so, and the next one tries again.
        plan.given_up |= refused & batch.clearing.get(ledger_id, BitMap())


def _refused_here(plan: Plan, batch: Batch, delivered: Delivered) -> BitMap:
    """Return who was refused this ledger's tag; one that is there already only travelled along."""
    setting = batch.setting.get(plan.ledger_id, BitMap())
    return (setting & delivered.by_outcome[Outcome.REFUSED]) - plan.state.settled


def remember_recipients(
    *, connection: Connection, plans: Mapping[int, Plan], batch: Batch, delivered: Delivered, now: dt.datetime
) -> None:
    """Store who is unmatched or rejected, and forget those who were accepted after all."""
    accepted = delivered.by_outcome[Outcome.ACCEPTED]
    unmatched = UnmatchedRecipient.objects.filter(app=connection.app, project=connection.project)
    unmatched.filter(match_key_id__in=list(accepted)).delete()
    for ledger_id, written in batch.setting.items():
        RejectedRecipient.objects.filter(ledger_id=ledger_id, match_key_id__in=list(written & accepted)).delete()
    _remember_absent(connection, delivered.by_outcome[Outcome.ABSENT], now)
    RejectedRecipient.objects.bulk_create(
        (
            RejectedRecipient(
                project=connection.project,
                ledger_id=ledger_id,
                match_key_id=recipient,
                reason=delivered.refusals[recipient],
                answered_at=now,
                retry_at=now + REJECTED_PAUSE,
            )
            for ledger_id in batch.setting
            for recipient in _refused_here(plans[ledger_id], batch, delivered)
        ),
        update_conflicts=True,
        update_fields=["reason", "answered_at", "retry_at"],
        unique_fields=["ledger", "match_key"],
    )


def _remember_absent(connection: Connection, absent: BitMap, now: dt.datetime) -> None:
    known = dict(
        UnmatchedRecipient.objects.filter(
            app=connection.app, project=connection.project, match_key_id__in=list(absent)
        ).values_list("match_key_id", "attempts")
    )
    UnmatchedRecipient.objects.bulk_create(
        (
            UnmatchedRecipient(
                project=connection.project,
                app=connection.app,
                match_key_id=recipient,
                reason="OneSignal does not know this id.",
                attempts=known.get(recipient, 0) + 1,
                answered_at=now,
                retry_at=now + unmatched_pause(known.get(recipient, 0) + 1),
            )
            for recipient in absent
        ),
        update_conflicts=True,
        update_fields=["reason", "attempts", "answered_at", "retry_at"],
        unique_fields=["project", "app", "match_key"],
    )


def unmatched_pause(attempts: int) -> dt.timedelta:
    """Return how long an unmatched recipient is left alone after so many attempts."""
    return dt.timedelta(days=UNMATCHED_PAUSE_DAYS[min(attempts, len(UNMATCHED_PAUSE_DAYS)) - 1])


def remember_counts(plans: Mapping[int, Plan], batch: Batch) -> None:
    """Keep the number that lists show beside each ledger the batch touched."""
    for ledger_id in {*batch.setting, *batch.clearing}:
        Ledger.objects.filter(pk=ledger_id).update(delivered_count=len(plans[ledger_id].state.delivered))
