"""The URLs below `/api/v1/`. Unknown paths and methods are problems too, so every answer there is for programs."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps

from django.contrib.auth.decorators import login_not_required
from django.http import Http404, HttpRequest, HttpResponseNotAllowed
from django.http.response import HttpResponseBase
from django.urls import URLPattern, path, re_path
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe

from cohortsync.api import docs
from cohortsync.api.api import api
from cohortsync.api.problems import Problem, not_found

View = Callable[..., HttpResponseBase]


@csrf_exempt
@login_not_required
def unknown(request: HttpRequest, **_: object) -> HttpResponseBase:
    """Answer 404 to everything that is no call."""
    return not_found(f"There is no call {request.path}; /api/v1/docs lists all of them.").response()


def as_problems(view: View) -> View:
    """Return the view with Django's own answers for an unknown path or method as problems.

    Access is the API's own, so neither a login nor the CSRF middleware stands before it.
    """

    @csrf_exempt
    @login_not_required
    @wraps(view)
    def answer(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponseBase:
        try:
            response = view(request, *args, **kwargs)
        except Http404:
            return unknown(request)
        if isinstance(response, HttpResponseNotAllowed):
            allowed = response.headers["Allow"]
            return Problem(
                405, f"{request.method} is not possible here; {allowed} is.", headers={"Allow": allowed}
            ).response()
        return response

    return answer


def _with_problems(pattern: URLPattern) -> URLPattern:
    return URLPattern(pattern.pattern, as_problems(pattern.callback), pattern.default_args, pattern.name)


calls = [_with_problems(pattern) for pattern in api.urls[0] if isinstance(pattern, URLPattern)]

urlpatterns = [
    path("openapi.json", as_problems(require_safe(docs.openapi_json)), name="openapi"),
    path("docs", as_problems(require_safe(docs.page)), name="docs"),
    path("", ([*calls, re_path("", unknown)], "ninja", api.urls_namespace)),
]
