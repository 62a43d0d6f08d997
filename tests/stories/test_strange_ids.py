"""Ids as real systems have them: from /engage over the match key to OneSignal's path, or a reason why not."""

from __future__ import annotations

import json

import pytest
from django.test import Client

from cohorts.models import PersonKey, User
from cohorts.projects import create_project
from integrations.models import Run
from tests.cast import make_cohort
from tests.sandbox_app import SandboxApp
from tests.sync.stories import connect_to, export

pytestmark = pytest.mark.django_db(transaction=True)

DELIVERABLE = ["plain", "a/b/c", "two words", "🐈 cat", "über+&?#%2F", "x" * 128, "a..b", "00001"]
NOT_AN_ID = ["..", ".", "x" * 129, "x" * 300, "NA", "0", 17, ["a"]]


def test_every_deliverable_id_arrives_and_every_other_one_is_counted_with_its_reason(onesignal: SandboxApp) -> None:
    owner = User.objects.create_user("ann@example.com")
    project = create_project(name="Shop", timezone="UTC", id_merge="original", owner=owner)
    updates = [
        {
            "$token": project.token,
            "$distinct_id": f"person-{number}",
            "$set": {"plan": "pro", "$onesignal_user_id": value},
        }
        for number, value in enumerate([*DELIVERABLE, *NOT_AN_ID, ""])
    ]
    answer = Client().post("/engage?verbose=1", data=json.dumps(updates), content_type="application/json")
    assert answer.json()["status"] == 1
    onesignal.add_users(*DELIVERABLE)
    sync, run = export(make_cohort(project), connect_to(onesignal, project))
    assert run.status == Run.Status.SUCCEEDED
    assert onesignal.segment_users(sync.ledger.segment_id) == set(DELIVERABLE)
    assert (run.members, run.matched_profiles, run.invalid_id, run.without_match_property) == (
        len(updates),
        len(DELIVERABLE),
        len(NOT_AN_ID),
        1,
    )
    reasons = PersonKey.objects.filter(match_key=None).values_list("invalid_reason", flat=True)
    assert len(reasons) == len(NOT_AN_ID)
    assert all(reasons)
