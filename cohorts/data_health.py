"""Step 8, show: what was refused at the door in a project, by reason and by day, with samples; kept for a set time.

The rows are written by `refusals.py`, the words for a reason stand in `remedies.py`, the page is
`cohortsync/pages/data_health.py`. A day is one of UTC. Everything here is read from one row per day, endpoint and
reason, so the cost follows the days kept and never the number of records.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from django.conf import settings
from django.contrib.postgres.aggregates import ArrayAgg
from django.db.models import Max, QuerySet, Sum

from cohorts.models import Project, Refusal
from cohorts.remedies import Remedy, remedy_of
from cohorts.spreadsheets import cell

SAMPLES_SHOWN = 3
HEADER = ("refused_date", "endpoint", "reason", "refused_at", "message", "record")


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which refusals: both days inclusive; an empty endpoint or reason means all of them."""

    first_date: dt.date
    last_date: dt.date
    endpoint: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Sample:
    """A refused record: when it came, what its sender was or would be told, the beginning of its text."""

    refused_at: dt.datetime | None
    message: str
    record: str


@dataclass(frozen=True, slots=True)
class ReasonTotal:
    """All refusals for one reason, with samples of the newest day."""

    reason: str
    remedy: Remedy
    count: int
    last_at: dt.datetime
    endpoints: Sequence[str]
    samples: Sequence[Sample]


@dataclass(frozen=True, slots=True)
class DayTotal:
    """How many records were refused on a day, and how many links between ids."""

    date: dt.date
    records: int
    identities: int


def refusals_of(project: Project, wanted: Wanted) -> QuerySet[Refusal]:
    """Return the rows of one project that `wanted` describes."""
    rows = Refusal.objects.filter(project=project, refused_date__range=(wanted.first_date, wanted.last_date))
    if wanted.endpoint:
        rows = rows.filter(endpoint=wanted.endpoint)
    if wanted.reason:
        rows = rows.filter(reason=wanted.reason)
    return rows


def by_reason(project: Project, wanted: Wanted) -> list[ReasonTotal]:
    """Return the reasons, the most frequent first; with one reason wanted, all samples of its newest day."""
    rows = refusals_of(project, wanted)
    totals = rows.values("reason").annotate(
        total=Sum("count"), newest_at=Max("last_at"), endpoints=ArrayAgg("endpoint", distinct=True)
    )
    # Samples only of one row per reason: those of all days would be megabytes.
    newest = {row.reason: row for row in rows.order_by("reason", "-last_at").distinct("reason")}
    found = [
        ReasonTotal(
            reason=total["reason"],
            remedy=remedy_of(total["reason"]),
            count=total["total"],
            last_at=total["newest_at"],
            endpoints=sorted(total["endpoints"]),
            samples=_samples_of(newest[total["reason"]], at_most=None if wanted.reason else SAMPLES_SHOWN),
        )
        for total in totals
        if total["reason"] in newest
    ]
    return sorted(found, key=lambda each: (-each.count, each.reason))


def by_day(project: Project, wanted: Wanted) -> list[DayTotal]:
    """Return every day of the range, the oldest first, also those on which nothing was refused."""
    counts: dict[tuple[dt.date, bool], int] = defaultdict(int)
    rows = refusals_of(project, wanted).values_list("refused_date", "reason").annotate(total=Sum("count"))
    for date, reason, total in rows:
        counts[date, remedy_of(reason).is_about_identity] += total
    days = (wanted.last_date - wanted.first_date).days + 1
    dates = [wanted.first_date + dt.timedelta(days=n) for n in range(days)]
    return [DayTotal(date, records=counts[date, False], identities=counts[date, True]) for date in dates]


def endpoints_and_reasons(project: Project) -> tuple[list[str], list[str]]:
    """Return what can be chosen: the endpoints and the reasons of all refusals that are kept, sorted."""
    pairs = set(Refusal.objects.filter(project=project).values_list("endpoint", "reason"))
    return sorted({endpoint for endpoint, _ in pairs}), sorted({reason for _, reason in pairs})


def sample_rows(project: Project, wanted: Wanted) -> Iterator[Sequence[str]]:
    """Yield the header of the CSV, then a row per sample, the newest day first."""
    yield HEADER
    rows = refusals_of(project, wanted).order_by("-refused_date", "endpoint", "reason")
    for row in rows.iterator(chunk_size=50):
        for sample in _samples_of(row, at_most=None):
            yield (
                row.refused_date.isoformat(),
                row.endpoint,
                cell(row.reason),
                sample.refused_at.isoformat() if sample.refused_at else "",
                cell(sample.message),
                cell(sample.record),
            )


def kept_since(now: dt.datetime) -> dt.date:
    """Return the oldest day of which refusals are kept: `REFUSALS_KEPT_DAYS` days, today among them."""
    return now.astimezone(dt.UTC).date() - dt.timedelta(days=settings.REFUSALS_KEPT_DAYS - 1)


def sweep_refusals(*, now: dt.datetime) -> int:
    """Delete the refusals of days that are no longer kept, in all projects; return how many rows there were."""
    deleted, _ = Refusal.objects.filter(refused_date__lt=kept_since(now)).delete()
    return deleted


def _samples_of(row: Refusal, *, at_most: int | None) -> list[Sample]:
    return [
        Sample(
            refused_at=dt.datetime.fromisoformat(sample["at"]) if sample.get("at") else None,
            message=str(sample.get("message", "")),
            record=str(sample.get("record", "")),
        )
        for sample in row.samples[:at_most]
    ]
