"""Mixpanel's routes: `/track`, `/import`, `/engage` (step 1). No login: a token in the payload names the project.

What a sender gets wrong in its data is answered 200 on `/track` and `/engage`, for SDKs keep and repeat everything
else; what was refused is counted by reason (`cohorts/refusals.py`).
"""

from __future__ import annotations

import datetime as dt
import functools
import hashlib
import hmac
from collections.abc import Callable, Sequence

import structlog
from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest, UnreadablePostError
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from cohorts.access import AccessDenied
from cohorts.ingest import ProjectGone, apply_profile_updates, ingest_events
from cohorts.messages import IncomingEvent, ProfileUpdate
from cohorts.models import Project
from cohorts.refusals import RefusedRecord
from cohorts.times import EARLIEST
from cohorts.transactions import Overtaken, together
from integrations.mixpanel import answers, events, profiles
from integrations.mixpanel.batches import Batch, first_error, part_by_project, read_batch
from integrations.mixpanel.body import Received, TooLarge, receive
from integrations.mixpanel.credentials import CredentialsRefused, importer

logger = structlog.get_logger(__name__)

_View = Callable[[HttpRequest], HttpResponse]


def _public(view: _View) -> _View:
    """Make a view an ingestion endpoint: no login, no CSRF token, and "repeat it" while the database is away."""

    @csrf_exempt
    @login_not_required
    @require_POST
    @functools.wraps(view)
    def answered(request: HttpRequest) -> HttpResponse:
        try:
            return view(request)
        except (OperationalError, InterfaceError, Overtaken):
            logger.exception("ingest_failed", path=request.path)
            return answers.unavailable()
        except UnreadablePostError:
            return HttpResponseBadRequest("The request body broke off.", content_type="text/plain")

    return answered


@_public
def track(request: HttpRequest) -> HttpResponse:
    """Take recent events; each carries the token of its project."""
    now = timezone.now()
    received = _receive(request)
    parts = part_by_project(received.records, events.token_of)
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


@_public
def import_(request: HttpRequest) -> HttpResponse:
    """Take events of any age for the project that the credentials name."""
    now = timezone.now()
    try:
        sender = importer(
            authorization=request.headers.get("Authorization", ""),
            project_id=request.GET.get("project_id", ""),
            now=now,
        )
    except CredentialsRefused:
        return answers.unauthorized()
    except AccessDenied as error:
        return answers.forbidden(error.sentence)
    received = _receive(request)
    if received.failure is not None:
        answer = answers.too_large if isinstance(received.failure, TooLarge) else answers.undecodable
        return answer(str(received.failure))
    project = sender.project
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
    )
    batch = read_batch(project, enumerate(received.records), events.reader(rules))
    if not _store_events(batch, endpoint="/import", now=now):
        return answers.unauthorized()
    if not is_strict:
        return _lenient_answer(received, batch.refusals, good=batch.good)
    if batch.refusals:
        return answers.partly_imported(count=batch.good, refusals=batch.refusals)
    return answers.imported(count=batch.good, is_verbose=received.form.is_on("verbose"))


@_public
def engage(request: HttpRequest) -> HttpResponse:
    """Take profile updates; each carries the token of its project."""
    now = timezone.now()
    received = _receive(request)
    parts = part_by_project(received.records, profiles.token_of)
    read = profiles.reader(now)
    batches: list[Batch[ProfileUpdate]] = [read_batch(project, placed, read) for project, placed in parts.of_projects]
    with together(batches):
        for batch in batches:
            _store_updates(batch, endpoint="/engage", now=now)
    refusals = [*parts.refusals, *(refusal for batch in batches for refusal in batch.refusals)]
    good = parts.dropped + sum(batch.good for batch in batches)
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


def _store_events(batch: Batch[IncomingEvent], *, endpoint: str, now: dt.datetime) -> bool:
    """Store a batch, if there is anything in it; return whether its project is still there."""
    if not batch.messages and not batch.refusals:
        return True
    try:
        ingest_events(project=batch.project, events=batch.messages, refusals=batch.refusals, endpoint=endpoint, now=now)
    except ProjectGone:
        return False
    return True


def _store_updates(batch: Batch[ProfileUpdate], *, endpoint: str, now: dt.datetime) -> bool:
    """Store a batch, if there is anything in it; return whether its project is still there."""
    if not batch.messages and not batch.refusals:
        return True
    try:
        apply_profile_updates(
            project=batch.project, updates=batch.messages, refusals=batch.refusals, endpoint=endpoint, now=now
        )
    except ProjectGone:
        return False
    return True


def _lenient_answer(
    received: Received, refusals: Sequence[RefusedRecord], *, good: int, num_good_events: int | None = None
) -> HttpResponse:
    """Answer 1 when at least one record was good, whatever became of the others."""
    error = None
    if received.failure is not None:
        error = str(received.failure)
    elif not good:
        error = first_error(refusals)
    if received.form.is_on("verbose"):
        return answers.verbose(error=error, num_good_events=num_good_events)
    return answers.plain(is_good=error is None)


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
