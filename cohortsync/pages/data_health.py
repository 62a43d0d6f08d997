"""Data health: what was refused at the door, by reason and day, with what to do about it; the samples as CSV."""

from __future__ import annotations

import datetime as dt

from django.conf import settings
from django.http import HttpRequest, QueryDict
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.urls import path, reverse
from django.utils import timezone
from django.utils.dateparse import parse_date

from cohorts.access import Action, Actor
from cohorts.arrivals import count_received
from cohorts.data_health import DayTotal, Wanted, by_day, by_reason, endpoints_and_reasons, kept_since, sample_rows
from cohorts.remedies import remedy_of
from cohortsync.csv_answers import csv_answer
from cohortsync.pages.access import page

DAYS_AT_FIRST = 7
# Counting stops here, so that a busy project's page costs no more than a quiet one's.
MAX_COUNTED = 100_000


@page(Action.READ)
def data_health(request: HttpRequest, actor: Actor) -> HttpResponseBase:
    """Show the refusals of `?from=`..`?to=`, of one `?endpoint=` or `?reason=` if given."""
    now = timezone.now()
    wanted = _wanted(request.GET, now)
    reasons, days = by_reason(actor.project, wanted), by_day(actor.project, wanted)
    endpoints, known_reasons = endpoints_and_reasons(actor.project)
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    context = {
        "section": "data-health",
        "wanted": wanted,
        "reasons": reasons,
        "days": [day for day in reversed(days) if day.records or day.identities],
        "records": sum(day.records for day in days),
        "identities": sum(day.identities for day in days),
        "received_today": count_received(project=actor.project, since=midnight, at_most=MAX_COUNTED),
        "max_counted": MAX_COUNTED,
        "endpoints": endpoints,
        "known_reasons": sorted((remedy_of(each).title, each) for each in known_reasons),
        "kept_since": kept_since(now),
        "kept_days": settings.REFUSALS_KEPT_DAYS,
        "today": now.date(),
        "chart": _chart(days) if reasons else None,
        "csv_url": f"{reverse('data-health-csv', args=[actor.project.pk])}?{_query(wanted)}",
    }
    return render(request, "data_health/page.html", context)


@page(Action.DOWNLOAD)
def samples_csv(request: HttpRequest, actor: Actor) -> HttpResponseBase:
    """Send the samples of the same choice as CSV."""
    wanted = _wanted(request.GET, timezone.now())
    name = f"refused-{actor.project.pk}-{wanted.first_date}-{wanted.last_date}.csv"
    return csv_answer(sample_rows(actor.project, wanted), file_name=name)


def _wanted(query: QueryDict, now: dt.datetime) -> Wanted:
    """Return what is chosen, within the days that are kept; what is no date means the usual one."""
    oldest, today = kept_since(now), now.date()
    last_date = min(max(_date(query.get("to", "")) or today, oldest), today)
    usual = max(last_date - dt.timedelta(days=DAYS_AT_FIRST - 1), oldest)
    first_date = min(max(_date(query.get("from", "")) or usual, oldest), last_date)
    endpoint, reason = (query.get(name, "").replace("\0", "") for name in ("endpoint", "reason"))
    return Wanted(first_date, last_date, endpoint, reason)


def _date(text: str) -> dt.date | None:
    try:
        return parse_date(text)
    except ValueError:
        return None


def _query(wanted: Wanted) -> str:
    query = QueryDict(mutable=True)
    query.update({"from": wanted.first_date.isoformat(), "to": wanted.last_date.isoformat()})
    query.update({"endpoint": wanted.endpoint, "reason": wanted.reason})
    return query.urlencode()


def _chart(days: list[DayTotal]) -> dict[str, object]:
    return {
        "kind": "bar",
        "stacked": True,
        "labels": [f"{day.date:%b %d}" for day in days],
        "series": [
            {"name": "Records refused", "values": [day.records for day in days]},
            {"name": "Links between ids refused", "values": [day.identities for day in days]},
        ],
    }


urlpatterns = [
    path("data-health/", data_health, name="data-health"),
    path("data-health/samples.csv", samples_csv, name="data-health-csv"),
]
