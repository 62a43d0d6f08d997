"""`cohorts`: saved definitions, how many they select and whom.

Saving is `cohorts/catalog.py`, selecting `cohorts/resolve.py`.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import asdict
from typing import Annotated, Literal

from django.db import transaction
from django.db.models import Prefetch, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from ninja import Field, Query, Router, Schema, Status
from pydantic import AfterValidator, ConfigDict, StrictInt
from pydantic_core import PydanticCustomError

from cohorts.access import Action, Actor
from cohorts.catalog import cohort_for, create_cohort, delete_cohort, update_cohort, visible_cohorts
from cohorts.counting import COUNT_TIMEOUT_SECONDS, default_match_property, ready
from cohorts.counting import count_cohort as take_count
from cohorts.definition import parse_definition
from cohorts.models import Cohort, MatchProperty
from cohorts.resolve import member_page, snapshot
from cohortsync.api.auth import actor_of, may
from cohortsync.api.paging import PageOut, PageQuery, page_by_id, read_cursor, write_cursor
from cohortsync.api.problems import FieldProblem, invalid
from integrations.access import connection_for
from integrations.models import Sync
from integrations.syncs import cohort_changed

router = Router(tags=["cohorts"])


def _utc(moment: dt.datetime) -> dt.datetime:
    # Beyond these years, windows around the moment would leave the calendar.
    if not 1971 <= moment.year <= 9000:
        raise PydanticCustomError("sentence", "Give a moment between the years 1971 and 9000")
    return moment.astimezone(dt.UTC) if moment.tzinfo else moment.replace(tzinfo=dt.UTC)


Moment = Annotated[dt.datetime, AfterValidator(_utc)]
Visibility = Literal["private", "project"]


class CohortIn(Schema):
    """A new cohort."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(..., min_length=1, max_length=255)
    description: str = ""
    definition: dict[str, object] = Field(..., description="Groups of conditions: docs/api.md, Cohort definition.")
    visibility: Visibility | None = Field(
        None, description="Default: `project` for a service account, `private` for a browser session."
    )


class CohortPatch(Schema):
    """What to change; fields left out stay."""

    model_config = ConfigDict(extra="forbid")

    # The defaults are never read: what is not sent is not changed, and null is refused.
    name: str = Field(default_factory=str, min_length=1, max_length=255)
    description: str = Field(default_factory=str)
    definition: dict[str, object] = Field(default_factory=dict)
    visibility: Visibility = Field(default_factory=lambda: "project")


class CohortOut(Schema):
    """A cohort. `count` is the last one taken, at `counted_at`."""

    id: int
    name: str
    description: str
    definition: dict[str, object]
    count: int | None
    counted_at: dt.datetime | None
    visibility: str
    created_at: dt.datetime
    updated_at: dt.datetime
    syncs: list[int]
    version: int


class CoverageOut(Schema):
    """members = anonymous + without_match_property + invalid_id + matched_profiles; profiles may share a key."""

    as_of: dt.datetime
    members: int
    anonymous: int
    without_match_property: int
    invalid_id: int
    matched_profiles: int
    matched_keys: int
    seconds: float


class CountIn(Schema):
    """For which connection's match property to count (default `$onesignal_user_id`), and as of when (default now)."""

    model_config = ConfigDict(extra="forbid")

    connection_id: StrictInt | None = None
    as_of: Moment | None = None


class MemberOut(Schema):
    """A member: the canonical id, every known id, the profile, and the key the match property gives, if any."""

    distinct_id: str
    distinct_ids: list[str]
    properties: dict[str, object]
    match_key: str | None


@router.get("cohorts", response=PageOut[CohortOut], summary="List cohorts")
def list_cohorts(request: HttpRequest, page: Query[PageQuery]) -> PageOut[CohortOut]:
    """The project's shared cohorts and your own, by id."""
    actor = actor_of(request)
    rows, following = page_by_id(_with_syncs(visible_cohorts(actor)), page=page, listing=f"{actor.project.pk}:cohorts")
    return PageOut[CohortOut](results=[_answer(cohort) for cohort in rows], next=following)


@router.post("cohorts", response={201: CohortOut}, auth=may(Action.WRITE_COHORTS), summary="Save a cohort")
def post_cohort(request: HttpRequest, body: CohortIn) -> Status[CohortOut]:
    """The definition is checked, and every message names its field."""
    actor = actor_of(request)
    cohort = create_cohort(
        project=actor.project,
        name=body.name,
        description=body.description,
        definition=body.definition,
        visibility=body.visibility or ("private" if actor.user else "project"),
        by=actor.user,
    )
    return Status(201, _answer(cohort))


@router.get("cohorts/{int:cohort_id}", response=CohortOut, summary="Read a cohort")
def get_cohort(request: HttpRequest, cohort_id: int) -> CohortOut:
    """A cohort that is private to somebody else is unknown to you."""
    return _answer(cohort_for(actor_of(request), cohort_id))


@router.patch("cohorts/{int:cohort_id}", response=CohortOut, auth=may(Action.WRITE_COHORTS), summary="Change a cohort")
def patch_cohort(request: HttpRequest, cohort_id: int, body: CohortPatch) -> CohortOut:
    """A changed definition makes the cohort's dynamic syncs due at once; a changed name renames their segments."""
    actor = actor_of(request)
    cohort = cohort_for(actor, cohort_id)
    # One transaction, so that no sync goes on with a definition that is gone.
    with transaction.atomic():
        change = update_cohort(cohort=cohort, by=actor.user, **body.dict(exclude_unset=True))
        if change.is_redefined or change.is_renamed:
            cohort_changed(
                cohort=change.cohort,
                is_redefined=change.is_redefined,
                is_renamed=change.is_renamed,
                now=timezone.now(),
            )
    return _answer(cohort_for(actor, cohort_id))


@router.delete(
    "cohorts/{int:cohort_id}", response={204: None}, auth=may(Action.WRITE_COHORTS), summary="Delete a cohort"
)
def delete_one_cohort(request: HttpRequest, cohort_id: int) -> Status[None]:
    """Refused with 409 while a sync exports it."""
    delete_cohort(cohort=cohort_for(actor_of(request), cohort_id))
    return Status(204, None)


@router.post("cohorts/{int:cohort_id}/count", response=CoverageOut, summary="Count a cohort")
def count_cohort(request: HttpRequest, cohort_id: int, body: CountIn | None = None) -> CoverageOut:
    """How many it selects now, and how many of them a destination could be told about."""
    actor = actor_of(request)
    cohort = cohort_for(actor, cohort_id)
    wish = body or CountIn()
    if wish.as_of and wish.as_of > timezone.now():
        raise invalid([FieldProblem("as_of", "The moment lies in the future; nobody is a member then yet.")])
    coverage = take_count(cohort=cohort, match_property=_match_property(actor, wish.connection_id), as_of=wish.as_of)
    return CoverageOut(**asdict(coverage))


@router.get("cohorts/{int:cohort_id}/members", response=PageOut[MemberOut], summary="List a cohort's members")
def list_members(request: HttpRequest, cohort_id: int, page: Query[PageQuery]) -> PageOut[MemberOut]:
    """All pages are as of the moment the first one was asked for, with the profiles as they are when read."""
    actor = actor_of(request)
    cohort = cohort_for(actor, cohort_id)
    listing = f"{actor.project.pk}:members:{cohort.pk}"
    with snapshot() as now:
        as_of, after = now, None
        if page.cursor is not None:
            as_of_text, after = _member_position(read_cursor(page.cursor, listing=listing))
            as_of = dt.datetime.fromisoformat(as_of_text)
        found = member_page(
            project=actor.project,
            definition=parse_definition(cohort.definition),
            as_of=as_of,
            match_property=_match_property(actor, None),
            after=after,
            limit=page.limit,
            timeout_seconds=COUNT_TIMEOUT_SECONDS,
        )
    following = None if found.next is None else write_cursor([as_of.isoformat(), found.next], listing=listing)
    return PageOut[MemberOut](
        results=[
            MemberOut(
                distinct_id=member.distinct_id,
                distinct_ids=list(member.distinct_ids),
                properties=dict(member.properties),
                match_key=member.match_key,
            )
            for member in found.members
        ],
        next=following,
    )


def _with_syncs(cohorts: QuerySet[Cohort]) -> QuerySet[Cohort]:
    return cohorts.prefetch_related(Prefetch("syncs", queryset=Sync.objects.only("id", "cohort_id").order_by("id")))


def _match_property(actor: Actor, connection_id: int | None) -> MatchProperty:
    if connection_id is None:
        return default_match_property(actor.project)
    return ready(connection_for(actor, connection_id, field="connection_id").match_property)


def _member_position(position: object) -> tuple[str, int]:
    assert isinstance(position, list)  # `list_members` signed it
    as_of, after = position
    return str(as_of), int(after)


def _answer(cohort: Cohort) -> CohortOut:
    return CohortOut(
        id=cohort.pk,
        name=cohort.name,
        description=cohort.description,
        definition=cohort.definition,
        count=cohort.count,
        counted_at=cohort.counted_at,
        visibility=cohort.visibility,
        created_at=cohort.created_at,
        updated_at=cohort.updated_at,
        syncs=sorted(sync.pk for sync in cohort.syncs.all()),
        version=cohort.version,
    )
