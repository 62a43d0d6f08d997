"""`erasures`: persons erased for good, and how far a request is. All rules are in `integrations/erasing.py`.

Ids come in the body, never in the path: paths are written to access logs.
"""

from __future__ import annotations

import datetime as dt

from django.http import HttpRequest
from django.utils import timezone
from ninja import Query, Router, Schema, Status
from pydantic import ConfigDict, StrictStr

from cohorts.access import Action, NotFound
from cohorts.erasing.progress import erasure_by_task, erasures_of, is_complete
from cohorts.models import Erasure
from cohortsync.api.auth import actor_of, may
from cohortsync.api.paging import PageOut, PageQuery, page_by_id
from integrations.erasing import erase_people

router = Router(tags=["erasures"])


class ErasureIn(Schema):
    """Whom to erase, by any of their ids; at most 2,000."""

    model_config = ConfigDict(extra="forbid")

    distinct_ids: list[StrictStr]


class ErasureOut(Schema):
    """A request. `persons` were found by its ids; `events` counts those swept so far; no id is kept."""

    id: str
    status: str
    requested_by: str
    requested_at: dt.datetime
    persons: int
    events: int


@router.get("erasures", response=PageOut[ErasureOut], auth=may(Action.ERASE), summary="List erasures")
def list_erasures(request: HttpRequest, page: Query[PageQuery]) -> PageOut[ErasureOut]:
    """The project's requests, oldest first."""
    actor = actor_of(request)
    rows, following = page_by_id(erasures_of(actor.project), page=page, listing=f"{actor.project.pk}:erasures")
    return PageOut[ErasureOut](results=[_answer(erasure) for erasure in rows], next=following)


@router.post("erasures", response={202: ErasureOut}, auth=may(Action.ERASE), summary="Erase persons")
def post_erasure(request: HttpRequest, body: ErasureIn) -> Status[ErasureOut]:
    """Nothing of the persons is seen or exported from this answer on; events and tags elsewhere follow."""
    actor = actor_of(request)
    erasure = erase_people(
        project=actor.project,
        distinct_ids=body.distinct_ids,
        requested_by=str(actor.visitor),
        now=timezone.now(),
    )
    return Status(202, _answer(erasure))


@router.get("erasures/{erasure_id}", response=ErasureOut, auth=may(Action.ERASE), summary="Read an erasure")
def get_erasure(request: HttpRequest, erasure_id: str) -> ErasureOut:
    """`complete` once every event is swept and every tag's removal answered."""
    erasure = erasure_by_task(project=actor_of(request).project, task_id=erasure_id)
    if erasure is None:
        raise NotFound(f"There is no erasure {erasure_id} in this project.")
    return _answer(erasure)


def _answer(erasure: Erasure) -> ErasureOut:
    return ErasureOut(
        id=str(erasure.task_id),
        status="complete" if is_complete(erasure) else "removing",
        requested_by=erasure.requested_by,
        requested_at=erasure.requested_at,
        persons=erasure.person_count,
        events=erasure.event_count,
    )
