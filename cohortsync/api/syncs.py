"""`syncs`: a cohort on a connection, once or for ever. All rules are in `integrations/syncs.py`."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Literal

from django.http import HttpRequest
from django.utils import timezone
from ninja import Field, Query, Router, Schema, Status
from pydantic import ConfigDict, StrictInt

from cohorts.access import Action
from cohorts.catalog import cohort_for
from cohortsync.api.auth import actor_of, may
from cohortsync.api.paging import PageOut, PageQuery, page_by_id
from cohortsync.api.runs import RunOut, run_answer
from integrations.access import connection_for, sync_for, syncs_of
from integrations.models import Sync
from integrations.syncs import (
    UNSET,
    Unset,
    delete_sync,
    export_cohort,
    pause_sync,
    resume_sync,
    run_now,
    update_sync,
)

router = Router(tags=["syncs"])

Mode = Literal["one_time", "dynamic"]


_GUARD = (
    "When a scheduled run waits for approval: `max_change_percent` (30), `min_members` (100), `hold_empty` (true). "
    "Keys left out take these defaults; null means no guard."
)


class SyncIn(Schema):
    """Export a cohort: once, or again and again."""

    model_config = ConfigDict(extra="forbid")

    cohort_id: StrictInt
    connection_id: StrictInt
    mode: Mode
    guard: dict[str, object] | None = Field(default_factory=dict, description=_GUARD)


class SyncPatch(Schema):
    """What to change; fields left out stay."""

    model_config = ConfigDict(extra="forbid")

    # The defaults are never read: what is not sent is not changed.
    mode: Mode = Field(default_factory=lambda: "dynamic")
    guard: dict[str, object] | None = Field(default_factory=dict, description=_GUARD)


class SegmentOut(Schema):
    """The segment over there and the tag its users carry."""

    id: str
    name: str
    tag: str


class SyncOut(Schema):
    """A sync. `delivered`: what the destination is known to hold; `unmatched`: whom it did not know at the last run."""

    id: int
    cohort_id: int
    connection_id: int
    mode: str
    status: str = Field(..., description="`active`, `paused` or `finished`")
    pause_reason: str | None
    guard: dict[str, object] | None
    segment: SegmentOut
    delivered: int
    unmatched: int
    last_run_id: int | None
    next_run_at: dt.datetime | None
    last_finished_at: dt.datetime | None
    warning: str | None = Field(..., description="Something over there that a person should look at.")


@router.get("syncs", response=PageOut[SyncOut], summary="List syncs")
def list_syncs(request: HttpRequest, page: Query[PageQuery]) -> PageOut[SyncOut]:
    """The project's syncs by id."""
    actor = actor_of(request)
    rows, following = page_by_id(syncs_of(actor), page=page, listing=f"{actor.project.pk}:syncs")
    return PageOut[SyncOut](results=[_answer(sync) for sync in rows], next=following)


@router.post("syncs", response={201: SyncOut, 200: SyncOut}, auth=may(Action.SYNC), summary="Export a cohort")
def post_sync(request: HttpRequest, body: SyncIn) -> Status[SyncOut]:
    """Queues a run, named by `last_run_id`. 200 when the pair had a sync: it is that one, its segment overwritten."""
    actor = actor_of(request)
    sync, is_created = export_cohort(
        cohort=cohort_for(actor, body.cohort_id, field="cohort_id"),
        connection=connection_for(actor, body.connection_id, field="connection_id"),
        mode=body.mode,
        guard=_guard(body),
        by=actor.user,
        now=timezone.now(),
    )
    return Status(201 if is_created else 200, _answer(sync_for(actor, sync.pk)))


@router.get("syncs/{int:sync_id}", response=SyncOut, summary="Read a sync")
def get_sync(request: HttpRequest, sync_id: int) -> SyncOut:
    """Its state, what was delivered, and the newest run."""
    return _answer(sync_for(actor_of(request), sync_id))


@router.patch("syncs/{int:sync_id}", response=SyncOut, auth=may(Action.SYNC), summary="Change a sync")
def patch_sync(request: HttpRequest, sync_id: int, body: SyncPatch) -> SyncOut:
    """The mode, the guard."""
    actor = actor_of(request)
    is_mode_given = "mode" in body.model_fields_set
    update_sync(
        sync=sync_for(actor, sync_id),
        mode=body.mode if is_mode_given else None,
        guard=_guard(body),
        now=timezone.now(),
    )
    return _answer(sync_for(actor, sync_id))


@router.delete("syncs/{int:sync_id}", response={204: None, 202: RunOut}, auth=may(Action.SYNC), summary="Delete a sync")
def delete_one_sync(request: HttpRequest, sync_id: int, delete_segment: bool = False) -> Status[RunOut] | Status[None]:
    """The segment stays as it is, or goes with `delete_segment=true`: then 202 with the run that removes it."""
    sync = sync_for(actor_of(request), sync_id)
    run = delete_sync(sync=sync, delete_segment=delete_segment, now=timezone.now())
    return Status(204, None) if run is None else Status(202, run_answer(run))


@router.post("syncs/{int:sync_id}/run", response={202: RunOut}, auth=may(Action.SYNC), summary="Run a sync now")
def post_run(request: HttpRequest, sync_id: int, retry: bool = False) -> Status[RunOut]:
    """Answers the run that waits, if one does. `retry=true` also tries unmatched and rejected members now."""
    sync = sync_for(actor_of(request), sync_id)
    return Status(202, run_answer(run_now(sync=sync, is_retry=retry, now=timezone.now())))


@router.post("syncs/{int:sync_id}/pause", response={202: SyncOut}, auth=may(Action.SYNC), summary="Pause a sync")
def post_pause(request: HttpRequest, sync_id: int) -> Status[SyncOut]:
    """What was delivered stays."""
    actor = actor_of(request)
    pause_sync(sync=sync_for(actor, sync_id), reason=f"Paused by {actor.visitor}.", now=timezone.now())
    return Status(202, _answer(sync_for(actor, sync_id)))


@router.post("syncs/{int:sync_id}/resume", response={202: SyncOut}, auth=may(Action.SYNC), summary="Resume a sync")
def post_resume(request: HttpRequest, sync_id: int) -> Status[SyncOut]:
    """The next run follows at once."""
    actor = actor_of(request)
    resume_sync(sync=sync_for(actor, sync_id), now=timezone.now())
    return Status(202, _answer(sync_for(actor, sync_id)))


def _guard(body: SyncIn | SyncPatch) -> Mapping[str, object] | Unset | None:
    """Return the guard as it was given: UNSET when it was not."""
    return body.guard if "guard" in body.model_fields_set else UNSET


def _answer(sync: Sync) -> SyncOut:
    ledger = sync.ledger
    return SyncOut(
        id=sync.pk,
        cohort_id=sync.cohort_id,
        connection_id=sync.connection_id,
        mode=sync.mode,
        status=sync.status,
        pause_reason=sync.pause_reason or None,
        guard=sync.guard,
        segment=SegmentOut(id=str(ledger.segment_id), name=ledger.segment_name, tag=ledger.tag),
        delivered=ledger.delivered_count,
        unmatched=getattr(sync, "last_unmatched", None) or 0,
        last_run_id=getattr(sync, "last_run_id", None),
        next_run_at=sync.next_run_at,
        last_finished_at=sync.last_finished_at,
        warning=ledger.warning or None,
    )
