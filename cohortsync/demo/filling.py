"""Brings the demo into a project, by the ways that a customer's data takes (called by `manage.py demo`).

People and events come in through step 2 (`cohorts/ingest/`), cohorts through their catalogue, and the connection is
proved like any other. Only the app over there is made behind OneSignal's back, through the sandbox's control endpoints.
"""

from __future__ import annotations

import datetime as dt
import uuid
from dataclasses import dataclass

from django.conf import settings
from django.db import connection as database
from django.db import transaction

from cohorts.catalog import create_cohort
from cohorts.counting import KeysNotReady, count_cohort, default_match_property
from cohorts.ingest import apply_profile_updates, ingest_events
from cohorts.models import Cohort, DistinctId, Event, Membership, Person, Project, User
from cohorts.models.projects import Role
from cohorts.resolve import ResolveTimeout
from cohortsync.demo.cohorts import COHORTS
from cohortsync.demo.people import ids_known_to_onesignal, marks
from cohortsync.demo.visits import make_up
from cohortsync.standalone.demo import DEMO_EMAIL
from integrations.accounts import SANDBOX_ADDRESS, account_of
from integrations.connections import connect
from integrations.destinations.onesignal.sandbox.control import SandboxApp, SandboxControl
from integrations.models import Connection

DESTINATION = "onesignal"
CONNECTION_NAME = "OneSignal (sandbox)"
APP_NAME = "Fern & Oak"
# A paid plan, as programs get no segments on the free one; its ten tags a user suffice for these cohorts.
PLAN = "growth"
LOGIN_NAME = ("Dana", "Demo")
_BATCH = 5000
# The app's id follows from this and the project's token, so that a later start finds the app again.
_APPS = uuid.UUID("5a0f4d0e-8f0b-4a55-9a3e-6b1c1f0f7d21")
# Serialises fillings, so that two at once make one demo. The number only has to be our own.
_LOCK = 7_205_116_303


class CannotFill(Exception):
    """This project gets no demo; the message is one sentence."""


@dataclass(frozen=True)
class Filled:
    """What a filling added: nothing where all of it was there.

    `is_app_new` says that the sandbox did not have the app, or none of its users.
    """

    people: int
    events: int
    cohorts: int
    is_connection_new: bool
    is_app_new: bool


def app_id_of(project: Project) -> uuid.UUID:
    """Return the App ID of the project's demo app in the sandbox."""
    return uuid.uuid5(_APPS, project.token)


def fill_project(*, project: Project, now: dt.datetime) -> Filled:
    """Make sure that the project holds the demo and is connected to its app in the sandbox; return what was added.

    Everything is added at once or not at all. People, cohorts and the connection that somebody changed or removed since
    stay so; the sandbox's app gets back what it lost. Raises CannotFill (no sandbox, a project with people of its own)
    and what `connect` raises.
    """
    if settings.SANDBOX_URL is None:
        raise CannotFill(
            "This installation has no OneSignal sandbox to show a demo with; it comes with `make up` only."
        )
    with transaction.atomic(), SandboxControl(settings.SANDBOX_URL) as sandbox:
        with database.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
        is_filled = _is_filled(project)
        connection = _connection(project)
        app, is_app_new = _app(sandbox, project, connection)
        owner = _owner(project)
        people, events, cohorts = (0, 0, 0) if is_filled else _fill(project, owner, now)
        if connection is None:
            _connect(project, app, owner, now)
    _count(project)
    return Filled(people, events, cohorts, is_connection_new=connection is None, is_app_new=is_app_new)


def _is_filled(project: Project) -> bool:
    """Return whether the demo is there. Raises CannotFill where somebody else's people or events are."""
    if DistinctId.objects.filter(project=project, distinct_id__in=marks()).count() == len(marks()):
        return True
    if Person.objects.filter(project=project).exists() or Event.objects.filter(project=project).exists():
        raise CannotFill(f"Project {project.pk} ({project.name}) holds people or events of its own: no demo was added.")
    return False


def _connection(project: Project) -> Connection | None:
    app_id = str(app_id_of(project))
    return (
        # The key is read only where it is needed: one that cannot be read would fail here.
        Connection.objects.defer("credential")
        .select_related("app")
        .filter(project=project, app__base_url=SANDBOX_ADDRESS, app__remote_id=app_id)
        .order_by("id")
        .first()
    )


def _app(sandbox: SandboxControl, project: Project, connection: Connection | None) -> tuple[SandboxApp, bool]:
    """Return the app in the sandbox, made with its users if it is gone, and whether it was.

    A connection that is there keeps its key.
    """
    app_id = app_id_of(project)
    app = sandbox.find_app(app_id)
    if app is not None and app.users:
        return app, False
    if app is None:
        key = (account_of(connection).credential or None) if connection else None
        app = sandbox.make_app(app_id, name=APP_NAME, plan=PLAN, api_key=key)
    sandbox.add_users(app_id, ids_known_to_onesignal())
    return app, True


def _owner(project: Project) -> User | None:
    """Return who owns the project; the demo's login gets a name, which is shown beside what it made."""
    membership = (
        Membership.objects.select_related("user").filter(project=project, role=Role.OWNER).order_by("id").first()
    )
    if membership is None:
        return None
    user = membership.user
    if user.email == DEMO_EMAIL and not user.get_full_name():
        user.first_name, user.last_name = LOGIN_NAME
        user.save(update_fields=["first_name", "last_name"])
    return user


def _fill(project: Project, owner: User | None, now: dt.datetime) -> tuple[int, int, int]:
    """Add people, events and cohorts; return how many of each."""
    updates, events = make_up(now=now)
    for start in range(0, len(updates), _BATCH):
        apply_profile_updates(project=project, updates=updates[start : start + _BATCH], now=now, endpoint="demo")
    for start in range(0, len(events), _BATCH):
        ingest_events(project=project, events=events[start : start + _BATCH], now=now, endpoint="demo")
    for cohort in COHORTS:
        create_cohort(
            project=project,
            name=cohort.name,
            description=cohort.description,
            definition=cohort.definition,
            visibility=Cohort.Visibility.PROJECT,
            by=owner,
        )
    return Person.objects.filter(project=project).count(), len(events), len(COHORTS)


def _connect(project: Project, app: SandboxApp, owner: User | None, now: dt.datetime) -> None:
    connect(
        project=project,
        destination=DESTINATION,
        name=CONNECTION_NAME,
        config={"app_id": app.app_id, "sandbox": True},
        credentials={"api_key": app.api_key},
        user_id_property=None,
        segment_prefix=None,
        max_requests_per_second=None,
        by=owner,
        now=now,
    )


def _count(project: Project) -> None:
    """Count the demo's cohorts that nobody has counted, so that their list shows sizes."""
    names = [cohort.name for cohort in COHORTS]
    for cohort in Cohort.objects.select_related("project").filter(project=project, name__in=names, counted_at=None):
        try:
            count_cohort(cohort=cohort, match_property=default_match_property(project))
        except (KeysNotReady, ResolveTimeout):
            return  # the page counts them when somebody asks
