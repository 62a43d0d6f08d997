"""The doors of the pages: a view inside a project gets the actor, or the visitor gets 404 or 403.

    @page(Action.READ)
    def cohort(request, actor, cohort_id): ...

    @command(Action.SYNC)          # POST only
    def run(request, actor, sync_id): ...

What is right is decided in `cohorts/access.py`. A page that does not exist and one that is none of the visitor's
business look the same.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import resolve_url
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_http_methods

from cohorts.access import AccessDenied, Action, Actor, NotFound, actor_for, require
from cohorts.catalog import CohortInUse, InvalidCohort
from cohorts.counting import KeysNotReady
from cohorts.definition import InvalidDefinition
from cohorts.models import User
from cohorts.resolve import ResolveTimeout
from cohortsync.pages.dialogs import go
from integrations.errors import SentenceError

P = ParamSpec("P")
PageView = Callable[Concatenate[HttpRequest, Actor, P], HttpResponseBase]
ProjectView = Callable[..., HttpResponseBase]

# What a domain function may refuse with a sentence that the visitor can act on.
REFUSALS = (SentenceError, InvalidCohort, InvalidDefinition, CohortInUse, KeysNotReady, ResolveTimeout)


def page(action: Action) -> Callable[[PageView[P]], ProjectView]:
    """Turn a view of an actor into one of a project, for those who may do `action`; it takes GET and a form's POST."""
    return lambda view: _enter(view, action, ["GET", "HEAD", "POST"])


def command(action: Action) -> Callable[[PageView[P]], ProjectView]:
    """Turn a view that only changes something into one of a project: POST, and a refusal comes back as a toast.

    The visitor goes back to where the button was.
    """

    def decorate(view: PageView[P]) -> ProjectView:
        def answer(request: HttpRequest, actor: Actor, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
            try:
                return view(request, actor, *args, **kwargs)
            except REFUSALS as error:
                messages.error(request, sentence_of(error))
                return back(request, fallback=resolve_url("project", actor.project.pk))

        return _enter(wraps(view)(answer), action, ["POST"])

    return decorate


def actor_in(request: HttpRequest) -> Actor | None:
    """Return who is on a project's page; None outside of projects."""
    actor = getattr(request, "actor", None)
    return actor if isinstance(actor, Actor) else None


def sentence_of(error: Exception) -> str:
    """Return the one sentence of a refusal."""
    return str(getattr(error, "sentence", "") or error)


def back(request: HttpRequest, *, fallback: str) -> HttpResponse:
    """Return the way back to the page the visitor came from, if it is one of ours."""
    origin = request.headers.get("HX-Current-URL") or request.headers.get("Referer", "")
    is_ours = url_has_allowed_host_and_scheme(origin, {request.get_host()}, require_https=request.is_secure())
    return go(request, origin if is_ours else fallback)


def _enter(view: PageView[P], action: Action, methods: list[str]) -> ProjectView:
    @require_http_methods(methods)
    @wraps(view)
    def enter(request: HttpRequest, project_id: int, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        assert isinstance(request.user, User)  # LoginRequiredMiddleware let it through
        try:
            actor = actor_for(visitor=request.user, project_id=project_id)
            request.actor = actor  # type: ignore[attr-defined]
            require(actor, action)
            return view(request, actor, *args, **kwargs)
        except NotFound as error:
            raise Http404(error.sentence) from error
        except AccessDenied as error:
            raise PermissionDenied(error.sentence) from error

    return enter
