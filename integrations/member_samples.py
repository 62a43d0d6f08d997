"""Step 8, show: some of the members a run could not bring over, with what was said of each. All: `members_csv.py`."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass

from cohorts.models import MatchKey, PersonKey
from integrations.bitmaps import read_bitmap
from integrations.members_csv import hidden_keys
from integrations.models import RejectedRecipient, Run, RunBitmap, UnmatchedRecipient

SAMPLE_MEMBERS = 20

Kind = RunBitmap.Kind


@dataclass(frozen=True)
class Answer:
    """What the destination said of somebody, when, and from when on it is asked again."""

    reason: str
    answered_at: dt.datetime
    retry_at: dt.datetime


@dataclass(frozen=True)
class Sample:
    """A member by the person who carries the id today (empty: nobody does) and the id itself (None: erased).

    Without an answer it was accepted in a later run.
    """

    outcome: str
    distinct_id: str
    match_key: str | None
    answer: Answer | None


def samples_of(run: Run) -> list[Sample]:
    """Return the first rejected and unmatched members of a run that has ended, at most SAMPLE_MEMBERS of each."""
    chosen: dict[Kind, list[int]] = {Kind.REJECTED: [], Kind.UNMATCHED: []}
    for row in RunBitmap.objects.filter(run=run, kind__in=list(chosen)):
        chosen[Kind(row.kind)] = list(read_bitmap(row.recipients)[:SAMPLE_MEMBERS])
    recipients = sorted({recipient for some in chosen.values() for recipient in some})
    if not recipients:
        return []
    keys = MatchKey.objects.filter(project_id=run.project_id, id__in=recipients)
    hidden = hidden_keys(run, recipients)
    values = {pk: value for pk, value in keys.values_list("id", "value") if pk not in hidden}
    distinct_ids = _distinct_ids(run, list(values))
    answers = {Kind.REJECTED: _rejections(run, recipients), Kind.UNMATCHED: _unknown(run, recipients)}
    return [
        Sample(kind, distinct_ids.get(recipient, ""), values.get(recipient), answers[kind].get(recipient))
        for kind, some in chosen.items()
        for recipient in some
    ]


def _distinct_ids(run: Run, recipients: Iterable[int]) -> dict[int | None, str]:
    """Return who carries each key; of several the oldest, who comes last and so stays in the dict."""
    persons = PersonKey.objects.filter(
        project_id=run.project_id, match_key_id__in=recipients, person__project_id=run.project_id
    )
    return dict(persons.order_by("-person_id").values_list("match_key_id", "person__distinct_id"))


def _rejections(run: Run, recipients: Iterable[int]) -> dict[int, Answer]:
    rows = RejectedRecipient.objects.filter(ledger_id=run.sync.ledger_id, match_key_id__in=recipients)
    return {row.match_key_id: Answer(row.reason, row.answered_at, row.retry_at) for row in rows}


def _unknown(run: Run, recipients: Iterable[int]) -> dict[int, Answer]:
    rows = UnmatchedRecipient.objects.filter(
        project_id=run.project_id, app_id=run.sync.connection.app_id, match_key_id__in=recipients
    )
    return {row.match_key_id: Answer(row.reason, row.answered_at, row.retry_at) for row in rows}
