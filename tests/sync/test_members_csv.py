"""The members CSV of runs that are not over, were cut short, or whose people were rejected."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from django.db import connection as database
from django.utils import timezone

from cohorts.models import Project
from integrations.members_csv import members_rows
from integrations.models import Connection, RejectedRecipient, Run
from integrations.syncs import pause_sync, run_now
from tests.cast import make_cohort, property_definition, set_property
from tests.sandbox_app import SandboxApp
from tests.sync.stories import ANN, BOB, REACHABLE, Meanwhile, counts, export, start_export, work, work_steps

pytestmark = pytest.mark.django_db(transaction=True)


def outcomes(run: Run) -> Counter[str]:
    """Return how many rows of the run's CSV have each outcome."""
    _, *rows = members_rows(run=run)
    return Counter(row[3] for row in rows)


def test_a_running_run_tells_what_it_has_delivered_so_far(
    onesignal: SandboxApp, shop: Project, crm: Connection, settings: Any
) -> None:
    settings.DELIVERY_BATCH_RECIPIENTS = 2
    sync = start_export(make_cohort(shop), crm)
    work_steps(crm, 1)
    run = sync.runs.get()
    assert (run.status, run.added) == (Run.Status.RUNNING, 2)
    assert outcomes(run) == {"added": 2, "left": 1}


def test_a_run_cancelled_between_two_slices_keeps_what_it_delivered(
    onesignal: SandboxApp, shop: Project, crm: Connection, settings: Any
) -> None:
    settings.DELIVERY_BATCH_RECIPIENTS = 2
    sync = start_export(make_cohort(shop), crm)
    work_steps(crm, 1)
    pause_sync(sync=sync, now=timezone.now())
    work(crm)
    run = sync.runs.get()
    assert (run.status, run.added) == (Run.Status.CANCELLED, 2)
    assert outcomes(run) == {"added": 2, "left": 1}


def test_a_run_cancelled_just_before_its_end_keeps_what_it_delivered(
    onesignal: SandboxApp, shop: Project, crm: Connection
) -> None:
    sync = start_export(make_cohort(shop), crm)
    pausing = Meanwhile('SET "segment_seen_at"', lambda: pause_sync(sync=sync, now=timezone.now()))
    with database.execute_wrapper(pausing):
        work(crm)
    assert pausing.is_done
    run = sync.runs.get()
    assert (run.status, run.added) == (Run.Status.CANCELLED, 3)
    assert outcomes(run) == {"added": 3}


def test_a_rejection_is_remembered_when_another_cohorts_tag_is_accepted(
    onesignal: SandboxApp, shop: Project, crm: Connection
) -> None:
    onesignal.change(tag_limit=1)
    set_property(shop, [ANN], "vip", "yes")
    vip, _ = export(make_cohort(shop, "VIP", property_definition("vip", "yes")), crm, "dynamic")
    pro, run = export(make_cohort(shop), crm, "dynamic")
    assert (run.status, counts(run)) == (Run.Status.PARTIAL, {"to_add": 3, "added": 2, "rejected": 1})
    # The other tag only travelled along in the refused request: it is there, and nothing about it was refused.
    assert not RejectedRecipient.objects.filter(ledger=vip.ledger_id).exists()
    # In one pass ANN's other tag is taken back, which is accepted, and the rejected one is not tried again.
    set_property(shop, [ANN], "vip", "no")
    set_property(shop, [BOB], "plan", "free")
    for sync in (vip, pro):
        run_now(sync=sync, is_retry=False, now=timezone.now())
    work(crm)
    run = pro.runs.latest("id")
    assert (run.status, run.error, run.left_to_add) == (Run.Status.PARTIAL, None, 0)
    assert outcomes(run) == {"rejected": 1, "removed": 1, "unchanged": 1}
    rejected = next(row for row in members_rows(run=run) if row[3] == "rejected")
    assert rejected[0] == ANN
    assert rejected[4]
    assert RejectedRecipient.objects.filter(ledger=pro.ledger_id).exists()


def test_a_rejection_is_forgotten_only_by_its_own_tag(onesignal: SandboxApp, shop: Project, crm: Connection) -> None:
    onesignal.change(tag_limit=1)
    set_property(shop, [ANN], "vip", "yes")
    export(make_cohort(shop, "VIP", property_definition("vip", "yes")), crm, "dynamic")
    pro, _ = export(make_cohort(shop), crm, "dynamic")
    onesignal.change(tag_limit=10)
    export(make_cohort(shop, "Reachable", REACHABLE), crm, "dynamic")
    assert RejectedRecipient.objects.filter(ledger=pro.ledger_id).exists()
    run_now(sync=pro, is_retry=True, now=timezone.now())
    work(crm)
    assert not RejectedRecipient.objects.filter(ledger=pro.ledger_id).exists()
    assert counts(pro.runs.latest("id")) == {"to_add": 1, "added": 1, "unchanged": 2}
