"""Mixpanel's answers, to the letter: SDKs compare bytes (step 1; contract, 1.3, 1.4 and 1.8)."""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Sequence

import orjson
from django.http import HttpResponse

from cohorts.refusals import RefusedRecord

# A GIF of one transparent pixel.
_PIXEL = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")
# Mixpanel's JavaScript names its functions `mixpanel._jsc[12345]`. Nothing else gets into a script.
_FUNCTION = re.compile(r"[A-Za-z_$][\w$]*(\.[A-Za-z_$][\w$]*|\[\d+\])*", re.ASCII)
_MAX_FUNCTION_CHARACTERS = 128


def plain(*, is_good: bool) -> HttpResponse:
    """Answer `1` or `0`: one byte, no newline."""
    return HttpResponse(b"1" if is_good else b"0", content_type="text/plain")


def verbose(*, error: str | None, num_good_events: int | None = None) -> HttpResponse:
    """Answer whether anything was good as JSON; `/engage` besides counts it."""
    body: dict[str, object] = {"error": error}
    if num_good_events is not None and error is None:
        body["num_good_events"] = num_good_events
    return _json({**body, "status": 1 if error is None else 0})


def pixel() -> HttpResponse:
    """Answer an image of one transparent pixel, whatever became of the data: a page shows it (`img=1`)."""
    return HttpResponse(_PIXEL, content_type="image/gif")


def called_back(answer: HttpResponse, *, function: str) -> HttpResponse:
    """Return the answer as a script that calls a function with it (`callback`); as it is where that names none."""
    if len(function) > _MAX_FUNCTION_CHARACTERS or not _FUNCTION.fullmatch(function):
        return answer
    return HttpResponse(function.encode() + b"(" + answer.content + b")", content_type="text/javascript")


def imported(*, count: int, is_verbose: bool) -> HttpResponse:
    """Answer a strict import of which nothing was refused. Go's SDK asks for both and reads `status` as a number."""
    return _json({"code": 200, "num_records_imported": count, "status": 1 if is_verbose else "OK"})


def partly_imported(*, count: int, refusals: Sequence[RefusedRecord]) -> HttpResponse:
    """Answer a strict request of which some records were refused; the others are stored."""
    failed = [
        {
            "index": refusal.position,
            "insert_id": refusal.insert_id,
            "$insert_id": refusal.insert_id,
            "field": refusal.field,
            "message": refusal.message,
        }
        for refusal in refusals
    ]
    return _invalid(count=count, failed_records=failed)


def identity_events_refused() -> HttpResponse:
    """Answer an import that holds verbs of original ID merge in a project on simplified ID merge."""
    return _invalid(
        count=0,
        failed_records=["identity events are not allowed when project is using simplified identity management"],
    )


def undecodable(error: str) -> HttpResponse:
    """Answer an import whose body holds no records."""
    return _failed(400, error, "Bad Request")


def unauthorized(error: str = "Invalid credentials") -> HttpResponse:
    """Answer an import without valid credentials."""
    return _failed(401, error, "Unauthorized")


def forbidden(error: str) -> HttpResponse:
    """Answer an import by an account whose role is too low."""
    return _failed(403, error, "Forbidden")


def too_large(error: str) -> HttpResponse:
    """Answer an import that exceeds a limit."""
    return _failed(413, error, "Request Entity Too Large")


def too_many(*, wait_seconds: float) -> HttpResponse:
    """Answer a project that sends more than it may: nothing of the request was stored."""
    response = _failed(
        429,
        "Project exceeded rate limits. Please retry the request with exponential backoff.",
        "Too Many Requests",
    )
    response["Retry-After"] = str(math.ceil(wait_seconds))
    return response


def unavailable() -> HttpResponse:
    """Answer when the database cannot take the request now: clients send it again."""
    response = _failed(503, "The request could not be stored now. Please retry it.", "Service Unavailable")
    response["Retry-After"] = "2"
    return response


def _invalid(*, count: int, failed_records: Sequence[object]) -> HttpResponse:
    return _json(
        {
            "code": 400,
            "error": "some data points in the request failed validation",
            "failed_records": failed_records,
            "num_records_imported": count,
            "status": "Bad Request",
        },
        status=400,
    )


def _failed(code: int, error: str, status: str) -> HttpResponse:
    return _json({"code": code, "error": error, "status": status}, status=code)


def _json(body: dict[str, object], *, status: int = 200) -> HttpResponse:
    return HttpResponse(orjson.dumps(body), content_type="application/json", status=status)
