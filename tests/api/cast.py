"""The cast of the API's tests: accounts and people with roles, a connection and a sync made without the world."""

from __future__ import annotations

import base64
import datetime as dt
import uuid
from typing import Any

from django.test import Client
from django.utils import timezone

from cohorts.access import hash_secret
from cohorts.models import Cohort, MatchProperty, Membership, Project, ServiceAccount, User
from integrations.models import Connection, DestinationApp, Ledger, Run, Sync
from integrations.segments import full_name, segment_id, tag_of

API_KEY = "os_v2_app_secret_that_nobody_may_see"
NOON = dt.datetime(2026, 11, 23, 12, tzinfo=dt.UTC)


class Caller(Client):
    """A test client that speaks JSON below one project and returns the HTTP response."""

    def __init__(self, project: Project, **defaults: Any) -> None:
        super().__init__(**defaults)
        self.project = project

    def call(self, method: str, path: str, body: object = None, **extra: Any) -> Any:
        """Send one request; `path` is below the project."""
        arguments: dict[str, Any] = {}
        if method != "GET":
            arguments = {"data": b"" if body is None else body, "content_type": "application/json"}
        url = f"/api/v1/projects/{self.project.pk}/{path}"
        return getattr(self, method.lower())(url, **arguments, **extra)


def make_account(project: Project, role: str = "admin", *, expires_at: dt.datetime | None = None) -> ServiceAccount:
    """Store a service account whose secret is its username backwards."""
    username = f"{role}-{uuid.uuid4().hex[:8]}"
    return ServiceAccount.objects.create(
        project=project, username=username, secret_hash=hash_secret(username[::-1]), role=role, expires_at=expires_at
    )


def calling(account: ServiceAccount, *, project: Project | None = None) -> Caller:
    """Return a client with the account's credentials, for its own project or another one."""
    caller = Caller(project or account.project)
    caller.defaults["HTTP_AUTHORIZATION"] = basic(account.username, account.username[::-1])
    return caller


def basic(username: str, secret: str) -> str:
    """Return the Authorization header of HTTP Basic."""
    return "Basic " + base64.b64encode(f"{username}:{secret}".encode()).decode()


def make_member(project: Project, role: str = "admin", email: str | None = None) -> User:
    """Store a person with a role in the project."""
    user = User.objects.create(email=email or f"{role}-{uuid.uuid4().hex[:8]}@example.com")
    Membership.objects.create(project=project, user=user, role=role)
    return user


def browsing(user: User, project: Project, *, has_csrf: bool = True) -> Caller:
    """Return a client with the user's session, and the CSRF token as a page would send it."""
    caller = Caller(project, enforce_csrf_checks=True)
    caller.force_login(user)
    if has_csrf:
        token = "a" * 32
        caller.cookies["csrftoken"] = token
        caller.defaults["HTTP_X_CSRFTOKEN"] = token
    return caller


def make_connection(project: Project, name: str = "Main app", *, status: str = "connected") -> Connection:
    """Store a connection to an app of its own at OneSignal; nobody has asked OneSignal."""
    app = DestinationApp.objects.create(
        destination="onesignal", base_url="https://onesignal.test", remote_id=str(uuid.uuid4())
    )
    return Connection.objects.create(
        project=project,
        app=app,
        name=name,
        credential=API_KEY,
        credential_hint=API_KEY[-4:],
        match_property=MatchProperty.objects.get(project=project),
        max_requests_per_second=960,
        status=status,
        checked_at=NOON,
    )


def make_sync(cohort: Cohort, connection: Connection, *, mode: str = "dynamic") -> Sync:
    """Store an active sync with an empty ledger and no run."""
    segment = segment_id(connection=connection, cohort_id=cohort.pk)
    ledger = Ledger.objects.create(
        project=cohort.project,
        connection=connection,
        app=connection.app,
        cohort_id=cohort.pk,
        tag=tag_of(segment),
        segment_id=segment,
        segment_name=full_name(connection=connection, cohort_name=cohort.name),
    )
    return Sync.objects.create(project=cohort.project, cohort=cohort, connection=connection, ledger=ledger, mode=mode)


def make_run(sync: Sync, *, status: str = "succeeded", **fields: Any) -> Run:
    """Store a run."""
    return Run.objects.create(
        project=sync.project, sync=sync, trigger="manual", status=status, queued_at=timezone.now(), **fields
    )
