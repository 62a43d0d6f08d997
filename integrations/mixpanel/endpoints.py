"""What Mixpanel's routes have in common: no login, methods, CORS, and "repeat it" (step 1; contract, 1.1 and 1.10).

A browser's SDK sends from any site, with credentials, so the site is named in every answer, refusals included. Cookies
open nothing on these routes.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TypeAlias

import structlog
from django.contrib.auth.decorators import login_not_required
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest, HttpResponseNotAllowed, UnreadablePostError
from django.utils.cache import patch_vary_headers
from django.views.decorators.csrf import csrf_exempt

from cohorts.transactions import Overtaken
from integrations.mixpanel import answers

logger = structlog.get_logger(__name__)

_METHODS = ("GET", "HEAD", "POST", "OPTIONS")
_PREFLIGHT_SECONDS = 86_400

_View: TypeAlias = Callable[[HttpRequest], HttpResponse]


def ingestion_endpoint(view: _View) -> _View:
    """Make an ingestion endpoint of a view that takes GET and POST alike."""

    @csrf_exempt
    @login_not_required
    @functools.wraps(view)
    def answered(request: HttpRequest) -> HttpResponse:
        response = _answer(view, request)
        _name_origin(request, response)
        # A GET stores, so the next one must come here too.
        response["Cache-Control"] = "no-store"
        return response

    return answered


def _answer(view: _View, request: HttpRequest) -> HttpResponse:
    if request.method == "OPTIONS":
        return HttpResponse(status=204, headers={"Allow": ", ".join(_METHODS)})
    if request.method == "HEAD":
        # Whoever only looks whether there is something sends no data.
        return HttpResponse(content_type="text/plain")
    if request.method not in _METHODS:
        return HttpResponseNotAllowed(_METHODS, "Send data by POST or GET.", content_type="text/plain")
    try:
        return view(request)
    except (OperationalError, InterfaceError, Overtaken):
        logger.exception("ingest_failed", path=request.path)
        return answers.unavailable()
    except UnreadablePostError:
        return HttpResponseBadRequest("The request body broke off.", content_type="text/plain")


def _name_origin(request: HttpRequest, response: HttpResponse) -> None:
    """Allow the asking site to read the answer: browsers refuse `*` for requests with credentials."""
    patch_vary_headers(response, ["Origin"])
    origin = request.headers.get("Origin", "")
    if not origin or not origin.isascii() or not origin.isprintable():
        return
    response["Access-Control-Allow-Origin"] = origin
    response["Access-Control-Allow-Credentials"] = "true"
    response["Access-Control-Expose-Headers"] = "Retry-After"
    if request.method == "OPTIONS":
        response["Access-Control-Allow-Methods"] = "GET, POST, OPTIONS"
        response["Access-Control-Allow-Headers"] = "Content-Type, Authorization, Content-Encoding"
        response["Access-Control-Max-Age"] = str(_PREFLIGHT_SECONDS)
