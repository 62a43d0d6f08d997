"""Every live client against the whole product: each call succeeds as the client sees it, and the rows are right."""

from __future__ import annotations

import secrets
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass

from django.core.exceptions import ObjectDoesNotExist
from django.db import connection

from cohorts.models import Project
from integrations.models import DestinationApp
from tests.api.cast import make_connection, make_run, make_sync
from tests.cast import MATCH_PROPERTY, make_cohort, make_people
from tests.clients.cast import make_target
from tests.clients.expected import CHECKS
from tests.clients.tls import TlsDoor
from tests.clients.walking import CLIENTS, Environment, Target, walk
from tests.installation import Installation

EXPORTED = {"ann": {"plan": "pro"}, "bob": {"plan": "free"}, "cleo": {"plan": "pro"}, "dan": {}}
PASSWORD = "a secret of thirty-two bytes or so"


@dataclass(frozen=True)
class Walked:
    """One part of a client's walk: how many calls it made, what they complained of, and what the rows lack."""

    client: str
    part: str
    calls: int
    faults: list[str]
    seconds: float


def walk_all(environment: Environment, installation: Installation) -> Iterator[Walked]:
    """Walk every part of every client, each into a project of its own."""
    with TlsDoor(installation.port, environment.folder) as door:
        for client in CLIENTS:
            for part in client.parts:
                began = time.monotonic()
                project, target = make_target_of(f"{client.name}-{part}", installation, https_url=door.url)
                if part == "export":
                    make_people(project, EXPORTED)
                calls = walk(environment, client.name, part, target)
                faults = [f"{call.name}: {call.error.splitlines()[0]:.300}" for call in calls if call.error is not None]
                faults += rows_lack(client.name, part, project)
                yield Walked(client.name, part, len(calls), faults, time.monotonic() - began)


def make_target_of(username: str, installation: Installation, *, https_url: str = "") -> tuple[Project, Target]:
    """Store a project for one walk and return it with its address."""
    connection.close()  # PostgreSQL may have been killed since
    project = make_target(token=secrets.token_hex(16), username=username, password=PASSWORD)
    cohort = make_cohort(project)
    target = Target(
        url=installation.url,
        https_url=https_url,
        token=project.token,
        secret=project.token,
        project_id=str(project.pk),
        cohort_id=str(cohort.pk),
        cohort_people="ann,cleo",
        username=username,
        password=PASSWORD,
    )
    return project, target


def make_rows(project: Project, *, onesignal_url: str) -> dict[str, int]:
    """Store one of everything that the public API has paths for and return the ids by the paths' parameters.

    Somebody must answer at `onesignal_url`: an unreachable OneSignal is 503, as the API promises.
    """
    make_people(project, {"ann": {"plan": "pro", MATCH_PROPERTY: "os-ann"}})
    destination = make_connection(project)
    DestinationApp.objects.filter(pk=destination.app_id).update(base_url=onesignal_url)
    sync = make_sync(make_cohort(project, "Fuzzed"), destination)
    return {
        "project_id": project.pk,
        "cohort_id": sync.cohort_id,
        "connection_id": sync.connection_id,
        "sync_id": sync.pk,
        "run_id": make_run(sync).pk,
    }


def rows_lack(client: str, part: str, project: Project) -> list[str]:
    """Return what the stored rows lack after a walk, if anything."""
    check = CHECKS.get((client, part))
    if check is None:
        return [f"nothing says what must be stored after {part}"]
    try:
        check(project)
    except (AssertionError, LookupError, ObjectDoesNotExist) as lack:
        where = traceback.extract_tb(lack.__traceback__)[-1]
        return [f"rows: {where.name}: `{where.line}` {lack!r:.300}"]
    return []
