"""The lease of a pass: one holder, fenced by a token, judged by the database's clock (laws.md, L13)."""

from __future__ import annotations

import time
import uuid
from typing import Any

import pytest

from integrations.errors import LeaseLost
from integrations.lease import MARGIN_SECONDS, revoke_lease, take_lease
from integrations.models import DestinationApp

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def app() -> DestinationApp:
    return DestinationApp.objects.create(
        destination="onesignal", base_url="http://127.0.0.1:1", remote_id=str(uuid.uuid4())
    )


def test_a_second_worker_gets_no_lease_until_the_first_lets_go(app: DestinationApp) -> None:
    with take_lease(app.pk) as first:
        assert first is not None
        with take_lease(app.pk) as second:
            assert second is None
    with take_lease(app.pk) as third:
        assert third is not None
        assert third.token == first.token + 1


def test_a_heartbeat_keeps_the_lease_beyond_its_time(app: DestinationApp, settings: Any) -> None:
    settings.LEASE_TTL_SECONDS = 0.6
    settings.LEASE_HEARTBEAT_SECONDS = 0.1
    with take_lease(app.pk) as lease:
        assert lease is not None
        time.sleep(1.2)
        with take_lease(app.pk) as other:
            assert other is None
        with lease.fenced():
            pass


def test_a_dead_holders_lease_runs_out_and_its_late_writes_are_refused(app: DestinationApp, settings: Any) -> None:
    settings.LEASE_TTL_SECONDS = 0.3
    settings.LEASE_HEARTBEAT_SECONDS = 60  # as if it had died
    with take_lease(app.pk) as dead:
        assert dead is not None
        time.sleep(0.4)
        with take_lease(app.pk) as heir:
            assert heir is not None
            with pytest.raises(LeaseLost), dead.fenced():
                raise AssertionError("a fenced-out worker wrote")
            with heir.fenced():
                pass


def test_the_end_of_a_fenced_out_worker_does_not_end_its_heirs_lease(app: DestinationApp, settings: Any) -> None:
    settings.LEASE_TTL_SECONDS = 0.3
    settings.LEASE_HEARTBEAT_SECONDS = 60
    dead = take_lease(app.pk)
    dead.__enter__()
    time.sleep(0.4)
    settings.LEASE_TTL_SECONDS = 30
    with take_lease(app.pk) as heir:
        assert heir is not None
        dead.__exit__(None, None, None)
        with take_lease(app.pk) as third:
            assert third is None


def test_no_request_starts_when_the_lease_could_run_out_before_its_end(app: DestinationApp, settings: Any) -> None:
    settings.HTTP_CONNECT_TIMEOUT_SECONDS = 1.0
    settings.HTTP_READ_TIMEOUT_SECONDS = 2.0
    settings.LEASE_HEARTBEAT_SECONDS = 60
    settings.LEASE_TTL_SECONDS = 1.0 + 2.0 + MARGIN_SECONDS + 0.2
    with take_lease(app.pk) as lease:
        assert lease is not None
        assert lease.may_send()
        time.sleep(0.3)
        assert not lease.may_send()


def test_revoking_fences_out_the_holder_who_may_then_let_go_early(app: DestinationApp) -> None:
    with take_lease(app.pk) as lease:
        assert lease is not None
        revoke_lease(app.pk)
        with take_lease(app.pk) as other:
            assert other is None  # requests of the holder may still be in flight
        with pytest.raises(LeaseLost), lease.fenced():
            raise AssertionError("a revoked worker wrote")
        assert not lease.may_send()
    with take_lease(app.pk) as next_lease:
        assert next_lease is not None
