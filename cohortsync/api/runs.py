"""`runs`: what each execution of a sync came to, in counts and per member. Written by `integrations/runs.py`."""

from __future__ import annotations

import datetime as dt

from django.http import HttpRequest, StreamingHttpResponse
from ninja import Field, Query, Router, Schema

from cohorts.access import NotFound
from cohortsync.api.auth import actor_of
from cohortsync.api.paging import PageOut, PageQuery, page_by_id
from cohortsync.csv_answers import csv_answer
from integrations.access import run_for, runs_of, syncs_of
from integrations.members_csv import members_rows
from integrations.models import Run

router = Router(tags=["runs"])


class RunCoverage(Schema):
    """Whom the cohort selected; null until the run has resolved it."""

    as_of: dt.datetime | None
    members: int | None
    anonymous: int | None
    without_match_property: int | None
    invalid_id: int | None
    matched_profiles: int | None
    matched_keys: int | None
    seconds: float | None


class RunCounts(Schema):
    """to_add = added + unmatched + rejected + left_to_add; to_remove = removed + left_to_remove."""

    to_add: int
    to_remove: int
    unchanged: int
    added: int
    removed: int
    unmatched: int
    rejected: int
    left_to_add: int
    left_to_remove: int


class RunOut(Schema):
    """A run. Only `succeeded` means that the segment equals the cohort as of `as_of`, unmatched members apart."""

    id: int
    sync_id: int
    trigger: str = Field(..., description="`manual`, `schedule` or `verify`")
    status: str = Field(..., description="`queued`, `running`, `succeeded`, `partial`, `failed`, `held` or `cancelled`")
    as_of: dt.datetime | None
    queued_at: dt.datetime
    started_at: dt.datetime | None
    finished_at: dt.datetime | None
    coverage: RunCoverage
    counts: RunCounts
    requests: int
    error: str | None
    error_kind: str | None = Field(..., description="`permanent`, `temporary`, `internal` or null")
    cohort_version: int | None
    is_removal: bool
    is_retry: bool
    waiting_for: str | None


@router.get("runs", response=PageOut[RunOut], summary="List runs")
def list_runs(request: HttpRequest, page: Query[PageQuery], sync_id: int | None = None) -> PageOut[RunOut]:
    """Newest first; `sync_id` shows those of one sync."""
    actor = actor_of(request)
    rows = runs_of(actor)
    if sync_id is not None:
        if not syncs_of(actor).filter(pk=sync_id).exists():
            raise NotFound(f"There is no sync {sync_id} in this project.", "sync_id")
        rows = rows.filter(sync_id=sync_id)
    listing = f"{actor.project.pk}:runs:{sync_id}"
    found, following = page_by_id(rows, page=page, listing=listing, is_newest_first=True)
    return PageOut[RunOut](results=[run_answer(run) for run in found], next=following)


@router.get("runs/{int:run_id}", response=RunOut, summary="Read a run")
def get_run(request: HttpRequest, run_id: int) -> RunOut:
    """Its counts are kept up to date while it goes."""
    return run_answer(run_for(actor_of(request), run_id))


@router.get("runs/{int:run_id}/members.csv", response=None, summary="Download a run's members")
def get_members(request: HttpRequest, run_id: int) -> StreamingHttpResponse:
    """CSV with the columns distinct_id, match_key, operation (`add`, `remove` or `no-op`), outcome, reason."""
    run = run_for(actor_of(request), run_id)
    return csv_answer(members_rows(run=run), file_name=f"run-{run.pk}-members.csv")


def run_answer(run: Run) -> RunOut:
    """Return a run in the shape of the API."""
    return RunOut(
        id=run.pk,
        sync_id=run.sync_id,
        trigger=run.trigger,
        status=run.status,
        as_of=run.as_of,
        queued_at=run.queued_at,
        started_at=run.started_at,
        finished_at=run.finished_at,
        coverage=RunCoverage(
            as_of=run.as_of if run.members is not None else None,
            members=run.members,
            anonymous=run.anonymous,
            without_match_property=run.without_match_property,
            invalid_id=run.invalid_id,
            matched_profiles=run.matched_profiles,
            matched_keys=run.matched_keys,
            seconds=run.resolve_seconds,
        ),
        counts=RunCounts(
            to_add=run.to_add,
            to_remove=run.to_remove,
            unchanged=run.unchanged,
            added=run.added,
            removed=run.removed,
            unmatched=run.unmatched,
            rejected=run.rejected,
            left_to_add=run.left_to_add,
            left_to_remove=run.left_to_remove,
        ),
        requests=run.requests,
        error=run.error,
        error_kind=run.error_kind,
        cohort_version=run.cohort_version,
        is_removal=run.is_removal,
        is_retry=run.is_retry,
        waiting_for=run.waiting_for or None,
    )
