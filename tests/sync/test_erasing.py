"""Erased people leave everywhere (laws.md, L8): no tag over there, no value here, whatever became of the syncs."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection as database
from django.utils import timezone

from cohorts.erasing.progress import is_complete
from cohorts.ingest import apply_profile_updates
from cohorts.messages import Delete, ProfileUpdate, Set
from cohorts.models import DistinctId, ErasedKey, Erasure, MatchKey, Person, Project
from integrations.connections import disconnect, update_connection
from integrations.erasing import erase_people
from integrations.errors import Conflict
from integrations.failures import fail_connection
from integrations.members_csv import members_rows
from integrations.models import Connection, Ledger, RejectedRecipient, Run, Sync, UnmatchedRecipient
from integrations.removals import advance_removals, give_up_tags, tags_left, values_left
from integrations.sync import apps_with_work, run_slice
from integrations.syncs import delete_sync, pause_sync, run_now
from tests.cast import make_cohort, make_people, make_project, property_definition, set_property, shoppers
from tests.ingest.test_erasing import sweep_to_the_end
from tests.sandbox_app import SandboxApp
from tests.sync.stories import ANN, BOB, CAT, Meanwhile, connect_to, export, in_a_thread, start_export, work
from tests.sync.test_ledger import DiesAt

pytestmark = pytest.mark.django_db(transaction=True)


def erase(project: Project, *distinct_ids: str) -> Erasure:
    return erase_people(project=project, distinct_ids=distinct_ids, requested_by="dpo@example.com", now=timezone.now())


def settle(*connections: Connection) -> None:
    """Do what beat and the workers do until nothing is left to do."""
    for _ in range(3):
        sweep_to_the_end()
        advance_removals(now=timezone.now())
        for connection in connections:
            if connection.app_id in apps_with_work(now=timezone.now()):
                work(connection)


def key_of(project: Project, value: str) -> int:
    return MatchKey.objects.get(project=project, value=value).pk


def set_id(project: Project, distinct_id: str, value: str) -> None:
    """Set a person's id over there as an SDK does."""
    update = ProfileUpdate(
        position=0,
        distinct_id=distinct_id,
        operations=(Set({"$onesignal_user_id": value, "plan": "pro"}),),
        updated_at=None,
    )
    apply_profile_updates(project=project, updates=[update], now=timezone.now())


def places_of(text: str) -> list[str]:
    """Return the columns of the whole database in which the text stands: what a dump would show."""
    found = []
    with database.cursor() as cursor:
        cursor.execute(
            "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public'"
            " AND data_type IN ('text', 'character varying', 'jsonb', 'json', 'ARRAY', 'bytea')"
        )
        for table, column in cursor.fetchall():
            cursor.execute(
                f'SELECT count(*) FROM "{table}" WHERE position(%s IN "{column}"::text) > 0'
                f" OR position(encode(convert_to(%s, 'utf8'), 'hex') IN \"{column}\"::text) > 0",
                [text, text],
            )
            if cursor.fetchone()[0]:
                found.append(f"{table}.{column}")
    return found


def one_time(cohort: Any, crm: Connection) -> Sync:
    return export(cohort, crm, "one_time")[0]


def dynamic(cohort: Any, crm: Connection) -> Sync:
    return export(cohort, crm, "dynamic")[0]


def paused(cohort: Any, crm: Connection) -> Sync:
    return pause_sync(sync=export(cohort, crm, "dynamic")[0], now=timezone.now())


def held(cohort: Any, crm: Connection) -> Sync:
    sync, _ = export(cohort, crm, "dynamic")
    Run.objects.create(project=sync.project, sync=sync, trigger="schedule", status="held", queued_at=timezone.now())
    return sync


def archived(cohort: Any, crm: Connection) -> Sync:
    sync, _ = export(cohort, crm, "dynamic")
    delete_sync(sync=Sync.objects.get(pk=sync.pk), delete_segment=False, now=timezone.now())
    return sync


@pytest.mark.parametrize("make", [one_time, dynamic, paused, held, archived])
def test_an_erased_person_loses_the_tag_of_every_kind_of_sync_and_the_others_keep_theirs(
    onesignal: SandboxApp, shop: Project, crm: Connection, make: Callable[[Any, Connection], Sync]
) -> None:
    sync = make(make_cohort(shop), crm)
    assert onesignal.segment_users(sync.ledger.segment_id) == {ANN, BOB, CAT}
    set_property(shop, ["free"], "plan", "pro")  # would be delivered, were the sync at work
    onesignal.reset_stats()
    erasure = erase(shop, ANN)
    assert not is_complete(erasure)
    settle(crm)
    assert onesignal.user_requests() == 1
    assert onesignal.segment_users(sync.ledger.segment_id) == {BOB, CAT}
    assert not any(onesignal.tags(ANN).values())
    assert is_complete(erasure)
    assert places_of(ANN) == []
    assert apps_with_work(now=timezone.now()) == []
    assert not Ledger.objects.filter(is_erasing=True).exists()


def test_one_request_takes_the_tags_of_all_syncs(onesignal: SandboxApp, shop: Project, crm: Connection) -> None:
    make_people(shop, shoppers(["dan"], plan="pro", tier="gold"))
    onesignal.add_users("dan")
    export(make_cohort(shop), crm, "one_time")
    paused(make_cohort(shop, "Gold", property_definition("tier", "gold")), crm)
    assert sum(value == "1" for value in onesignal.tags("dan").values()) == 2
    onesignal.reset_stats()
    erase(shop, "dan")
    settle(crm)
    assert onesignal.user_requests() == 1
    assert not any(onesignal.tags("dan").values())


def test_from_the_answer_on_an_erased_person_is_no_member_and_no_csv_shows_them(
    onesignal: SandboxApp, shop: Project, crm: Connection
) -> None:
    sync, run = export(make_cohort(shop), crm, "dynamic")
    erase(shop, ANN)  # nothing has been removed over there yet
    rows = [",".join(row) for row in members_rows(run=run)]
    assert [row for row in rows if ANN in row] == []
    assert ",(erased),add,added," in rows
    run_now(sync=sync, is_retry=False, now=timezone.now())
    settle(crm)
    rows = [",".join(row) for row in members_rows(run=sync.runs.latest("id"))]
    assert [row for row in rows if "(erased)" in row] == [",(erased),remove,removed,"]


def test_a_key_that_two_persons_share_stays_while_the_other_one_has_it(
    onesignal: SandboxApp, shop: Project, crm: Connection
) -> None:
    make_people(shop, {"ann's brother": {"$onesignal_user_id": ANN, "plan": "pro"}})
    sync, run = export(make_cohort(shop), crm, "dynamic")
    key = key_of(shop, ANN)
    erasure = erase(shop, ANN)
    settle(crm)
    assert onesignal.segment_users(sync.ledger.segment_id) == {ANN, BOB, CAT}
    assert MatchKey.objects.get(pk=key).value == ANN
    assert is_complete(erasure)
    assert any(ANN in row for row in members_rows(run=run))
    set_id(shop, "ann's brother", "brother")
    settle(crm)
    assert onesignal.segment_users(sync.ledger.segment_id) == {BOB, CAT}
    assert MatchKey.objects.get(pk=key).value is None


def test_the_same_value_set_again_has_the_same_key_and_is_exported_again(
    onesignal: SandboxApp, shop: Project, crm: Connection
) -> None:
    sync, first = export(make_cohort(shop), crm, "dynamic")
    key = key_of(shop, ANN)
    person = Person.objects.get(project=shop, distinct_id=ANN).pk
    erase(shop, ANN)
    settle(crm)
    assert MatchKey.objects.get(pk=key).value is None
    set_id(shop, ANN, ANN)
    assert key_of(shop, ANN) == key
    assert Person.objects.get(project=shop, distinct_id=ANN).pk != person
    run_now(sync=sync, is_retry=False, now=timezone.now())
    settle(crm)
    assert onesignal.segment_users(sync.ledger.segment_id) == {ANN, BOB, CAT}
    # What was exported of the erased person stays hidden.
    assert [row for row in members_rows(run=first) if ANN in row] == []
    assert any(ANN in row for row in members_rows(run=sync.runs.latest("id")))
    erase(shop, ANN)
    settle(crm)
    assert onesignal.segment_users(sync.ledger.segment_id) == {BOB, CAT}
    assert places_of(ANN) == []


def test_a_value_set_again_before_its_removal_keeps_its_key_and_tag(
    onesignal: SandboxApp, shop: Project, crm: Connection
) -> None:
    sync, _ = export(make_cohort(shop), crm, "dynamic")
    key = key_of(shop, ANN)
    erasure = erase(shop, ANN)
    set_id(shop, ANN, ANN)
    settle(crm)
    run_now(sync=sync, is_retry=False, now=timezone.now())
    settle(crm)
    assert key_of(shop, ANN) == key
    assert is_complete(erasure)
    assert onesignal.segment_users(sync.ledger.segment_id) == {ANN, BOB, CAT}


def test_a_run_under_way_is_done_anew_without_the_erased_person(
    onesignal: SandboxApp, shop: Project, crm: Connection, settings: Any
) -> None:
    settings.DELIVERY_BATCH_RECIPIENTS = 1
    sync = start_export(make_cohort(shop), crm)
    with database.execute_wrapper(Meanwhile('INSERT INTO "integrations_ledgerentry"', lambda: erase(shop, CAT))):
        work(crm)
    settle(crm)
    runs = list(sync.runs.order_by("id"))
    assert [run.status for run in runs] == [Run.Status.CANCELLED, Run.Status.SUCCEEDED]
    assert "erased" in str(runs[0].error)
    assert onesignal.segment_users(sync.ledger.segment_id) == {ANN, BOB}
    assert not any(onesignal.tags(CAT).values())
    assert places_of(CAT) == []


def test_whoever_is_erased_between_resolving_and_sending_is_not_sent(
    onesignal: SandboxApp, shop: Project, crm: Connection
) -> None:
    sync = start_export(make_cohort(shop), crm, "one_time")

    def erase_and_bury() -> None:
        erase(shop, ANN)
        # Never delivered, so the value goes at once.
        advance_removals(now=timezone.now())

    meanwhile = Meanwhile("WITH member AS", erase_and_bury)
    with database.execute_wrapper(meanwhile):
        work(crm)
    assert meanwhile.is_done
    settle(crm)
    sync.refresh_from_db()
    assert sync.status == Sync.Status.FINISHED
    assert onesignal.segment_users(sync.ledger.segment_id) == {BOB, CAT}
    assert onesignal.tags(ANN) == {}
    assert places_of(ANN) == []


def test_whoever_is_erased_while_a_batch_is_made_up_is_left_out_of_it(
    onesignal: SandboxApp, shop: Project, crm: Connection
) -> None:
    start_export(make_cohort(shop), crm)
    onesignal.reset_stats()
    meanwhile = Meanwhile('FROM "cohorts_matchkey"', lambda: erase(shop, CAT))
    with database.execute_wrapper(meanwhile):
        work(crm)
    assert meanwhile.is_done
    assert onesignal.user_requests() == 2
    assert onesignal.tags(CAT) == {}
    settle(crm)
    assert places_of(CAT) == []


def test_a_late_answer_of_a_batch_under_way_is_taken_back(
    onesignal: SandboxApp, shop: Project, crm: Connection
) -> None:
    start_export(make_cohort(shop), crm)
    lose_answers = Meanwhile(
        'INSERT INTO "integrations_ledgerentry"', lambda: onesignal.set_faults(drop_connection={"after": 1.0})
    )
    with database.execute_wrapper(lose_answers):
        run_slice(app_id=crm.app_id)
    onesignal.set_faults()
    assert onesignal.tags(ANN)  # it was stored, and no answer came
    erase(shop, ANN)
    settle(crm)
    assert not any(onesignal.tags(ANN).values())
    assert places_of(ANN) == []


@pytest.mark.parametrize("position", range(1, 60, 4))
def test_a_crash_of_the_pass_at_any_statement_costs_only_time(
    onesignal: SandboxApp, shop: Project, crm: Connection, position: int
) -> None:
    sync = paused(make_cohort(shop), crm)
    erase(shop, ANN)
    try:
        with database.execute_wrapper(DiesAt(position, is_after=position % 2 == 0)):
            advance_removals(now=timezone.now())
            run_slice(app_id=crm.app_id)
    except RuntimeError:
        pass
    finally:
        database.close()
    settle(crm)
    assert onesignal.segment_users(sync.ledger.segment_id) == {BOB, CAT}
    assert places_of(ANN) == []


def test_a_crash_of_the_burial_leaves_the_value_to_be_erased(
    onesignal: SandboxApp, shop: Project, crm: Connection
) -> None:
    erase(shop, ANN)
    with pytest.raises(RuntimeError), database.execute_wrapper(DiesAtWords("UPDATE cohorts_matchkey")):
        advance_removals(now=timezone.now())
    key = MatchKey.objects.get(project=shop, value=ANN)
    assert ErasedKey.objects.get(match_key_id=key.pk).is_due
    advance_removals(now=timezone.now())
    assert places_of(ANN) == []


class DiesAtWords:
    def __init__(self, words: str) -> None:
        self.words = words

    def __call__(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        answer = execute(sql, params, many, context)
        if self.words in sql:
            raise RuntimeError("killed")
        return answer


def test_two_who_erase_the_same_person_at_once_both_succeed(shop: Project, crm: Connection) -> None:
    barrier = threading.Barrier(2)
    erasures = []

    def once() -> None:
        barrier.wait(5)
        erasures.append(erase(shop, ANN, BOB))

    started = [in_a_thread(once) for _ in range(2)]
    for thread, errors in started:
        thread.join(20)
        assert errors == []
    settle(crm)
    assert sorted(erasure.person_count for erasure in erasures) == [0, 2]
    assert all(is_complete(erasure) for erasure in erasures)
    assert places_of(ANN) == [] == places_of(BOB)


def test_a_disconnected_connection_tells_how_many_are_left_and_a_new_key_removes_them(
    onesignal: SandboxApp, shop: Project, crm: Connection
) -> None:
    sync, _ = export(make_cohort(shop), crm, "dynamic")
    crm = disconnect(connection=crm, delete_segments=False, now=timezone.now())
    erasure = erase(shop, ANN, BOB)
    settle(crm)
    assert not is_complete(erasure)
    (left,) = tags_left(crm)
    assert (left.ledger.tag, left.count) == (sync.ledger.tag, 2)
    assert values_left(left) == sorted([ANN, BOB])
    update_connection(connection=crm, credentials={"api_key": onesignal.api_key}, now=timezone.now())
    settle(crm)
    assert tags_left(crm) == []
    assert is_complete(erasure)
    assert onesignal.segment_users(sync.ledger.segment_id) == {CAT}
    assert places_of(ANN) == [] == places_of(BOB)


def test_what_a_dead_connection_keeps_due_locks_nobody_at_every_tick(shop: Project, crm: Connection) -> None:
    export(make_cohort(shop), crm, "dynamic")
    disconnect(connection=crm, delete_segments=False, now=timezone.now())
    erase(shop, ANN)
    settle(crm)
    statements: list[str] = []

    def listen(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        statements.append(sql)
        return execute(sql, params, many, context)

    with database.execute_wrapper(listen):
        advance_removals(now=timezone.now())
        assert not [sql for sql in statements if "FOR UPDATE" in sql]
        advance_removals(now=timezone.now() + dt.timedelta(minutes=11))
        assert [sql for sql in statements if "FOR UPDATE" in sql]


def test_an_operator_can_say_that_the_tags_of_a_dead_connection_are_gone(
    onesignal: SandboxApp, shop: Project, crm: Connection
) -> None:
    export(make_cohort(shop), crm, "dynamic")
    with pytest.raises(Conflict, match="works"):
        give_up_tags(connection=crm, now=timezone.now())
    crm = disconnect(connection=crm, delete_segments=False, now=timezone.now())
    erasure = erase(shop, ANN)
    settle(crm)
    assert not is_complete(erasure)
    assert give_up_tags(connection=crm, now=timezone.now()) == 1
    settle(crm)
    assert tags_left(crm) == []
    assert is_complete(erasure)
    assert places_of(ANN) == []


def test_a_connection_that_fails_leaves_the_removal_due_until_its_key_is_good_again(
    onesignal: SandboxApp, shop: Project, crm: Connection
) -> None:
    sync = paused(make_cohort(shop), crm)
    fail_connection(connection=crm, sentence="The key is refused.", now=timezone.now())
    erase(shop, ANN)
    settle(crm)
    assert [left.count for left in tags_left(crm)] == [1]
    assert places_of(ANN)
    update_connection(connection=crm, credentials={"api_key": onesignal.api_key}, now=timezone.now())
    settle(crm)
    assert onesignal.segment_users(sync.ledger.segment_id) == {BOB, CAT}
    assert places_of(ANN) == []


def test_unmatched_and_rejected_people_leave_no_reason_behind(
    onesignal: SandboxApp, shop: Project, crm: Connection
) -> None:
    make_people(shop, shoppers(["nobody over there"], plan="pro"))
    export(make_cohort(shop), crm, "dynamic")
    key = key_of(shop, "nobody over there")
    assert UnmatchedRecipient.objects.filter(match_key_id=key).exists()
    erase(shop, "nobody over there")
    settle(crm)
    assert not UnmatchedRecipient.objects.filter(match_key_id=key).exists()
    assert not RejectedRecipient.objects.filter(match_key_id=key).exists()
    assert MatchKey.objects.get(pk=key).value is None


def test_an_earlier_id_of_the_person_is_removed_from_a_paused_sync_too(
    onesignal: SandboxApp, shop: Project, crm: Connection
) -> None:
    onesignal.add_users("old id")
    set_id(shop, ANN, "old id")  # an alias from now on
    sync = paused(make_cohort(shop), crm)
    assert "old id" in onesignal.segment_users(sync.ledger.segment_id)
    set_id(shop, ANN, "new id")
    erase(shop, ANN)
    settle(crm)
    assert onesignal.segment_users(sync.ledger.segment_id) == {BOB, CAT}
    assert places_of("old id") == [] == places_of("new id")


@pytest.mark.parametrize("is_deleted_first", [False, True])
def test_an_earlier_id_that_was_no_alias_is_removed_too(
    onesignal: SandboxApp, shop: Project, crm: Connection, is_deleted_first: bool
) -> None:
    Project.objects.update(id_merge="simplified")  # no aliases there
    sync = paused(make_cohort(shop), crm)
    if is_deleted_first:
        gone = ProfileUpdate(position=0, distinct_id=CAT, operations=(Delete(),), updated_at=None)
        apply_profile_updates(project=shop, updates=[gone], now=timezone.now())
    else:
        set_id(shop, CAT, "new id")
    Person.objects.filter(project=shop, distinct_id=CAT).update(distinct_id="c")
    DistinctId.objects.filter(project=shop, distinct_id=CAT).update(distinct_id="c")
    assert places_of(CAT) == ["cohorts_matchkey.value"]
    erase(shop, "c")
    settle(crm)
    assert onesignal.segment_users(sync.ledger.segment_id) == {ANN, BOB}
    assert places_of(CAT) == []


def test_an_earlier_id_that_somebody_else_has_now_stays_theirs(
    onesignal: SandboxApp, shop: Project, crm: Connection
) -> None:
    Project.objects.update(id_merge="simplified")
    set_id(shop, "free", CAT)
    set_id(shop, CAT, "new id")
    sync = paused(make_cohort(shop), crm)
    Person.objects.filter(project=shop, distinct_id=CAT).update(distinct_id="c")
    DistinctId.objects.filter(project=shop, distinct_id=CAT).update(distinct_id="c")
    erase(shop, "c")
    settle(crm)
    assert onesignal.segment_users(sync.ledger.segment_id) == {ANN, BOB, CAT}
    assert places_of("new id") == []


def test_nothing_is_written_for_erased_people_of_another_project(
    onesignal: SandboxApp, shop: Project, crm: Connection
) -> None:
    other = make_project("Other")
    make_people(other, shoppers([ANN, BOB], plan="pro"))
    theirs = connect_to(onesignal, other)
    sync, _ = export(make_cohort(other), theirs, "dynamic")
    mine, _ = export(make_cohort(shop), crm, "dynamic")
    erase(shop, ANN)
    settle(crm, theirs)
    assert onesignal.segment_users(sync.ledger.segment_id) == {ANN, BOB}
    assert onesignal.segment_users(mine.ledger.segment_id) == {BOB, CAT}
    assert key_of(other, ANN)
