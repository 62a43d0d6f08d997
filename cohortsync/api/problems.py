"""Every error below `/api/v1/` as `application/problem+json` (RFC 9457), from whichever layer it comes."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from http import HTTPStatus

from django.http import HttpResponse

CONTENT_TYPE = "application/problem+json"
CHALLENGE = 'Basic realm="CohortSync", charset="UTF-8"'


@dataclass(frozen=True)
class FieldProblem:
    """One input that cannot be accepted: its dotted path and one sentence."""

    field: str
    message: str


class Problem(Exception):
    """An answer other than success, raised anywhere in the API."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        errors: Sequence[FieldProblem] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.errors = errors
        self.headers = headers or {}

    def response(self) -> HttpResponse:
        """Return the HTTP response."""
        body = {
            "type": "about:blank",  # RFC 9457: the title is then the status's own phrase
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            "errors": [asdict(error) for error in self.errors],
        }
        return HttpResponse(json.dumps(body), status=self.status, content_type=CONTENT_TYPE, headers=dict(self.headers))


def unauthenticated(detail: str) -> Problem:
    """Return the 401 that names the way in."""
    return Problem(401, detail, headers={"WWW-Authenticate": CHALLENGE})


def invalid(errors: Sequence[FieldProblem]) -> Problem:
    """Return the 422 that names every refused input."""
    first = f"{errors[0].field}: {errors[0].message}" if errors[0].field else errors[0].message
    detail = first if len(errors) == 1 else f"{len(errors)} inputs cannot be accepted; the first is {first}"
    return Problem(422, detail, errors=errors)


def not_found(sentence: str, field: str = "") -> Problem:
    """Return the 404, with the input that named the unknown thing if it was not the path."""
    return Problem(404, sentence, errors=[FieldProblem(field, sentence)] if field else [])


def wait(status: int, detail: str, seconds: float) -> Problem:
    """Return a 429 or 503 with the whole seconds to wait."""
    return Problem(status, detail, headers={"Retry-After": str(max(1, math.ceil(seconds)))})
