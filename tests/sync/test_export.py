"""From a cohort to a segment that equals it, against the sandbox over real HTTP."""

from __future__ import annotations

import time
from typing import Any

import pytest
from django.utils import timezone

from cohorts.models import Project
from integrations.connections import disconnect, update_connection
from integrations.errors import Conflict, Invalid
from integrations.members_csv import members_rows
from integrations.models import Connection, Ledger, Run, RunBitmap, Sync, UnmatchedRecipient
from integrations.syncs import cohort_changed, delete_sync, export_cohort, pause_sync, resume_sync, run_now
from tests.cast import make_cohort, make_people, property_definition, set_property, shoppers
from tests.sandbox_app import SandboxApp
from tests.sync.stories import ANN, BOB, CAT, REACHABLE, connect_to, counts, delete_over_there, export, work

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_one_time_export_makes_a_segment_that_equals_the_cohort(
    onesignal: SandboxApp, shop: Project, crm: Connection
) -> None:
    sync, run = export(make_cohort(shop), crm)
    assert run.status == Run.Status.SUCCEEDED
    assert counts(run) == {"to_add": 3, "added": 3}
    assert (run.members, run.anonymous, run.without_match_property, run.matched_keys) == (4, 0, 1, 3)
    assert onesignal.segment_users(sync.ledger.segment_id) == {ANN, BOB, CAT}
    assert [segment["name"] for segment in onesignal.segments()] == ["(CohortSync) Pro users"]
    assert sync.status == Sync.Status.FINISHED
    assert sync.ledger.delivered_count == 3


def test_exporting_again_overwrites_the_segment_and_sends_only_what_changed(
    onesignal: SandboxApp, shop: Project, crm: Connection
) -> None:
    cohort = make_cohort(shop)
    export(cohort, crm)
    set_property(shop, [ANN], "plan", "free")
    set_property(shop, ["free"], "plan", "pro")
    onesignal.reset_stats()
    sync, run = export(cohort, crm)
    assert counts(run) == {"to_add": 1, "to_remove": 1, "unchanged": 2, "added": 1, "removed": 1}
    assert onesignal.segment_users(sync.ledger.segment_id) == {BOB, CAT, "free"}
    assert onesignal.user_requests() == 2
    assert onesignal.tags(ANN) == {}


def test_nothing_changed_means_no_user_request_and_no_bitmap(
    onesignal: SandboxApp, shop: Project, crm: Connection
) -> None:
    cohort = make_cohort(shop)
    export(cohort, crm, "dynamic")
    onesignal.reset_stats()
    _, run = export(cohort, crm, "dynamic")
    assert run.status == Run.Status.SUCCEEDED
    assert counts(run) == {"unchanged": 3}
    assert onesignal.user_requests() == 0
    assert not RunBitmap.objects.filter(run=run).exists()


def test_who_is_unknown_over_there_is_counted_and_not_asked_at_every_run(onesignal: SandboxApp, shop: Project) -> None:
    onesignal.add_users(ANN)
    crm = connect_to(onesignal, shop)
    cohort = make_cohort(shop)
    sync, run = export(cohort, crm, "dynamic")
    assert run.status == Run.Status.SUCCEEDED
    assert counts(run) == {"to_add": 3, "added": 1, "unmatched": 2}
    onesignal.reset_stats()
    _, run = export(cohort, crm, "dynamic")
    assert counts(run) == {"to_add": 2, "unmatched": 2, "unchanged": 1}
    assert onesignal.user_requests() == 0
    onesignal.add_users(BOB)
    run_now(sync=sync, is_retry=True, now=timezone.now())
    work(crm)
    assert onesignal.segment_users(sync.ledger.segment_id) == {ANN, BOB}
    assert set(UnmatchedRecipient.objects.values_list("attempts", flat=True)) == {2}


def test_two_cohorts_share_one_request_per_person(onesignal: SandboxApp, shop: Project, crm: Connection) -> None:
    pro, reachable = make_cohort(shop), make_cohort(shop, "Reachable", REACHABLE)
    now = timezone.now()
    first, _ = export_cohort(cohort=pro, connection=crm, mode="dynamic", by=None, now=now)
    second, _ = export_cohort(cohort=reachable, connection=crm, mode="dynamic", by=None, now=now)
    onesignal.reset_stats()
    work(crm)
    assert onesignal.segment_users(first.ledger.segment_id) == {ANN, BOB, CAT}
    assert onesignal.segment_users(second.ledger.segment_id) == {ANN, BOB, CAT, "free"}
    assert onesignal.user_requests() == 4


def test_a_segment_deleted_over_there_is_made_again(onesignal: SandboxApp, shop: Project, crm: Connection) -> None:
    cohort = make_cohort(shop)
    sync, _ = export(cohort, crm, "dynamic")
    delete_over_there(onesignal, sync)
    assert onesignal.segments() == []
    export(cohort, crm, "dynamic")
    assert onesignal.segment_users(sync.ledger.segment_id) == {ANN, BOB, CAT}


def test_a_free_plan_ends_the_run_with_the_known_words_and_leaves_no_tags(
    onesignal: SandboxApp, shop: Project, crm: Connection
) -> None:
    onesignal.change(plan="free")
    sync, run = export(make_cohort(shop), crm, "dynamic")
    assert run.status == Run.Status.FAILED
    assert run.error_kind == Run.ErrorKind.PERMANENT
    assert run.error is not None
    assert run.error.startswith("App may not submit cohort updates from Mixpanel")
    assert "This API is not available for applications on your plan." in run.error
    assert (sync.status, sync.pause_reason) == (Sync.Status.PAUSED, run.error)
    assert [onesignal.tags(user) for user in (ANN, BOB, CAT)] == [{}, {}, {}]
    onesignal.change(plan="growth")
    resume_sync(sync=sync, now=timezone.now())
    work(crm)
    assert onesignal.segment_users(sync.ledger.segment_id) == {ANN, BOB, CAT}


def test_a_key_that_dies_pauses_every_sync_until_a_new_one_is_given(
    onesignal: SandboxApp, shop: Project, crm: Connection
) -> None:
    sync, _ = export(make_cohort(shop), crm, "dynamic")
    onesignal.change(api_key="os_v2_app_another")
    run_now(sync=sync, is_retry=False, now=timezone.now())
    work(crm)
    crm.refresh_from_db()
    sync.refresh_from_db()
    assert crm.status == Connection.Status.ERROR
    assert crm.error.startswith("OneSignal refused the API Key for app")
    assert (sync.status, sync.pause_reason) == (Sync.Status.PAUSED, crm.error)
    with pytest.raises(Conflict, match="cannot send"):
        resume_sync(sync=sync, now=timezone.now())
    set_property(shop, [ANN], "plan", "free")
    update_connection(connection=crm, credentials={"api_key": "os_v2_app_another"}, now=timezone.now())
    work(crm)
    sync.refresh_from_db()
    assert sync.status == Sync.Status.ACTIVE
    assert onesignal.segment_users(sync.ledger.segment_id) == {BOB, CAT}


@pytest.mark.parametrize("key", ["os_v2_app_wrong", ""])
def test_a_wrong_key_stores_no_connection(onesignal: SandboxApp, shop: Project, key: str) -> None:
    with pytest.raises(Invalid) as refused:
        connect_to(onesignal, shop, api_key=key)
    assert refused.value.field == "credentials.api_key"
    assert not Connection.objects.exists()


def test_an_unreachable_destination_fails_the_run_as_temporary_and_the_next_one_succeeds(
    onesignal: SandboxApp, shop: Project, crm: Connection, settings: Any
) -> None:
    settings.DELIVERY_ATTEMPTS = 2
    settings.SANDBOX_URL = "http://127.0.0.1:9"
    sync, run = export(make_cohort(shop), crm)
    assert (run.status, run.error_kind) == (Run.Status.FAILED, Run.ErrorKind.TEMPORARY)
    assert "could not be reached at http://127.0.0.1:9" in (run.error or "")
    assert sync.status == Sync.Status.ACTIVE
    assert sync.next_run_at is not None
    settings.SANDBOX_URL = onesignal.url
    run_now(sync=sync, is_retry=False, now=timezone.now())
    work(crm)
    assert onesignal.segment_users(sync.ledger.segment_id) == {ANN, BOB, CAT}


def test_pausing_keeps_what_was_delivered(onesignal: SandboxApp, shop: Project, crm: Connection) -> None:
    sync, _ = export(make_cohort(shop), crm, "dynamic")
    pause_sync(sync=sync, now=timezone.now())
    set_property(shop, [ANN], "plan", "free")
    with pytest.raises(Conflict, match="paused"):
        run_now(sync=sync, is_retry=False, now=timezone.now())
    work(crm)
    assert onesignal.segment_users(sync.ledger.segment_id) == {ANN, BOB, CAT}
    resume_sync(sync=sync, now=timezone.now())
    work(crm)
    assert onesignal.segment_users(sync.ledger.segment_id) == {BOB, CAT}


def test_deleting_a_sync_with_its_segment_takes_every_tag_back_first(
    onesignal: SandboxApp, shop: Project, crm: Connection
) -> None:
    sync, _ = export(make_cohort(shop), crm, "dynamic")
    assert delete_sync(sync=sync, delete_segment=True, now=timezone.now()) is not None
    work(crm)
    assert [onesignal.tags(user) for user in (ANN, BOB, CAT)] == [{}, {}, {}]
    assert onesignal.segments() == []
    assert not Sync.objects.exists()
    assert Ledger.objects.get().delivered_count == 0


def test_a_deleted_sync_leaves_its_tags_and_a_new_one_takes_them_up(
    onesignal: SandboxApp, shop: Project, crm: Connection
) -> None:
    cohort = make_cohort(shop)
    sync, _ = export(cohort, crm)
    assert delete_sync(sync=sync, delete_segment=False, now=timezone.now()) is None
    assert onesignal.segment_users(sync.ledger.segment_id) == {ANN, BOB, CAT}
    set_property(shop, [ANN], "plan", "free")
    onesignal.reset_stats()
    again, run = export(cohort, crm)
    assert again.pk != sync.pk
    assert counts(run) == {"to_remove": 1, "removed": 1, "unchanged": 2}
    assert onesignal.user_requests() == 1
    assert onesignal.segment_users(again.ledger.segment_id) == {BOB, CAT}


def test_disconnecting_stops_and_reconnecting_resumes(onesignal: SandboxApp, shop: Project, crm: Connection) -> None:
    sync, _ = export(make_cohort(shop), crm, "dynamic")
    disconnect(connection=crm, delete_segments=False, now=timezone.now())
    crm.refresh_from_db()
    sync.refresh_from_db()
    assert (crm.status, crm.credential, sync.status) == ("disconnected", "", "paused")
    set_property(shop, [ANN], "plan", "free")
    work(crm)
    assert onesignal.segment_users(sync.ledger.segment_id) == {ANN, BOB, CAT}
    update_connection(connection=crm, credentials={"api_key": onesignal.api_key}, now=timezone.now())
    work(crm)
    assert onesignal.segment_users(sync.ledger.segment_id) == {BOB, CAT}


def test_disconnecting_with_segments_erases_the_key_after_the_last_removal(
    onesignal: SandboxApp, shop: Project, crm: Connection
) -> None:
    export(make_cohort(shop), crm, "dynamic")
    disconnect(connection=crm, delete_segments=True, now=timezone.now())
    crm.refresh_from_db()
    assert crm.credential == onesignal.api_key
    work(crm)
    crm.refresh_from_db()
    assert (crm.status, crm.credential, crm.credential_hint) == ("disconnected", "", "")
    assert [onesignal.tags(user) for user in (ANN, BOB, CAT)] == [{}, {}, {}]
    assert onesignal.segments() == []


def test_renaming_a_cohort_renames_its_segment(onesignal: SandboxApp, shop: Project, crm: Connection) -> None:
    cohort = make_cohort(shop)
    export(cohort, crm, "dynamic")
    cohort.name = "Very " + "l" * 200
    cohort.save()
    cohort_changed(cohort=cohort, is_redefined=False, is_renamed=True, now=timezone.now())
    work(crm)
    (segment,) = onesignal.segments()
    assert segment["name"] == ("(CohortSync) Very " + "l" * 200)[:128]


def test_an_edit_supersedes_the_run_in_flight(onesignal: SandboxApp, shop: Project, crm: Connection) -> None:
    cohort = make_cohort(shop)
    sync, _ = export_cohort(cohort=cohort, connection=crm, mode="dynamic", by=None, now=timezone.now())
    cohort.definition = property_definition(value="free")
    cohort.version += 1
    cohort.save()
    cohort_changed(cohort=cohort, is_redefined=True, is_renamed=False, now=timezone.now())
    work(crm)
    old, new = sync.runs.order_by("id")
    assert (old.status, old.error) == ("cancelled", "Superseded by version 2 of the cohort.")
    assert new.status == "succeeded"
    assert onesignal.segment_users(sync.ledger.segment_id) == {"free"}


def test_the_members_csv_names_each_change_and_its_outcome(
    onesignal: SandboxApp, shop: Project, crm: Connection
) -> None:
    make_people(shop, shoppers(["=ghost"], plan="pro"))
    cohort = make_cohort(shop)
    export(cohort, crm, "dynamic")
    set_property(shop, [ANN], "plan", "free")
    set_property(shop, ["free"], "plan", "pro")
    _, run = export(cohort, crm, "dynamic")
    header, *rows = members_rows(run=run)
    assert header == ("distinct_id", "match_key", "operation", "outcome", "reason")
    reason = next(row[4] for row in rows if row[3] == "unmatched")
    assert reason.startswith("OneSignal does not know this id. Asked on 20")
    assert len(rows) == 5
    assert {tuple(row) for row in rows} == {
        ("free", "free", "add", "added", ""),
        ("'=ghost", "'=ghost", "add", "unmatched", reason),
        (ANN, ANN, "remove", "removed", ""),
        (BOB, BOB, "no-op", "unchanged", ""),
        (CAT, CAT, "no-op", "unchanged", ""),
    }


def test_faults_on_the_way_leave_the_segment_equal_in_the_end(
    onesignal: SandboxApp, shop: Project, settings: Any
) -> None:
    people = [f"user {number}" for number in range(300)]
    make_people(shop, shoppers(people, plan="pro"))
    onesignal.add_users(*people)
    crm = connect_to(onesignal, shop)
    cohort = make_cohort(shop)
    onesignal.set_faults(
        rate={"status": 500, "share": 0.05},
        drop_connection={"before": 0.03, "after": 0.03},
        apply_after_ms={"ms": 150, "share": 0.1},
    )
    sync, _ = export(cohort, crm, "dynamic")
    set_property(shop, people[:150], "plan", "free")
    export(cohort, crm, "dynamic")
    onesignal.set_faults()
    _, run = export(cohort, crm, "dynamic")
    assert run.status == Run.Status.SUCCEEDED
    time.sleep(0.3)
    assert onesignal.segment_users(sync.ledger.segment_id) == set(people[150:])
