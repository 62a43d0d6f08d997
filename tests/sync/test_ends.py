"""How runs, syncs, renames, drains and connections end, also when a worker, a key or the destination gives up."""

from __future__ import annotations

import contextlib
import datetime as dt
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import responses
from django.db import DataError
from django.db import connection as database
from django.utils import timezone

from cohorts.models import Cohort, Project
from integrations.accounts import account_of
from integrations.connections import check_connection, disconnect, update_connection
from integrations.destinations.onesignal.client import OneSignalClient
from integrations.errors import Conflict
from integrations.failures import fail_connection
from integrations.models import Connection, Ledger, Run, Sync, UnmatchedRecipient
from integrations.segments import ensure_segment
from integrations.sync import apps_with_work, run_slice
from integrations.syncs import cohort_changed, delete_sync, pause_sync, run_now
from tests.cast import make_cohort, make_people, property_definition, set_property, shoppers
from tests.sandbox_app import SandboxApp
from tests.sync.stories import (
    ANN,
    BOB,
    CAT,
    REACHABLE,
    connect_to,
    delete_over_there,
    export,
    start_export,
    work,
    work_steps,
)

pytestmark = pytest.mark.django_db(transaction=True)


def rename(cohort: Cohort, name: str = "New") -> None:
    cohort.name = name
    cohort.save()
    cohort_changed(cohort=cohort, is_redefined=False, is_renamed=True, now=timezone.now())


def give_key(onesignal: SandboxApp, connection: Connection) -> None:
    connection.refresh_from_db()
    update_connection(connection=connection, credentials={"api_key": onesignal.api_key}, now=timezone.now())


@contextlib.contextmanager
def client_of(connection: Connection) -> Iterator[OneSignalClient]:
    client = OneSignalClient(account_of(connection))
    try:
        yield client
    finally:
        client.close()


# --- Segments --------------------------------------------------------------------------------------------------------


def test_a_worker_that_goes_after_the_last_batch_leaves_the_segment_to_the_next_one(
    onesignal: SandboxApp, shop: Project, crm: Connection
) -> None:
    sync = start_export(make_cohort(shop), crm, "one_time")
    work_steps(crm, 1)
    assert (sync.runs.get().added, onesignal.segments()) == (3, [])
    work(crm)
    sync.refresh_from_db()
    assert (sync.status, sync.runs.get().status) == (Sync.Status.FINISHED, Run.Status.SUCCEEDED)
    assert onesignal.segment_users(sync.ledger.segment_id) == {ANN, BOB, CAT}


def test_a_segment_whose_creation_nobody_heard_of_is_adopted(
    onesignal: SandboxApp, shop: Project, crm: Connection
) -> None:
    sync = start_export(make_cohort(shop), crm)
    ledger = sync.ledger
    with client_of(crm) as client:
        client.create_segment(segment_id=ledger.segment_id, name=ledger.segment_name, tag=ledger.tag)
        ensure_segment(client=client, ledger=ledger, listed={}, now=timezone.now())
    stored = Ledger.objects.get(pk=ledger.pk)
    assert stored.segment_seen_at is not None
    assert [segment["id"] for segment in onesignal.segments()] == [str(stored.segment_id)]


@responses.activate
def test_a_segment_id_that_stays_reserved_is_exchanged_for_a_fresh_one(
    onesignal: SandboxApp, shop: Project, crm: Connection
) -> None:
    ledger = start_export(make_cohort(shop), crm).ledger
    reserved = ledger.segment_id
    segments = f"{onesignal.url}/apps/{onesignal.app_id}/segments"
    responses.post(segments, status=409, json={"errors": ["Segment with the given id already exists."]})
    responses.get(segments, json={"total_count": 0, "segments": []})
    made = responses.post(segments, status=201, json={"success": True, "id": str(uuid.uuid4())})
    with client_of(crm) as client:
        ensure_segment(client=client, ledger=ledger, listed={}, now=timezone.now())
    stored = Ledger.objects.get(pk=ledger.pk)
    assert stored.segment_seen_at is not None
    assert stored.segment_id != reserved
    assert str(stored.segment_id) in str(made.calls[0].request.body)
    assert stored.tag in str(made.calls[0].request.body)


def test_a_segment_whose_creation_nobody_heard_of_is_deleted_too(
    onesignal: SandboxApp, shop: Project, crm: Connection
) -> None:
    sync = start_export(make_cohort(shop), crm)
    work_steps(crm, 1)
    with client_of(crm) as client:
        client.create_segment(segment_id=sync.ledger.segment_id, name="Pro users", tag=sync.ledger.tag)
    delete_sync(sync=sync, delete_segment=True, now=timezone.now())
    work(crm)
    assert not Sync.objects.exists()
    assert onesignal.segments() == []


def test_a_segment_that_is_paused_over_there_is_a_warning_until_it_is_active_again(
    onesignal: SandboxApp, shop: Project, crm: Connection
) -> None:
    sync, _ = export(make_cohort(shop), crm, "dynamic")
    control = f"{onesignal.url}/_control/apps/{onesignal.app_id}/segments/{sync.ledger.segment_id}"
    for is_active, warning in ((False, "The segment is paused at OneSignal"), (True, "")):
        requests.patch(control, json={"is_active": is_active}, timeout=5).raise_for_status()
        run_now(sync=sync, is_retry=False, now=timezone.now())
        work(crm)
        assert sync.runs.latest("id").status == Run.Status.SUCCEEDED
        stored = Ledger.objects.get(pk=sync.ledger_id).warning
        assert stored.startswith(warning)
        assert bool(stored) is not is_active


# --- Renames ---------------------------------------------------------------------------------------------------------


def test_a_refused_rename_is_a_warning_and_stops_nothing_else(
    onesignal: SandboxApp, shop: Project, crm: Connection
) -> None:
    cohort = make_cohort(shop)
    renamed, _ = export(cohort, crm, "dynamic")
    other, _ = export(make_cohort(shop, "Reachable", REACHABLE), crm, "dynamic")
    onesignal.change(plan="free")
    rename(cohort)
    make_people(shop, shoppers(["new"], plan="pro"))
    onesignal.add_users("new")
    for sync in (renamed, other):
        run_now(sync=sync, is_retry=False, now=timezone.now())
    work(crm)
    assert onesignal.segment_users(renamed.ledger.segment_id) == {ANN, BOB, CAT, "new"}
    assert onesignal.segment_users(other.ledger.segment_id) == {ANN, BOB, CAT, "free", "new"}
    crm.refresh_from_db()
    assert (crm.status, set(Sync.objects.values_list("status", flat=True))) == ("connected", {"active"})
    stored = Ledger.objects.get(pk=renamed.ledger_id)
    assert "This API is not available for applications on your plan." in stored.warning
    assert (stored.segment_name, stored.renamed_to) == ("(CohortSync) Pro users", "")
    assert apps_with_work(now=timezone.now()) == []


def test_a_rename_still_pending_when_the_sync_is_deleted_is_no_work(
    onesignal: SandboxApp, shop: Project, crm: Connection
) -> None:
    cohort = make_cohort(shop)
    sync, _ = export(cohort, crm, "dynamic")
    rename(cohort)
    assert apps_with_work(now=timezone.now()) == [crm.app_id]
    delete_sync(sync=sync, delete_segment=False, now=timezone.now())
    assert apps_with_work(now=timezone.now()) == []
    work(crm)
    assert apps_with_work(now=timezone.now()) == []


def test_a_rename_during_an_outage_is_tried_again_after_a_while_and_not_at_once(
    onesignal: SandboxApp, shop: Project, crm: Connection, settings: Any
) -> None:
    settings.DELIVERY_ATTEMPTS = 2
    cohort = make_cohort(shop)
    export(cohort, crm, "dynamic")
    rename(cohort)
    settings.SANDBOX_URL = "http://127.0.0.1:9"
    end = run_slice(app_id=crm.app_id)
    assert not end.is_finished
    assert end.wake_at is not None
    assert end.wake_at > timezone.now() + dt.timedelta(seconds=30)
    assert apps_with_work(now=timezone.now()) == []
    assert apps_with_work(now=end.wake_at) == [crm.app_id]
    settings.SANDBOX_URL = onesignal.url
    assert run_slice(app_id=crm.app_id).is_finished
    assert [segment["name"] for segment in onesignal.segments()] == ["(CohortSync) New"]


def test_a_cohort_renamed_while_its_sync_was_deleted_gives_the_segment_its_new_name(
    onesignal: SandboxApp, shop: Project, crm: Connection
) -> None:
    cohort = make_cohort(shop)
    sync, _ = export(cohort, crm)
    delete_sync(sync=sync, delete_segment=False, now=timezone.now())
    rename(cohort)
    export(cohort, crm)
    work(crm)
    assert [segment["name"] for segment in onesignal.segments()] == ["(CohortSync) New"]


def test_a_segment_renamed_after_it_vanished_is_made_again_with_the_new_name(
    onesignal: SandboxApp, shop: Project, crm: Connection
) -> None:
    cohort = make_cohort(shop)
    sync, _ = export(cohort, crm, "dynamic")
    delete_over_there(onesignal, sync)
    rename(cohort)
    run_now(sync=sync, is_retry=False, now=timezone.now())
    work(crm)
    assert [segment["name"] for segment in onesignal.segments()] == ["(CohortSync) New"]
    stored = Ledger.objects.get()
    assert (stored.segment_name, stored.renamed_to, stored.warning) == ("(CohortSync) New", "", "")


# --- Runs ------------------------------------------------------------------------------------------------------------


def test_a_retry_that_takes_several_slices_asks_everybody_once(
    onesignal: SandboxApp, shop: Project, settings: Any
) -> None:
    make_people(shop, shoppers([f"ghost {number}" for number in range(37)], plan="pro"))
    crm = connect_to(onesignal, shop)
    sync, _ = export(make_cohort(shop), crm, "dynamic")
    settings.DELIVERY_BATCH_RECIPIENTS = 10
    run = run_now(sync=sync, is_retry=True, now=timezone.now())
    onesignal.reset_stats()
    for _ in range(4):
        work_steps(crm, 2)
    run.refresh_from_db()
    assert (run.status, run.unmatched) == (Run.Status.SUCCEEDED, 40)
    assert onesignal.user_requests() == 40
    assert set(UnmatchedRecipient.objects.values_list("attempts", flat=True)) == {2}


def test_an_internal_error_of_one_cohort_stops_no_other_and_a_one_time_export_is_tried_again(
    onesignal: SandboxApp, shop: Project, crm: Connection
) -> None:
    bad = start_export(make_cohort(shop, "Bad", property_definition("plan", "unspeakable")), crm, "one_time")
    good = start_export(make_cohort(shop), crm)

    def refuse(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.lstrip().startswith(("SELECT", "WITH")) and "unspeakable" in str(params):
            raise DataError("out of range")
        return execute(sql, params, many, context)

    with database.execute_wrapper(refuse):
        with pytest.raises(DataError):
            run_slice(app_id=crm.app_id)
        work(crm)
    assert good.runs.get().status == Run.Status.SUCCEEDED
    failed = bad.runs.get()
    assert (failed.status, failed.error_kind) == (Run.Status.FAILED, Run.ErrorKind.INTERNAL)
    bad.refresh_from_db()
    assert bad.status == Sync.Status.ACTIVE
    assert bad.next_run_at is not None


# --- Drains and deletions --------------------------------------------------------------------------------------------


def test_disconnecting_with_segments_erases_the_key_when_nothing_was_ever_exported(
    onesignal: SandboxApp, shop: Project, crm: Connection
) -> None:
    disconnect(connection=crm, delete_segments=True, now=timezone.now())
    assert apps_with_work(now=timezone.now()) == [crm.app_id]
    work(crm)
    crm.refresh_from_db()
    assert (crm.status, crm.credential, crm.is_draining) == ("disconnected", "", False)
    assert apps_with_work(now=timezone.now()) == []


def test_a_worker_that_dies_before_it_erases_the_key_leaves_that_to_the_next_one(
    onesignal: SandboxApp, shop: Project, crm: Connection
) -> None:
    export(make_cohort(shop), crm, "dynamic")
    disconnect(connection=crm, delete_segments=True, now=timezone.now())

    def die(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.startswith("UPDATE") and '"credential_hint"' in sql:
            raise KeyboardInterrupt
        return execute(sql, params, many, context)

    with pytest.raises(KeyboardInterrupt), database.execute_wrapper(die):
        work(crm)
    crm.refresh_from_db()
    assert (onesignal.segments(), crm.credential) == ([], onesignal.api_key)
    work(crm)
    crm.refresh_from_db()
    assert crm.credential == ""


@pytest.mark.parametrize("is_disconnected", [False, True])
def test_a_sync_being_deleted_is_deleted_after_its_connection_is_reconnected(
    onesignal: SandboxApp, shop: Project, crm: Connection, is_disconnected: bool
) -> None:
    sync, _ = export(make_cohort(shop), crm, "dynamic")
    delete_sync(sync=sync, delete_segment=True, now=timezone.now())
    if is_disconnected:
        disconnect(connection=crm, delete_segments=False, now=timezone.now())
    else:
        onesignal.change(api_key="os_v2_app_another")
        run_slice(app_id=crm.app_id)
        crm.refresh_from_db()
        assert crm.status == Connection.Status.ERROR
    give_key(onesignal, crm)
    work(crm)
    assert [onesignal.tags(user) for user in (ANN, BOB, CAT)] == [{}, {}, {}]
    assert onesignal.segments() == []
    assert not Sync.objects.exists()


def test_tags_being_taken_back_after_a_refusal_are_taken_back_with_the_next_key_too(
    onesignal: SandboxApp, shop: Project, crm: Connection
) -> None:
    onesignal.change(plan="free")
    sync = start_export(make_cohort(shop), crm)
    work_steps(crm, 2)
    assert Ledger.objects.get().is_draining
    assert [len(onesignal.tags(user)) for user in (ANN, BOB, CAT)] == [1, 1, 1]
    fail_connection(connection=crm, sentence="The key died.", now=timezone.now())
    give_key(onesignal, crm)
    work(crm)
    assert [onesignal.tags(user) for user in (ANN, BOB, CAT)] == [{}, {}, {}]
    sync.refresh_from_db()
    assert (sync.status, sync.paused_by) == (Sync.Status.PAUSED, Sync.PausedBy.FAILURE)


def test_reconnecting_before_everything_was_taken_back_fills_the_segment_again(
    onesignal: SandboxApp, shop: Project, crm: Connection, settings: Any
) -> None:
    sync, _ = export(make_cohort(shop), crm, "dynamic")
    time.sleep(0.3)
    settings.DELIVERY_BATCH_RECIPIENTS = 2
    disconnect(connection=crm, delete_segments=True, now=timezone.now())
    work_steps(crm, 1)
    assert sorted(len(onesignal.tags(user)) for user in (ANN, BOB, CAT)) == [0, 0, 1]
    give_key(onesignal, crm)
    work(crm)
    crm.refresh_from_db()
    assert (crm.status, crm.credential, crm.is_draining) == ("connected", onesignal.api_key, False)
    assert onesignal.segment_users(sync.ledger.segment_id) == {ANN, BOB, CAT}


def test_a_drain_that_cannot_go_on_keeps_no_neighbour_from_its_schedule(
    onesignal: SandboxApp, shop: Project, crm: Connection
) -> None:
    dead = connect_to(onesignal, shop)
    sync, _ = export(make_cohort(shop), dead, "dynamic")
    delete_sync(sync=sync, delete_segment=True, now=timezone.now())
    fail_connection(connection=dead, sentence="The key died.", now=timezone.now())
    start_export(make_cohort(shop, "Reachable", REACHABLE), crm)
    end = run_slice(app_id=crm.app_id)
    assert (end.is_finished, end.wake_at) == (True, None)


# --- Connections -----------------------------------------------------------------------------------------------------


def test_checking_a_connection_that_only_drains_does_not_connect_it(
    onesignal: SandboxApp, shop: Project, crm: Connection
) -> None:
    export(make_cohort(shop), crm, "dynamic")
    disconnect(connection=crm, delete_segments=True, now=timezone.now())
    crm.refresh_from_db()
    with pytest.raises(Conflict, match="disconnected"):
        check_connection(connection=crm, now=timezone.now())
    work(crm)
    crm.refresh_from_db()
    assert (crm.status, crm.credential) == ("disconnected", "")


@pytest.mark.parametrize("delete_segments", [False, True])
def test_a_check_answered_after_the_disconnect_changes_nothing(
    onesignal: SandboxApp, shop: Project, crm: Connection, delete_segments: bool
) -> None:
    as_read_before = Connection.objects.select_related("app").get(pk=crm.pk)
    disconnect(connection=crm, delete_segments=delete_segments, now=timezone.now())
    assert check_connection(connection=as_read_before, now=timezone.now()).status == "disconnected"
    crm.refresh_from_db()
    assert (crm.status, crm.is_draining) == ("disconnected", delete_segments)
    assert bool(crm.credential) is delete_segments


def test_a_check_answered_after_the_key_was_changed_says_nothing_about_the_new_one(
    onesignal: SandboxApp, shop: Project, crm: Connection
) -> None:
    as_read_before = Connection.objects.select_related("app").get(pk=crm.pk)
    onesignal.change(api_key="os_v2_app_another")
    give_key(onesignal, crm)
    check_connection(connection=as_read_before, now=timezone.now())
    crm.refresh_from_db()
    assert (crm.status, crm.credential, crm.error) == ("connected", "os_v2_app_another", "")


def test_a_check_pauses_the_syncs_when_the_key_is_refused_and_resumes_them_when_it_works_again(
    onesignal: SandboxApp, shop: Project, crm: Connection
) -> None:
    sync, _ = export(make_cohort(shop), crm, "dynamic")
    key = onesignal.api_key
    onesignal.change(api_key="os_v2_app_another")
    crm = check_connection(connection=crm, now=timezone.now())
    sync.refresh_from_db()
    assert (crm.status, sync.status) == (Connection.Status.ERROR, Sync.Status.PAUSED)
    assert sync.pause_reason == crm.error != ""
    onesignal.change(api_key=key)
    crm = check_connection(connection=crm, now=timezone.now())
    sync.refresh_from_db()
    assert (crm.status, crm.error, sync.status) == (Connection.Status.CONNECTED, "", Sync.Status.ACTIVE)
    set_property(shop, [ANN], "plan", "free")
    work(crm)
    assert onesignal.segment_users(sync.ledger.segment_id) == {BOB, CAT}


@pytest.mark.parametrize("is_paused_first", [True, False])
def test_a_persons_pause_survives_reconnecting(
    onesignal: SandboxApp, shop: Project, crm: Connection, is_paused_first: bool
) -> None:
    sync, _ = export(make_cohort(shop), crm, "dynamic")
    if is_paused_first:
        pause_sync(sync=sync, now=timezone.now(), reason="Paused by Eve.")
    fail_connection(connection=crm, sentence="The key died.", now=timezone.now())
    if not is_paused_first:
        pause_sync(sync=sync, now=timezone.now(), reason="Paused by Eve.")
    give_key(onesignal, crm)
    sync.refresh_from_db()
    assert (sync.status, sync.paused_by) == (Sync.Status.PAUSED, Sync.PausedBy.PERSON)
    assert sync.pause_reason == "Paused by Eve."
    assert apps_with_work(now=timezone.now()) == []


def test_exporting_again_after_a_deletion_waits_until_no_removal_can_come_late(
    onesignal: SandboxApp, shop: Project, crm: Connection
) -> None:
    cohort = make_cohort(shop)
    sync, _ = export(cohort, crm, "dynamic")
    onesignal.set_faults(apply_after_ms={"ms": 180, "share": 1.0})
    delete_sync(sync=sync, delete_segment=True, now=timezone.now())
    work(crm)
    onesignal.set_faults()
    again, run = export(cohort, crm, "dynamic")
    time.sleep(0.3)
    assert run.status == Run.Status.SUCCEEDED
    assert onesignal.segment_users(again.ledger.segment_id) == {ANN, BOB, CAT}


def test_an_export_of_which_nobody_is_known_says_why_there_is_no_segment(onesignal: SandboxApp, shop: Project) -> None:
    crm = connect_to(onesignal, shop)
    sync, run = export(make_cohort(shop), crm)
    assert (run.status, run.unmatched) == (Run.Status.SUCCEEDED, 3)
    assert sync.ledger.warning == "There is no segment yet: OneSignal knows none of the 3 members by their id."
    onesignal.add_users(ANN)
    run_now(sync=sync, is_retry=True, now=timezone.now())
    work(crm)
    sync.ledger.refresh_from_db()
    assert sync.ledger.warning == ""
