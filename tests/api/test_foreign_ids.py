"""No id crosses projects (laws.md, L10): every id swapped with another project's is unknown and changes nothing."""

from __future__ import annotations

from typing import Any

import pytest
import responses
from django.core import serializers

from integrations.models import Connection, DestinationApp, Ledger, Run, Sync
from tests.api.conftest import Premises
from tests.api.test_who_may import CALLS, with_ids
from tests.cast import make_cohort

NESTED: list[tuple[str, str, dict[str, str]]] = [
    ("POST", "syncs", {"cohort_id": "theirs", "connection_id": "ours", "mode": "dynamic"}),
    ("POST", "syncs", {"cohort_id": "ours", "connection_id": "theirs", "mode": "dynamic"}),
    ("POST", "syncs", {"cohort_id": "theirs", "connection_id": "theirs", "mode": "dynamic"}),
    ("POST", "cohorts/{cohort_id}/count", {"connection_id": "theirs"}),
]


def everything_of(premises: Premises) -> dict[str, str]:
    """Return the project's rows as text, to compare."""
    rows: dict[str, Any] = {
        "cohorts": premises.project.cohorts.order_by("pk"),
        "connections": Connection.objects.filter(project=premises.project).order_by("pk"),
        "apps": DestinationApp.objects.order_by("pk"),
        "ledgers": Ledger.objects.filter(project=premises.project).order_by("pk"),
        "syncs": Sync.objects.filter(project=premises.project).order_by("pk"),
        "runs": Run.objects.filter(project=premises.project).order_by("pk"),
    }
    return {name: serializers.serialize("json", queryset) for name, queryset in rows.items()}


@pytest.mark.parametrize(
    ("method", "path", "body"), [(method, path, body) for method, path, body, _ in CALLS if "{" in path]
)
def test_another_projects_id_in_the_path_is_unknown(
    shop: Premises, rival: Premises, onesignal: responses.RequestsMock, method: str, path: str, body: object
) -> None:
    before = everything_of(rival), everything_of(shop)
    path, body = with_ids(rival, path, body)

    answer = shop.admin.call(method, path, body)

    assert answer.status_code == 404, answer.content
    assert "in this project" in answer.json()["detail"]
    assert (everything_of(rival), everything_of(shop)) == before
    assert not onesignal.calls


@pytest.mark.parametrize(("method", "path", "body"), NESTED)
def test_another_projects_id_in_the_body_is_unknown(
    shop: Premises, rival: Premises, method: str, path: str, body: dict[str, str]
) -> None:
    before = everything_of(rival), everything_of(shop)
    whose = {"ours": shop, "theirs": rival}
    ids = {
        key: getattr(whose[value], key.removesuffix("_id")).pk if value in whose else value
        for key, value in body.items()
    }

    answer = shop.admin.call(method, path.format(cohort_id=shop.cohort.pk), ids)

    assert answer.status_code == 404, answer.content
    assert answer.json()["errors"][0]["field"] in body
    assert (everything_of(rival), everything_of(shop)) == before


def test_runs_of_another_projects_sync_are_unknown(shop: Premises, rival: Premises) -> None:
    answer = shop.admin.call("GET", f"runs?sync_id={rival.sync.pk}")

    assert answer.status_code == 404


@pytest.mark.parametrize("listing", ["cohorts", "connections", "syncs", "runs"])
def test_a_list_shows_only_the_projects_own(shop: Premises, rival: Premises, listing: str) -> None:
    mine, theirs = shop.admin.call("GET", listing).json(), rival.admin.call("GET", listing).json()

    assert len(mine["results"]) == len(theirs["results"]) == 1
    assert mine["results"][0]["id"] != theirs["results"][0]["id"]


def test_a_cursor_of_another_project_is_refused(shop: Premises, rival: Premises) -> None:
    make_cohort(rival.project)
    cursor = rival.admin.call("GET", "cohorts?limit=1").json()["next"]

    answer = shop.admin.call("GET", f"cohorts?cursor={cursor}")

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "cursor"


@pytest.mark.parametrize("number", ["0", "99999999999999999999999999"])
def test_an_id_that_cannot_exist_is_unknown(shop: Premises, number: str) -> None:
    for path in (f"cohorts/{number}", f"connections/{number}", f"syncs/{number}", f"runs/{number}"):
        assert shop.admin.call("GET", path).status_code == 404
    assert shop.admin.get(f"/api/v1/projects/{number}/cohorts").status_code == 404
    assert shop.admin.call("GET", f"runs?sync_id={number}").status_code == 404
    body = {"cohort_id": int(number), "connection_id": shop.connection.pk, "mode": "dynamic"}
    assert shop.admin.call("POST", "syncs", body).status_code in (404, 422)
