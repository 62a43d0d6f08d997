"""Mixpanel's routes: `/track`, `/import`, `/engage`, `/groups` (step 1). A token in the payload names the project.

What a sender gets wrong in its data is answered 200 on all but `/import`, for SDKs keep and repeat everything else;
what was refused is counted by reason (`cohorts/refusals.py`). What the routes have in common is `endpoints.py`.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from cohorts.access import AccessDenied
from cohorts.ingest import ProjectGone, apply_group_updates, apply_profile_updates, ingest_events
from cohorts.messages import Applied, GroupUpdate, IncomingEvent, ProfileUpdate
from cohorts.models import Project
from cohorts.refusals import RefusedRecord
from cohorts.times import EARLIEST
from cohorts.transactions import together
from integrations.mixpanel import answers, events, profiles
from integrations.mixpanel import groups as group_profiles
from integrations.mixpanel.batches import Batch, Parts, Placed, first_error, part_by_project, read_batch
from integrations.mixpanel.body import RawRecord, Received, TooLarge, receive
from integrations.mixpanel.credentials import CredentialsRefused, importer
from integrations.mixpanel.endpoints import ingestion_endpoint
from integrations.mixpanel.quota import quota

Update = TypeVar("Update", ProfileUpdate, GroupUpdate)
UpdateIn = TypeVar("UpdateIn", ProfileUpdate, GroupUpdate, contravariant=True)


class _Apply(Protocol[UpdateIn]):
    """What stores a project's updates, in `cohorts/ingest/`."""

    def __call__(
        self,
        *,
        project: Project,
        updates: Sequence[UpdateIn],
        now: dt.datetime,
        endpoint: str = "",
        refusals: Sequence[RefusedRecord] = (),
    ) -> Applied: ...


@ingestion_endpoint
def track(request: HttpRequest) -> HttpResponse:
    """Take recent events; each carries the token of its project."""
    now = timezone.now()
    received = _receive(request)
    parts = part_by_project(received.records, events.token_of)
    wait_seconds = _seconds_to_wait(received, parts.of_projects)
    if wait_seconds:
        return answers.too_many(wait_seconds=wait_seconds)
    batches: list[Batch[IncomingEvent]] = []
    for project, placed in parts.of_projects:
        rules = events.EventRules(
            now=now,
            earliest_at=now - dt.timedelta(days=settings.INGEST_TRACK_MAX_AGE_DAYS),
            is_simplified=project.id_merge == Project.IdMerge.SIMPLIFIED,
            address_id=_address_id(request, project) if received.form.is_on("ip") else "",
        )
        batches.append(read_batch(project, placed, events.reader(rules)))
    with together(batches):
        for batch in batches:
            _store_events(batch, endpoint="/track", now=now)
    refusals = [*parts.refusals, *(refusal for batch in batches for refusal in batch.refusals)]
    return _lenient_answer(received, refusals, good=parts.dropped + sum(batch.good for batch in batches))


@ingestion_endpoint
def import_(request: HttpRequest) -> HttpResponse:
    """Take events of any age for the project that the credentials name."""
    now = timezone.now()
    received = _receive(request)
    if isinstance(received.failure, TooLarge):
        return answers.too_large(str(received.failure))
    try:
        sender = importer(
            authorization=request.headers.get("Authorization", ""),
            project_id=received.form.parameters.get("project_id", ""),
            api_key=received.form.parameters.get("api_key", ""),
            now=now,
        )
    except CredentialsRefused as refused:
        return answers.unauthorized(refused.message)
    except AccessDenied as error:
        return answers.forbidden(error.sentence)
    if received.failure is not None:
        return answers.undecodable(str(received.failure))
    project = sender.project
    placed = list(enumerate(received.records))
    wait_seconds = _seconds_to_wait(received, [(project, placed)])
    if wait_seconds:
        return answers.too_many(wait_seconds=wait_seconds)
    is_simplified = project.id_merge == Project.IdMerge.SIMPLIFIED
    if is_simplified and events.has_identity_event(received.records):
        return answers.identity_events_refused()
    is_strict = received.form.is_on("strict")
    rules = events.EventRules(
        now=now,
        earliest_at=EARLIEST,
        latest_at=now + events.MAX_AHEAD,
        is_strict=is_strict,
        is_simplified=is_simplified,
        may_merge=sender.is_authenticated,
        is_import=True,
    )
    batch = read_batch(project, placed, events.reader(rules))
    if not _store_events(batch, endpoint="/import", now=now):
        return answers.unauthorized()
    if not is_strict:
        return _lenient_answer(received, batch.refusals, good=batch.good)
    if batch.refusals:
        return answers.partly_imported(count=batch.good, refusals=batch.refusals)
    return answers.imported(count=batch.good, is_verbose=received.form.is_on("verbose"))


@ingestion_endpoint
def engage(request: HttpRequest) -> HttpResponse:
    """Take updates of persons' profiles; each carries the token of its project."""
    return _take_updates(request, read=profiles.reader, apply=apply_profile_updates, endpoint="/engage")


@ingestion_endpoint
def groups(request: HttpRequest) -> HttpResponse:
    """Take updates of group profiles; each carries the token of its project."""
    return _take_updates(request, read=group_profiles.reader, apply=apply_group_updates, endpoint="/groups")


def _take_updates(
    request: HttpRequest,
    *,
    read: Callable[[dt.datetime], Callable[[int, RawRecord], Update | None]],
    apply: _Apply[Update],
    endpoint: str,
) -> HttpResponse:
    """Apply a request's updates. One that did not fit its profile is known only afterwards, and is no good one."""
    now = timezone.now()
    received = _receive(request)
    parts: Parts = part_by_project(received.records, profiles.token_of)
    batches: list[Batch[Update]] = [read_batch(project, placed, read(now)) for project, placed in parts.of_projects]
    ignored: list[RefusedRecord] = []
    with together(batches):
        for batch in batches:
            ignored += _store_updates(batch, apply, endpoint=endpoint, now=now)
    refusals = sorted(
        [*parts.refusals, *(refusal for batch in batches for refusal in batch.refusals), *ignored],
        key=lambda refusal: refusal.position,
    )
    good = parts.dropped + sum(batch.good for batch in batches) - len(ignored)
    if refusals and received.form.is_on("strict"):
        return answers.partly_imported(count=good, refusals=refusals)
    return _lenient_answer(received, refusals, good=good, num_good_events=good)


def _receive(request: HttpRequest) -> Received:
    # From the stream, with an own cap: Django's would answer an oversized body with a page of HTML.
    return receive(
        request,
        query=request.META.get("QUERY_STRING", "").encode("latin-1", "replace"),
        content_encoding=request.headers.get("Content-Encoding", ""),
        max_bytes=settings.INGEST_MAX_BODY_BYTES,
        max_records=settings.INGEST_MAX_RECORDS,
        max_record_bytes=settings.INGEST_MAX_RECORD_BYTES,
    )


def _seconds_to_wait(received: Received, of_projects: Sequence[tuple[Project, Sequence[Placed]]]) -> float:
    """Return how long a project of the request has to wait; 0 if it may pass. Bytes are shared out by records."""
    return max(
        (
            quota().seconds_to_wait(
                project_id=project.pk,
                events=len(placed),
                size_bytes=len(received.form.data) * len(placed) // len(received.records),
            )
            for project, placed in of_projects
            if placed
        ),
        default=0.0,
    )


def _store_events(batch: Batch[IncomingEvent], *, endpoint: str, now: dt.datetime) -> bool:
    """Store a batch, if there is anything in it; return whether its project is still there."""
    if not batch.messages and not batch.refusals:
        return True
    try:
        ingest_events(project=batch.project, events=batch.messages, refusals=batch.refusals, endpoint=endpoint, now=now)
    except ProjectGone:
        return False
    return True


def _store_updates(
    batch: Batch[Update], apply: _Apply[Update], *, endpoint: str, now: dt.datetime
) -> tuple[RefusedRecord, ...]:
    """Store a batch, if there is anything in it and its project is still there; return the ignored updates."""
    if not batch.messages and not batch.refusals:
        return ()
    try:
        applied = apply(
            project=batch.project, updates=batch.messages, refusals=batch.refusals, endpoint=endpoint, now=now
        )
    except ProjectGone:
        return ()
    return applied.ignored


def _lenient_answer(
    received: Received, refusals: Sequence[RefusedRecord], *, good: int, num_good_events: int | None = None
) -> HttpResponse:
    """Answer 1 when at least one record was good, whatever became of the others; as an image or a script if asked."""
    form = received.form
    error = None
    if received.failure is not None:
        error = str(received.failure)
    elif not good:
        error = first_error(refusals)
    if form.is_on("img"):
        return answers.pixel()
    if form.is_on("verbose"):
        answer = answers.verbose(error=error, num_good_events=num_good_events)
    else:
        answer = answers.plain(is_good=error is None)
    return answers.called_back(answer, function=form.parameters.get("callback", ""))


def _address_id(request: HttpRequest, project: Project) -> str:
    """Return a distinct_id made from the sender's address, from which the address cannot be told.

    Behind a proxy the address is a header that anybody can write. Whoever does only names themselves otherwise, as they
    can with any distinct_id.
    """
    forwarded = request.headers.get("X-Forwarded-For", "").partition(",")[0].strip()
    address = forwarded or request.META.get("REMOTE_ADDR", "")
    return hmac.new(settings.SECRET_KEY.encode(), f"{project.token} {address}".encode(), hashlib.sha256).hexdigest()[
        :32
    ]
