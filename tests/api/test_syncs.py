"""Syncs by REST: exported, changed, run, paused, resumed, deleted."""

from __future__ import annotations

import pytest

from integrations.models import Ledger, Run, Sync
from tests.api.cast import make_run
from tests.api.conftest import Premises
from tests.cast import make_cohort

SHAPE = {
    "id",
    "cohort_id",
    "connection_id",
    "mode",
    "status",
    "pause_reason",
    "segment",
    "delivered",
    "unmatched",
    "last_run_id",
    "next_run_at",
    "last_finished_at",
    "guard",
}
DEFAULT_GUARD = {"max_change_percent": 30, "min_members": 100, "hold_empty": True}


def test_an_export_makes_a_sync_with_a_queued_run(shop: Premises) -> None:
    cohort = make_cohort(shop.project, "Fresh")
    body = {"cohort_id": cohort.pk, "connection_id": shop.connection.pk, "mode": "dynamic"}

    answer = shop.admin.call("POST", "syncs", body)

    sync = answer.json()
    assert answer.status_code == 201
    assert set(sync) >= SHAPE
    assert {key: sync[key] for key in body} == body
    assert (sync["status"], sync["pause_reason"], sync["delivered"], sync["unmatched"]) == ("active", None, 0, 0)
    assert sync["guard"] == DEFAULT_GUARD
    assert sync["segment"]["name"] == "(CohortSync) Fresh"
    assert sync["segment"]["tag"] == "cs_" + sync["segment"]["id"].replace("-", "")[:12]
    assert sync["next_run_at"].endswith("Z")
    run = shop.admin.call("GET", f"runs/{sync['last_run_id']}").json()
    assert (run["sync_id"], run["status"], run["trigger"]) == (sync["id"], "queued", "manual")
    assert shop.admin.call("GET", f"cohorts/{cohort.pk}").json()["syncs"] == [sync["id"]]


def test_exporting_the_pair_again_is_the_same_sync_with_the_new_mode(shop: Premises) -> None:
    body = {
        "cohort_id": shop.cohort.pk,
        "connection_id": shop.connection.pk,
        "mode": "one_time",
        "guard": {"min_members": 5},
    }

    answer = shop.admin.call("POST", "syncs", body)

    assert answer.status_code == 200
    assert answer.json()["id"] == shop.sync.pk
    assert answer.json()["mode"] == "one_time"
    assert answer.json()["guard"] == {**DEFAULT_GUARD, "min_members": 5}
    assert answer.json()["last_run_id"] != shop.run.pk


def test_a_guard_that_is_not_given_stays_and_null_takes_it_away(shop: Premises) -> None:
    url = f"syncs/{shop.sync.pk}"
    shop.admin.call("PATCH", url, {"guard": {"max_change_percent": 5}})

    kept = shop.admin.call("PATCH", url, {"mode": "dynamic"}).json()["guard"]
    gone = shop.admin.call("PATCH", url, {"guard": None}).json()["guard"]

    assert kept == {**DEFAULT_GUARD, "max_change_percent": 5}
    assert gone is None


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"mode": "hourly"}, "mode"),
        ({"guard": {"max_change": 1}}, "guard.max_change"),
        ({"guard": {"hold_empty": "yes"}}, "guard.hold_empty"),
        ({"guard": 7}, "guard"),
        ({"mode": None}, "mode"),
    ],
)
def test_a_wrong_input_is_named(shop: Premises, change: dict[str, object], field: str) -> None:
    answer = shop.admin.call("PATCH", f"syncs/{shop.sync.pk}", change)

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == field


def test_running_twice_answers_the_run_that_waits(shop: Premises) -> None:
    first = shop.admin.call("POST", f"syncs/{shop.sync.pk}/run")
    second = shop.admin.call("POST", f"syncs/{shop.sync.pk}/run?retry=true")

    assert first.status_code == second.status_code == 202
    assert first.json()["id"] == second.json()["id"]
    assert second.json()["is_retry"] is True
    assert shop.admin.call("GET", f"syncs/{shop.sync.pk}").json()["last_run_id"] == first.json()["id"]


def test_pausing_says_who_and_stops_running_until_it_is_resumed(shop: Premises) -> None:
    paused = shop.admin.call("POST", f"syncs/{shop.sync.pk}/pause")
    refused = shop.admin.call("POST", f"syncs/{shop.sync.pk}/run")
    resumed = shop.admin.call("POST", f"syncs/{shop.sync.pk}/resume")

    assert paused.status_code == resumed.status_code == 202
    assert paused.json()["status"] == "paused"
    assert paused.json()["pause_reason"].startswith("Paused by admin-")
    assert refused.status_code == 409
    assert (resumed.json()["status"], resumed.json()["pause_reason"]) == ("active", None)
    assert Run.objects.filter(sync=shop.sync, status="queued").exists()


def test_deleting_leaves_the_segment_and_the_pair_takes_it_up_again(shop: Premises) -> None:
    segment = shop.admin.call("GET", f"syncs/{shop.sync.pk}").json()["segment"]
    body = {"cohort_id": shop.cohort.pk, "connection_id": shop.connection.pk, "mode": "dynamic"}

    assert shop.admin.call("DELETE", f"syncs/{shop.sync.pk}").status_code == 204
    assert shop.admin.call("GET", f"syncs/{shop.sync.pk}").status_code == 404
    again = shop.admin.call("POST", "syncs", body)

    assert again.status_code == 201
    assert again.json()["segment"] == segment
    assert Ledger.objects.filter(project=shop.project).count() == 1


def test_deleting_with_the_segment_answers_the_run_that_removes_it(shop: Premises) -> None:
    answer = shop.admin.call("DELETE", f"syncs/{shop.sync.pk}?delete_segment=true")

    assert answer.status_code == 202
    assert answer.json()["is_removal"] is True
    assert answer.json()["sync_id"] == shop.sync.pk
    assert shop.admin.call("GET", f"syncs/{shop.sync.pk}").status_code == 200
    assert shop.admin.call("POST", f"syncs/{shop.sync.pk}/run").status_code == 409


def test_a_sync_shows_what_its_last_finished_run_could_not_match(shop: Premises) -> None:
    make_run(shop.sync, finished_at=shop.run.queued_at, to_add=4, matched_keys=4, members=4, unmatched=4)
    Run.objects.filter(unmatched=4).update(anonymous=0)
    newest = make_run(shop.sync, status="running")

    sync = shop.admin.call("GET", f"syncs/{shop.sync.pk}").json()

    assert (sync["unmatched"], sync["last_run_id"]) == (4, newest.pk)


def test_ids_are_numbers(shop: Premises) -> None:
    body = {"cohort_id": str(shop.cohort.pk), "connection_id": True, "mode": "dynamic"}

    answer = shop.admin.call("POST", "syncs", body)

    assert answer.status_code == 422
    assert {error["field"] for error in answer.json()["errors"]} == {"cohort_id", "connection_id"}
    assert Sync.objects.filter(project=shop.project).count() == 1
