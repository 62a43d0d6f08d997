"""JSON in and out: strict on what comes in, exact in what goes out."""

from __future__ import annotations

import datetime as dt
from typing import Any

import orjson
from django.http import HttpRequest
from ninja.parser import Parser
from ninja.renderers import JSONRenderer
from ninja.responses import NinjaJSONEncoder


class StrictParser(Parser):
    """Refuses what PostgreSQL could not store: NaN, lone surrogates, invalid UTF-8 (orjson does) and NUL."""

    def parse_body(self, request: HttpRequest) -> Any:
        """Return the JSON value of the body. Raises ValueError."""
        value = orjson.loads(request.body)
        if b"\\u0000" in request.body and _has_nul(value):
            raise ValueError("The body holds the character NUL, which no text may contain.")
        return value


def _has_nul(value: object) -> bool:
    if isinstance(value, str):
        return "\0" in value
    if isinstance(value, dict):
        return any(_has_nul(key) or _has_nul(item) for key, item in value.items())
    return isinstance(value, list) and any(_has_nul(item) for item in value)


class _Encoder(NinjaJSONEncoder):
    """Times in UTC with `Z` and all their microseconds: an `as_of` that is sent back must name the same moment."""

    def default(self, o: Any) -> Any:
        if isinstance(o, dt.datetime):
            return o.astimezone(dt.UTC).isoformat().replace("+00:00", "Z")
        return super().default(o)


class ExactRenderer(JSONRenderer):
    """Renders answers."""

    encoder_class = _Encoder
