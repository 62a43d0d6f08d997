"""What the tests of the sync engine share: the sandbox, and clocks short enough to wait for."""

from __future__ import annotations

from typing import Any

import pytest

from cohorts.models import Project
from integrations.models import Connection
from tests.cast import make_people, make_project, shoppers
from tests.sandbox_app import SandboxApp, onesignal, sandbox_url
from tests.sync.stories import ANN, BOB, CAT, connect_to

__all__ = ["onesignal", "sandbox_url"]


@pytest.fixture(autouse=True)
def short_clocks(settings: Any) -> None:
    """Shorten the waiting times; their relations stay (spacing < accepted < unanswered)."""
    settings.MIN_SECONDS_BETWEEN_WRITES_OF_A_USER = 0.05
    settings.CONTRARY_AFTER_ACCEPTED_SECONDS = 0.2
    settings.CONTRARY_AFTER_UNANSWERED_SECONDS = 0.4
    settings.DELIVERY_BATCH_SECONDS = 0.6
    settings.LEASE_TTL_SECONDS = 12.0
    settings.LEASE_HEARTBEAT_SECONDS = 0.5
    settings.HTTP_READ_TIMEOUT_SECONDS = 1.0
    settings.HTTP_CONNECT_TIMEOUT_SECONDS = 1.0
    settings.DELIVERY_START_REQUESTS_PER_SECOND = 900
    settings.DELIVERY_THREADS = 8
    settings.DELIVERY_RETRY_PAUSE_SECONDS = 0.1


@pytest.fixture
def shop() -> Project:
    project = make_project()
    make_people(
        project,
        shoppers([ANN, BOB, CAT], plan="pro")
        | {"anon": {}, "no-id": {"plan": "pro"}, "free": {"plan": "free", "$onesignal_user_id": "free"}},
    )
    return project


@pytest.fixture
def crm(onesignal: SandboxApp, shop: Project) -> Connection:
    onesignal.add_users(ANN, BOB, CAT, "free")
    return connect_to(onesignal, shop)
