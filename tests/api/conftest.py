"""A project with an admin's service account, its rows, and a second project with the same."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import responses
from pytest_django import Settings

from cohorts.models import Cohort, Project
from integrations.models import Connection, Run, Sync
from tests.api.cast import Caller, calling, make_account, make_connection, make_run, make_sync
from tests.cast import make_cohort, make_project


@dataclass(frozen=True)
class Premises:
    """A project with one of everything, and a client that may do everything there."""

    project: Project
    admin: Caller
    cohort: Cohort
    connection: Connection
    sync: Sync
    run: Run


def make_premises(name: str) -> Premises:
    project = make_project(name)
    cohort, connection = make_cohort(project, f"{name}'s cohort"), make_connection(project, f"{name}'s app")
    sync = make_sync(cohort, connection)
    return Premises(project, calling(make_account(project)), cohort, connection, sync, make_run(sync))


@pytest.fixture
def shop(db: None) -> Premises:
    return make_premises("Shop")


@pytest.fixture
def rival(db: None) -> Premises:
    """A project that the shop's people must never notice."""
    return make_premises("Rival")


@pytest.fixture(autouse=True)
def plenty_of_requests(settings: Settings) -> None:
    """Tests that are not about limits are not limited."""
    settings.API_MAX_REQUESTS_PER_MINUTE = 1_000_000
    settings.API_MAX_FAILED_LOGINS_PER_MINUTE = 1_000_000


@pytest.fixture(autouse=True)
def onesignal() -> Iterator[responses.RequestsMock]:
    """OneSignal's place: it answers what a test says, and is unreachable otherwise."""
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock
