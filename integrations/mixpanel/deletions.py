"""Mixpanel's GDPR deletions: `/api/app/data-deletions/v3.0` (contract, section 7; gdpr.openapi.yaml).

A service account of role admin or higher asks, by HTTP Basic; the token in the query names the project. The persons are
erased in the request itself (`integrations/erasing.py`), so a task is STARTED at once and no cancelling is possible: it
is SUCCESS when every tag at a destination is answered for and every event swept.
"""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Callable

import orjson
import structlog
from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, UnreadablePostError
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt

from cohorts.access import AccessDenied, Action, Actor, actor_for, authenticate_service_account, require
from cohorts.erasing.progress import erasure_by_task, is_complete
from cohorts.identity import text_of_id
from cohorts.models import Erasure
from cohorts.transactions import Overtaken, ProjectGone
from integrations.erasing import erase_people
from integrations.errors import Invalid
from integrations.mixpanel.body import TooLarge, Undecodable, read_body
from integrations.mixpanel.credentials import CredentialsRefused, basic_credentials

logger = structlog.get_logger(__name__)

_DISCLOSURE_TYPES = {"data", "categories", "sources"}
# Distinguishes what the audit row keeps of an id from an id.
_HASH_PREFIX = "hmac-sha256:"


class _Refused(Exception):
    """The request cannot be done; `status` is HTTP's, the message one sentence."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence


def _endpoint(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """Make a view one of this API's: credentials instead of a login, and every refusal in its shape."""

    @csrf_exempt
    @login_not_required
    @functools.wraps(view)
    def answered(request: HttpRequest, **arguments: str) -> HttpResponse:
        try:
            return view(request, _actor(request, timezone.now()), **arguments)
        except _Refused as refused:
            return _error(refused.status, refused.sentence)
        except CredentialsRefused:
            return _error(401, "Invalid credentials: send a service account's username and secret by HTTP Basic.")
        except AccessDenied as denied:
            return _error(403, denied.sentence)
        except (OperationalError, InterfaceError, Overtaken):
            logger.exception("deletion_failed", path=request.path)
            response = _error(503, "Nothing was erased, the database cannot take the request now. Please retry it.")
            response["Retry-After"] = "2"
            return response

    return answered


@_endpoint
def create(request: HttpRequest, actor: Actor) -> HttpResponse:
    """Erase the persons with these ids and answer with the task that tells how far it is."""
    if request.method != "POST":
        return _not_allowed("POST")
    asked = _body(request)
    disclosure = asked.get("disclosure_type")
    if disclosure and (not isinstance(disclosure, str) or disclosure.lower() not in _DISCLOSURE_TYPES):
        raise _Refused(400, "disclosure_type: give one of Data, Categories, Sources.")
    compliance_type = asked.get("compliance_type") or ""
    if not isinstance(compliance_type, str):
        raise _Refused(400, "compliance_type: give GDPR or CCPA.")
    try:
        erasure = erase_people(
            project=actor.project,
            distinct_ids=_distinct_ids(asked.get("distinct_ids")),
            requested_by=str(actor.visitor),
            compliance_type=compliance_type,
            now=timezone.now(),
        )
    except Invalid as invalid:
        raise _Refused(400, f"{invalid.field}: {invalid.sentence}") from invalid
    except ProjectGone as gone:
        raise CredentialsRefused from gone
    return _ok({"task_id": str(erasure.task_id)}, status=201)


@_endpoint
def task(request: HttpRequest, actor: Actor, tracking_id: str) -> HttpResponse:
    """Tell how far a task is, or that it cannot be cancelled."""
    if request.method not in ("GET", "HEAD", "DELETE"):
        return _not_allowed("GET, DELETE")
    erasure = erasure_by_task(project=actor.project, task_id=tracking_id)
    if request.method != "DELETE":
        return _ok(_result(actor, tracking_id, erasure))
    if erasure is None:
        raise _Refused(404, f"There is no deletion {tracking_id} in this project.")
    response = _error(405, "The deletion has started: its persons are erased already, and nothing can bring them back.")
    response["Allow"] = "GET"
    return response


def _actor(request: HttpRequest, now: dt.datetime) -> Actor:
    """Return the service account in its project. Raises CredentialsRefused, AccessDenied."""
    username, secret = basic_credentials(request.headers.get("Authorization", ""))
    account = authenticate_service_account(username=username, secret=secret, now=now) if secret else None
    if account is None:
        raise CredentialsRefused
    if request.GET.get("token", "") != account.project.token:
        raise _Refused(403, "The token in the query is not that of this service account's project.")
    actor = actor_for(visitor=account, project_id=account.project_id)
    require(actor, Action.ERASE)
    return actor


def _body(request: HttpRequest) -> dict[str, object]:
    try:
        body = read_body(
            request,
            content_encoding=request.headers.get("Content-Encoding", ""),
            max_bytes=settings.INGEST_MAX_BODY_BYTES,
        )
        asked = orjson.loads(body)
    except TooLarge as error:
        raise _Refused(413, str(error)) from error
    except (Undecodable, orjson.JSONDecodeError, UnreadablePostError) as error:
        raise _Refused(400, "The body is no valid JSON.") from error
    if not isinstance(asked, dict):
        raise _Refused(400, "The body is no JSON object.")
    return asked


def _distinct_ids(given: object) -> list[str]:
    """Return the ids as text, each scalar as ingest reads it."""
    if not isinstance(given, list):
        raise _Refused(400, "distinct_ids: give a list of ids.")
    ids = []
    for number, value in enumerate(given):
        text = None if isinstance(value, dict | list) else text_of_id(value)
        if not text:
            raise _Refused(400, f"distinct_ids: number {number} of the list is no id; nothing was erased.")
        ids.append(text)
    return ids


def _result(actor: Actor, tracking_id: str, erasure: Erasure | None) -> dict[str, object]:
    """Return a task as the API shows it. The ids are erased with their persons; keyed hashes of them are left."""
    if erasure is None:
        known: dict[str, object] = {"status": "NOT_FOUND", "requesting_user": "", "compliance_type": ""}
        return {
            "tracking_id": tracking_id,
            **known,
            "project_id": actor.project.pk,
            "date_requested": "",
            "distinct_ids": [],
        }
    return {
        "tracking_id": str(erasure.task_id),
        "status": "SUCCESS" if is_complete(erasure) else "STARTED",
        "requesting_user": erasure.requested_by,
        "compliance_type": erasure.compliance_type,
        "project_id": erasure.project_id,
        "date_requested": f"{erasure.requested_at.astimezone(dt.UTC):%Y-%m-%dT%H:%M:%S}",
        "distinct_ids": [f"{_HASH_PREFIX}{digest}" for digest in erasure.id_hashes],
    }


def _ok(results: dict[str, object], *, status: int = 200) -> HttpResponse:
    body = orjson.dumps({"status": "ok", "results": results})
    return HttpResponse(body, content_type="application/json", status=status)


def _error(status: int, sentence: str) -> HttpResponse:
    body = orjson.dumps({"error": sentence, "status": "error"})
    return HttpResponse(body, content_type="application/json", status=status)


def _not_allowed(allowed: str) -> HttpResponse:
    response = _error(405, f"This address takes {allowed}.")
    response["Allow"] = allowed
    return response
