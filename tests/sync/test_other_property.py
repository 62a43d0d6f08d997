"""A connection by another property than `$onesignal_user_id`: indexed before its first run (laws.md, L6)."""

from __future__ import annotations

import pytest
from django.utils import timezone

from cohorts.models import MatchProperty, Person, Project
from cohorts.tasks import backfill_match_property
from integrations.connections import connect
from integrations.models import Run
from integrations.sync import run_slice
from integrations.syncs import export_cohort
from tests.cast import make_cohort, make_people, make_project
from tests.sandbox_app import SandboxApp

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_run_waits_until_the_other_propertys_values_are_indexed(onesignal: SandboxApp) -> None:
    project: Project = make_project()
    make_people(project, {f"person {number}": {"plan": "pro", "crm_id": f"crm-{number}"} for number in range(30)})
    onesignal.add_users(*(f"crm-{number}" for number in range(30)))
    connection = connect(
        project=project,
        destination="onesignal",
        name="By CRM id",
        config={"app_id": onesignal.app_id, "sandbox": True},
        credentials={"api_key": onesignal.api_key},
        user_id_property="crm_id",
        segment_prefix=None,
        max_requests_per_second=None,
        by=None,
        now=timezone.now(),
    )
    crm_id = MatchProperty.objects.get(project=project, name="crm_id")
    assert crm_id.completed_at is None
    sync, _ = export_cohort(
        cohort=make_cohort(project), connection=connection, mode="dynamic", by=None, now=timezone.now()
    )
    assert not run_slice(app_id=connection.app_id).is_finished
    run = Run.objects.get(sync=sync)
    assert (run.status, run.waiting_for) == ("queued", "Waiting until the values of crm_id are indexed.")
    assert onesignal.user_requests() == 0
    backfill_match_property(match_property_id=crm_id.pk)
    while not run_slice(app_id=connection.app_id).is_finished:
        pass
    run.refresh_from_db()
    assert (run.status, run.matched_keys) == ("succeeded", Person.objects.count())
    assert onesignal.segment_users(sync.ledger.segment_id) == {f"crm-{number}" for number in range(30)}
