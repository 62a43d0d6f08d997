"""Who calls: a service account by HTTP Basic, or a person's browser session with a CSRF token.

A route names the action it takes (`auth=may(Action.SYNC)`; reading is the default), and access is decided here, before
the body is read, from the project in the path. What is right is decided in `cohorts/access.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from django.conf import settings
from django.http import HttpRequest
from django.utils import timezone
from ninja.security import APIKeyCookie, HttpBasicAuth
from ninja.security.http import DecodeError
from ninja.utils import check_csrf

from cohorts.access import Action, Actor, actor_for, authenticate_service_account, require
from cohorts.models import ServiceAccount, User
from cohortsync.api.limits import seconds_to_wait
from cohortsync.api.problems import Problem, unauthenticated, wait


class ServiceAccountLogin(HttpBasicAuth):
    """HTTP Basic with a service account's username and secret."""

    def __init__(self, action: Action) -> None:
        super().__init__()
        self.action = action

    def __call__(self, request: HttpRequest) -> Actor | None:
        header = request.headers.get(self.header)
        if header is None:
            return None
        try:
            username, secret = self.decode_authorization(header)
        except DecodeError:
            username = secret = ""
        return self.authenticate(request, username, secret)

    def authenticate(self, request: HttpRequest, username: str, password: str) -> Actor:
        """Return the actor. Raises Problem 401, 429, AccessDenied, NotFound."""
        account = authenticate_service_account(username=username, secret=password, now=timezone.now())
        if account is None:
            raise _refusal(request)
        seconds = seconds_to_wait(
            kind="requests", caller=str(account.pk), per_minute=settings.API_MAX_REQUESTS_PER_MINUTE
        )
        if seconds:
            raise wait(
                429,
                f"This service account sent more than {settings.API_MAX_REQUESTS_PER_MINUTE} requests in a minute; "
                "wait as Retry-After says.",
                seconds,
            )
        return _enter(request, account, self.action)


class BrowserSession(APIKeyCookie):
    """The session of somebody who has logged in, with the CSRF token in X-CSRFToken where something changes."""

    param_name = settings.SESSION_COOKIE_NAME

    def __init__(self, action: Action) -> None:
        super().__init__()
        self.action = action

    def __call__(self, request: HttpRequest) -> Actor | None:
        return self.authenticate(request, request.COOKIES.get(self.param_name))

    def authenticate(self, request: HttpRequest, key: str | None) -> Actor | None:
        """Return the actor; None without a login. Raises Problem 403, AccessDenied, NotFound."""
        if key is None or not isinstance(request.user, User):
            return None
        if check_csrf(request):
            raise Problem(403, "The CSRF token is missing or wrong: send the csrftoken cookie's value as X-CSRFToken.")
        return _enter(request, request.user, self.action)


def may(action: Action) -> Sequence[Callable[[HttpRequest], Actor | None]]:
    """Return the ways in for a route that does `action`; a bad Authorization header never falls back to the session."""
    return [ServiceAccountLogin(action), BrowserSession(action)]


def actor_of(request: HttpRequest) -> Actor:
    """Return who calls, as the route's `auth` found out."""
    actor = getattr(request, "auth", None)
    assert isinstance(actor, Actor)
    return actor


def _enter(request: HttpRequest, visitor: User | ServiceAccount, action: Action) -> Actor:
    assert request.resolver_match
    actor = actor_for(visitor=visitor, project_id=request.resolver_match.kwargs["project_id"])
    require(actor, action)
    return actor


def _refusal(request: HttpRequest) -> Problem:
    """Return the 401, or the 429 once an address has failed too often.

    Only failures are counted and only failures are refused: behind a proxy many callers share an address, and a good
    secret is not locked out by somebody else's bad one. Secrets are too long to be found by asking.
    """
    seconds = seconds_to_wait(
        kind="failed-logins",
        caller=request.META.get("REMOTE_ADDR", ""),
        per_minute=settings.API_MAX_FAILED_LOGINS_PER_MINUTE,
    )
    if seconds:
        return wait(
            429, "Too many requests with wrong credentials came from this address; wait as Retry-After says.", seconds
        )
    return unauthenticated(
        "The credentials are wrong or expired: send a service account's username and secret by HTTP Basic."
    )
