"""Cohorts by REST: saved, changed, counted, listed, deleted."""

from __future__ import annotations

import pytest

from cohorts.models import Cohort
from integrations.models import Run
from tests.api.cast import browsing, make_member, make_run
from tests.api.conftest import Premises
from tests.cast import MATCH_PROPERTY, make_cohort, make_people, property_definition, shoppers

SHAPE = {
    "id",
    "name",
    "description",
    "definition",
    "count",
    "counted_at",
    "visibility",
    "created_at",
    "updated_at",
    "syncs",
}
COVERAGE = {
    "as_of",
    "members",
    "anonymous",
    "without_match_property",
    "invalid_id",
    "matched_profiles",
    "matched_keys",
    "seconds",
}


def test_a_cohort_is_saved_and_read_back(shop: Premises) -> None:
    body = {"name": "Pro", "description": "Who pays", "definition": property_definition()}

    created = shop.admin.call("POST", "cohorts", body)

    assert created.status_code == 201
    cohort = created.json()
    assert set(cohort) >= SHAPE
    assert {key: cohort[key] for key in body} == body
    assert (cohort["count"], cohort["counted_at"], cohort["syncs"]) == (None, None, [])
    assert cohort["created_at"].endswith("Z")
    assert shop.admin.call("GET", f"cohorts/{cohort['id']}").json() == cohort


def test_a_program_shares_its_cohorts_and_a_person_keeps_them_private(shop: Premises) -> None:
    person = make_member(shop.project, "analyst")
    body = {"name": "Pro", "definition": property_definition()}

    of_program = shop.admin.call("POST", "cohorts", body).json()
    of_person = browsing(person, shop.project).call("POST", "cohorts", body).json()
    shared = browsing(person, shop.project).call("POST", "cohorts", {**body, "visibility": "project"}).json()

    assert of_program["visibility"] == shared["visibility"] == "project"
    assert of_person["visibility"] == "private"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "cohorts/{}"),
        ("PATCH", "cohorts/{}"),
        ("DELETE", "cohorts/{}"),
        ("POST", "cohorts/{}/count"),
        ("GET", "cohorts/{}/members"),
    ],
)
def test_a_private_cohort_is_unknown_to_everybody_else(shop: Premises, method: str, path: str) -> None:
    owner, colleague = make_member(shop.project, "analyst"), make_member(shop.project, "owner")
    cohort = make_cohort(shop.project, "Mine")
    Cohort.objects.filter(pk=cohort.pk).update(visibility="private", created_by=owner)
    body: object = None if method == "GET" else {}

    for stranger in (shop.admin, browsing(colleague, shop.project)):
        assert stranger.call(method, path.format(cohort.pk), body).status_code == 404
        assert cohort.pk not in [row["id"] for row in stranger.call("GET", "cohorts").json()["results"]]
    assert browsing(owner, shop.project).call(method, path.format(cohort.pk), body).status_code in (200, 204)


def test_a_private_cohort_of_somebody_else_cannot_be_exported(shop: Premises) -> None:
    cohort = make_cohort(shop.project, "Theirs")
    Cohort.objects.filter(pk=cohort.pk).update(visibility="private", created_by=make_member(shop.project))
    body = {"cohort_id": cohort.pk, "connection_id": shop.connection.pk, "mode": "dynamic"}

    assert shop.admin.call("POST", "syncs", body).status_code == 404


def test_nobody_takes_a_shared_cohort_away_from_the_others(shop: Premises) -> None:
    colleague = browsing(make_member(shop.project, "owner"), shop.project)

    for caller in (shop.admin, colleague):
        answer = caller.call("PATCH", f"cohorts/{shop.cohort.pk}", {"visibility": "private"})

        assert answer.status_code == 422
        assert answer.json()["errors"][0]["field"] == "visibility"


def test_a_changed_definition_is_a_new_version_and_makes_the_sync_run(shop: Premises) -> None:
    Cohort.objects.filter(pk=shop.cohort.pk).update(count=7)
    running = make_run(shop.sync, status="running")

    answer = shop.admin.call(
        "PATCH", f"cohorts/{shop.cohort.pk}", {"definition": property_definition(value="team")}
    ).json()

    assert answer["version"] == 2
    assert answer["count"] is None
    assert answer["definition"] == property_definition(value="team")
    running.refresh_from_db()
    assert running.status == Run.Status.CANCELLED
    assert Run.objects.filter(sync=shop.sync, status=Run.Status.QUEUED).count() == 1


def test_the_same_definition_again_changes_nothing(shop: Premises) -> None:
    answer = shop.admin.call("PATCH", f"cohorts/{shop.cohort.pk}", {"definition": shop.cohort.definition}).json()

    assert answer["version"] == 1
    assert not Run.objects.filter(status=Run.Status.QUEUED).exists()


def test_a_new_name_renames_the_segment_without_a_run(shop: Premises) -> None:
    answer = shop.admin.call("PATCH", f"cohorts/{shop.cohort.pk}", {"name": "Payers"}).json()

    shop.sync.ledger.refresh_from_db()
    assert (answer["name"], answer["version"]) == ("Payers", 1)
    assert shop.sync.ledger.renamed_to == "(CohortSync) Payers"
    assert not Run.objects.filter(status=Run.Status.QUEUED).exists()


def test_a_refused_definition_changes_nothing(shop: Premises) -> None:
    answer = shop.admin.call("PATCH", f"cohorts/{shop.cohort.pk}", {"name": "New name", "definition": {"groups": 1}})

    shop.cohort.refresh_from_db()
    assert answer.status_code == 422
    assert (shop.cohort.name, shop.cohort.version) == ("Shop's cohort", 1)


def test_a_blank_name_is_refused(shop: Premises) -> None:
    answer = shop.admin.call("PATCH", f"cohorts/{shop.cohort.pk}", {"name": "  "})

    assert answer.status_code == 422
    assert answer.json()["errors"] == [{"field": "name", "message": "A cohort needs a name."}]


def test_a_cohort_with_a_sync_is_not_deleted_and_the_sync_is_named(shop: Premises) -> None:
    answer = shop.admin.call("DELETE", f"cohorts/{shop.cohort.pk}")

    assert answer.status_code == 409
    assert f"sync {shop.sync.pk}" in answer.json()["detail"]
    assert Cohort.objects.filter(pk=shop.cohort.pk).exists()


def test_a_cohort_nobody_uses_is_deleted(shop: Premises) -> None:
    cohort = make_cohort(shop.project)

    assert shop.admin.call("DELETE", f"cohorts/{cohort.pk}").status_code == 204
    assert shop.admin.call("DELETE", f"cohorts/{cohort.pk}").status_code == 404


def test_a_count_splits_the_members_and_is_kept(shop: Premises) -> None:
    make_people(shop.project, shoppers(["ada", "bob"], plan="pro") | {"cem": {"plan": "pro"}, "dan": {"plan": "free"}})

    coverage = shop.admin.call("POST", f"cohorts/{shop.cohort.pk}/count", {}).json()

    assert set(coverage) >= COVERAGE
    assert (coverage["members"], coverage["matched_profiles"], coverage["matched_keys"]) == (3, 2, 2)
    assert (coverage["anonymous"], coverage["without_match_property"], coverage["invalid_id"]) == (0, 1, 0)
    kept = shop.admin.call("GET", f"cohorts/{shop.cohort.pk}").json()
    assert (kept["count"], kept["counted_at"]) == (3, coverage["as_of"])


def test_a_count_needs_no_body(shop: Premises) -> None:
    assert shop.admin.call("POST", f"cohorts/{shop.cohort.pk}/count").status_code == 200


def test_a_count_as_of_an_earlier_moment_is_not_kept(shop: Premises) -> None:
    body = {"as_of": "2026-01-31T12:00:00Z", "connection_id": shop.connection.pk}

    coverage = shop.admin.call("POST", f"cohorts/{shop.cohort.pk}/count", body).json()

    assert coverage["as_of"] == "2026-01-31T12:00:00Z"
    assert shop.admin.call("GET", f"cohorts/{shop.cohort.pk}").json()["count"] is None


def test_the_moment_of_a_count_can_be_sent_back(shop: Premises) -> None:
    url = f"cohorts/{shop.cohort.pk}/count"
    as_of = shop.admin.call("POST", url, {}).json()["as_of"]

    assert shop.admin.call("POST", url, {"as_of": as_of}).json()["as_of"] == as_of


@pytest.mark.parametrize("as_of", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:00:00-12:00", "yesterday"])
def test_a_moment_outside_the_calendar_is_refused(shop: Premises, as_of: str) -> None:
    answer = shop.admin.call("POST", f"cohorts/{shop.cohort.pk}/count", {"as_of": as_of})

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "as_of"


def test_nobody_is_counted_in_the_future(shop: Premises) -> None:
    answer = shop.admin.call("POST", f"cohorts/{shop.cohort.pk}/count", {"as_of": "2099-01-01T00:00:00Z"})

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "as_of"


def test_a_count_waits_for_the_keys_of_its_match_property(shop: Premises) -> None:
    shop.project.match_properties.update(completed_at=None)

    answer = shop.admin.call("POST", f"cohorts/{shop.cohort.pk}/count", {})

    assert answer.status_code == 409
    assert MATCH_PROPERTY in answer.json()["detail"]


def test_members_show_who_they_are_here_and_over_there(shop: Premises) -> None:
    make_people(shop.project, {"ada": {"plan": "pro", MATCH_PROPERTY: "os-1"}, "bob": {"plan": "pro"}})

    members = shop.admin.call("GET", f"cohorts/{shop.cohort.pk}/members").json()

    assert members["next"] is None
    ada, bob = sorted(members["results"], key=lambda member: str(member["distinct_id"]))
    assert ada == {
        "distinct_id": "ada",
        "distinct_ids": ["ada"],
        "properties": {"plan": "pro", MATCH_PROPERTY: "os-1"},
        "match_key": "os-1",
    }
    assert bob["match_key"] is None
