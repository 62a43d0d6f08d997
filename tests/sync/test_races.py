"""People act while a pass is at work: nobody waits for ever, and in the end the segment equals the cohort."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection as database
from django.utils import timezone

from cohorts.models import Cohort, Project
from cohorts.resolve import snapshot
from integrations.connection_pass import ConnectionPass
from integrations.connections import disconnect, update_connection
from integrations.errors import Conflict, LeaseLost
from integrations.failures import fail_connection
from integrations.lease import database_now, take_lease
from integrations.models import Connection, DestinationApp, Run, Sync
from integrations.sync import apps_with_work, run_slice, work_step
from integrations.syncs import cohort_changed, delete_sync, export_cohort, pause_sync, resume_sync, run_now
from tests.cast import make_cohort, property_definition, set_property
from tests.sandbox_app import SandboxApp
from tests.sync.stories import (
    ANN,
    BOB,
    CAT,
    REACHABLE,
    Meanwhile,
    export,
    in_a_thread,
    start_export,
    work,
)

pytestmark = pytest.mark.django_db(transaction=True)

RACE_SECONDS = 1.5


def linger(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
    """As an execute wrapper: hold every lock that a transaction takes a little longer, so that others meet it."""
    answer = execute(sql, params, many, context)
    if context["connection"].in_atomic_block and ("FOR UPDATE" in sql or sql.startswith("UPDATE")):
        time.sleep(0.04)
    return answer


def race(*calls: Callable[[], object]) -> list[Exception]:
    """Repeat each call in its own thread for a while, lingering in its transactions; return what went wrong."""
    ends_at = time.monotonic() + RACE_SECONDS

    def again_and_again(call: Callable[[], object]) -> None:
        with database.execute_wrapper(linger):
            while time.monotonic() < ends_at:
                # Of these an API tells its caller, and a worker leaves the field to the next one.
                with contextlib.suppress(Conflict, LeaseLost, Sync.DoesNotExist):
                    call()

    started = [in_a_thread(lambda call=call: again_and_again(call)) for call in calls]  # type: ignore[misc]
    for thread, _ in started:
        thread.join(30)
        assert not thread.is_alive()
    return [error for _, errors in started for error in errors]


def a_moment() -> None:
    """Wait so that the next call meets the pass anywhere, its end included."""
    time.sleep(random.uniform(0.0, 0.5))


def pausing(cohort: Cohort, crm: Connection, key: str) -> None:
    sync = Sync.objects.get(cohort=cohort)
    resume_sync(sync=sync, now=timezone.now())
    a_moment()
    pause_sync(sync=sync, now=timezone.now())


def editing(cohort: Cohort, crm: Connection, key: str) -> None:
    a_moment()
    cohort_changed(cohort=cohort, is_redefined=True, is_renamed=True, now=timezone.now())


def exporting(cohort: Cohort, crm: Connection, key: str) -> None:
    a_moment()
    export_cohort(cohort=cohort, connection=crm, mode="one_time", by=None, now=timezone.now())


def deleting_with_segment(cohort: Cohort, crm: Connection, key: str) -> None:
    delete_sync(sync=start_export(cohort, crm), delete_segment=True, now=timezone.now())


def disconnecting(cohort: Cohort, crm: Connection, key: str) -> None:
    update_connection(connection=crm, credentials={"api_key": key}, now=timezone.now())
    a_moment()
    disconnect(connection=crm, delete_segments=False, now=timezone.now())


@pytest.mark.parametrize("act", [pausing, editing, exporting, deleting_with_segment, disconnecting])
def test_whatever_is_asked_beside_a_pass_ends_without_a_deadlock_and_with_the_right_segment(
    onesignal: SandboxApp, shop: Project, crm: Connection, act: Callable[[Cohort, Connection, str], None]
) -> None:
    cohort = make_cohort(shop)
    start_export(cohort, crm)
    key = onesignal.api_key
    assert race(lambda: run_slice(app_id=crm.app_id), lambda: act(cohort, crm, key)) == []
    update_connection(connection=crm, credentials={"api_key": key}, now=timezone.now())
    work(crm)
    sync, run = export(cohort, crm, "dynamic")
    assert run.status == Run.Status.SUCCEEDED, run.error
    assert onesignal.segment_users(sync.ledger.segment_id) == {ANN, BOB, CAT}
    assert [segment["name"] for segment in onesignal.segments()] == ["(CohortSync) Pro users"]


def test_exports_and_pauses_beside_a_connection_that_fails_end_without_a_deadlock(
    onesignal: SandboxApp, shop: Project, crm: Connection
) -> None:
    cohort = make_cohort(shop)
    start_export(cohort, crm)

    def failing() -> None:
        with take_lease(crm.app_id) as lease:
            assert lease is not None
            with lease.fenced():
                fail_connection(connection=crm, sentence="The key died.", now=timezone.now())
        update_connection(connection=crm, credentials={"api_key": onesignal.api_key}, now=timezone.now())

    asking: list[Callable[[], object]] = [
        lambda: exporting(cohort, crm, ""),
        lambda: pausing(cohort, crm, ""),
    ]
    assert race(failing, *asking) == []
    sync, _ = export(cohort, crm, "dynamic")
    assert onesignal.segment_users(sync.ledger.segment_id) == {ANN, BOB, CAT}


def test_a_run_asked_for_while_it_is_being_resolved_is_resolved_anew(
    onesignal: SandboxApp, shop: Project, crm: Connection
) -> None:
    sync, _ = export(make_cohort(shop), crm, "one_time")
    first = run_now(sync=sync, is_retry=False, now=timezone.now())
    with take_lease(crm.app_id) as lease, ThreadPoolExecutor(1) as threads:
        assert lease is not None
        crm = Connection.objects.select_related("app", "project", "match_property").get(pk=crm.pk)
        work_of_crm = ConnectionPass.open(lease, crm, threads)
        with snapshot() as as_of:
            wishes = [work_of_crm.resolve(run, as_of=as_of) for run in work_of_crm.queued_runs()]
        set_property(shop, [ANN], "plan", "free")
        second = run_now(sync=sync, is_retry=False, now=timezone.now())
        work_of_crm.admit(wishes, now=database_now())
        work_of_crm.close()
    assert second == first
    work(crm)
    second.refresh_from_db()
    assert second.status == Run.Status.SUCCEEDED
    assert onesignal.segment_users(sync.ledger.segment_id) == {BOB, CAT}


def test_a_cohort_exported_again_in_the_slice_that_deleted_its_segment_gets_a_segment(
    onesignal: SandboxApp, shop: Project, crm: Connection
) -> None:
    cohort = make_cohort(shop)
    sync, _ = export(cohort, crm, "dynamic")
    time.sleep(0.3)
    delete_sync(sync=sync, delete_segment=True, now=timezone.now())
    ends_at = time.monotonic() + 10
    with take_lease(crm.app_id) as lease, ThreadPoolExecutor(4) as threads:
        assert lease is not None
        crm = Connection.objects.select_related("app", "project", "match_property").get(pk=crm.pk)
        work_of_crm = ConnectionPass.open(lease, crm, threads)
        while Sync.objects.exists() and time.monotonic() < ends_at:
            work_step(work_of_crm, now=database_now())
            time.sleep(0.05)
        sync = start_export(cohort, crm, "one_time")
        while work_step(work_of_crm, now=database_now()) is not None and time.monotonic() < ends_at:
            time.sleep(0.05)
        work_of_crm.close()
    sync.refresh_from_db()
    assert (sync.status, sync.runs.get().status) == (Sync.Status.FINISHED, Run.Status.SUCCEEDED)
    assert onesignal.segment_users(sync.ledger.segment_id) == {ANN, BOB, CAT}


def test_an_export_asked_for_as_the_pass_falls_asleep_begins_at_once(
    onesignal: SandboxApp, shop: Project, crm: Connection, settings: Any
) -> None:
    settings.CONTRARY_AFTER_ACCEPTED_SECONDS = 140.0
    sync, _ = export(make_cohort(shop), crm, "dynamic")
    set_property(shop, [ANN], "plan", "free")
    run_now(sync=sync, is_retry=False, now=timezone.now())
    set_property(shop, ["free"], "tier", "gold")
    other = make_cohort(shop, "Gold", property_definition("tier", "gold"))
    asking = Meanwhile("Waiting until", lambda: start_export(other, crm))
    with database.execute_wrapper(asking):
        end = run_slice(app_id=crm.app_id)
    assert asking.is_done
    assert end.wake_at is not None
    assert DestinationApp.objects.get(pk=crm.app_id).wake_at is None
    assert apps_with_work(now=timezone.now()) == [crm.app_id]
    run_slice(app_id=crm.app_id)
    assert Run.objects.get(sync__cohort=other).status == Run.Status.SUCCEEDED
    assert sync.runs.latest("id").status == Run.Status.RUNNING
    # Now nothing can begin before the clock ends, and nobody looks at the app until then.
    assert apps_with_work(now=timezone.now()) == []


def test_a_sync_deleted_just_before_its_run_ends_stops_nothing_else(
    onesignal: SandboxApp, shop: Project, crm: Connection
) -> None:
    doomed = start_export(make_cohort(shop), crm)
    other = start_export(make_cohort(shop, "Reachable", REACHABLE), crm)

    def delete() -> None:
        delete_sync(sync=doomed, delete_segment=False, now=timezone.now())

    deleting = Meanwhile('SET "segment_seen_at"', delete)
    with database.execute_wrapper(deleting):
        work(crm)
    assert deleting.is_done
    assert other.runs.get().status == Run.Status.SUCCEEDED
