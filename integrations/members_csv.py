"""Step 8, show: the members of a run as CSV rows, rebuilt from its bitmaps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from django.db.models import Exists, OuterRef, Q, QuerySet
from pyroaring import BitMap

from cohorts.models import ErasedKey, MatchKey, PersonKey
from cohorts.spreadsheets import cell
from integrations.models import RejectedRecipient, Run, RunBitmap, UnmatchedRecipient
from integrations.runs import bitmap_of, wanted_of

HEADER = ("distinct_id", "match_key", "operation", "outcome", "reason")
ROWS_AT_A_TIME = 5000
ERASED = "(erased)"
LEFT = "Not answered yet; the next run tries again."

Kind = RunBitmap.Kind


def members_rows(*, run: Run) -> Iterator[Sequence[str]]:
    """Yield the header, then one row per recipient: what the run had to do, and what came of it.

    `distinct_id` is the person who carries the id today, the oldest one when profiles share it; empty when nobody does.
    Of somebody who was erased since, both are hidden, also where a new person has the same id now. A cell that a
    spreadsheet would take for a formula is prefixed with an apostrophe.
    """
    yield HEADER
    if run.as_of is None:
        return
    to_add, to_remove = bitmap_of(run, Kind.TO_ADD), bitmap_of(run, Kind.TO_REMOVE)
    wanted = BitMap() if run.is_removal else wanted_of(run)
    unmatched, rejected = bitmap_of(run, Kind.UNMATCHED), bitmap_of(run, Kind.REJECTED)
    added, removed = bitmap_of(run, Kind.ADDED), bitmap_of(run, Kind.REMOVED)
    parts = [
        ("add", "added", to_add & added),
        ("add", "unmatched", to_add & unmatched),
        ("add", "rejected", to_add & rejected),
        ("add", "left", to_add - added - unmatched - rejected),
        ("remove", "removed", to_remove & removed),
        ("remove", "left", to_remove - removed),
        ("no-op", "unchanged", wanted - to_add),
    ]
    for operation, outcome, recipients in parts:
        for start in range(0, len(recipients), ROWS_AT_A_TIME):
            yield from _rows(run, operation, outcome, list(recipients[start : start + ROWS_AT_A_TIME]))


def _rows(run: Run, operation: str, outcome: str, recipients: list[int]) -> Iterator[Sequence[str]]:
    keys = MatchKey.objects.filter(project_id=run.project_id, id__in=recipients)
    values = dict(keys.values_list("id", "value"))
    hidden = hidden_keys(run, recipients)
    # Newest first, so that the oldest person of a shared key is the one that stays in the dict.
    persons = (
        PersonKey.objects.filter(
            project_id=run.project_id, match_key_id__in=recipients, person__project_id=run.project_id
        )
        .order_by("-person_id")
        .values_list("match_key_id", "person__distinct_id")
    )
    distinct_ids: dict[int | None, str] = dict(persons)
    reasons = _reasons(run, outcome, recipients)
    for recipient in recipients:
        value = None if recipient in hidden else values.get(recipient)
        yield (
            "" if value is None else cell(distinct_ids.get(recipient, "")),
            ERASED if value is None else cell(value),
            operation,
            outcome,
            reasons.get(recipient, LEFT if outcome == "left" else ""),
        )


def hidden_keys(run: Run, recipients: Sequence[int]) -> set[int]:
    """Return the recipients of whom a run shows nothing any more: erased persons', from the request on.

    Whoever set the same value again later is nobody the run knew. Who shared the value all along still has it.
    """
    holders = PersonKey.objects.filter(
        project_id=run.project_id, match_key_id=OuterRef("match_key_id"), person__project_id=run.project_id
    )
    rows = (
        ErasedKey.objects.filter(project_id=run.project_id, match_key_id__in=recipients)
        .annotate(
            is_held=Exists(holders),
            is_shared=Exists(holders.filter(person__created_at__lte=OuterRef("erasure__requested_at"))),
        )
        .filter(Q(is_held=False) | Q(is_shared=False, erasure__requested_at__gte=run.as_of))
    )
    return set(rows.values_list("match_key_id", flat=True))


def _reasons(run: Run, outcome: str, recipients: list[int]) -> dict[int, str]:
    """Return what the destination said of each, when, and when it is asked again by itself."""
    rows: QuerySet[UnmatchedRecipient] | QuerySet[RejectedRecipient]
    if outcome == "unmatched":
        app_id = run.sync.connection.app_id
        rows = UnmatchedRecipient.objects.filter(project_id=run.project_id, app_id=app_id)
    elif outcome == "rejected":
        rows = RejectedRecipient.objects.filter(ledger__sync=run.sync_id)
    else:
        return {}
    return {
        recipient: f"{reason} Asked on {answered_at:%Y-%m-%d %H:%M} UTC, again from {retry_at:%Y-%m-%d %H:%M} UTC on."
        for recipient, reason, answered_at, retry_at in rows.filter(match_key_id__in=recipients).values_list(
            "match_key_id", "reason", "answered_at", "retry_at"
        )
    }
