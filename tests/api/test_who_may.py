"""Every call, by every role, in one's own project and in another: the table of api.md, "Who may"."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone

from cohortsync.api import docs
from integrations.erasing import erase_people
from tests.api.cast import browsing, calling, make_account, make_member
from tests.api.conftest import Premises
from tests.cast import property_definition

ROLES = ["owner", "admin", "analyst", "consumer"]
READ, WRITE, CONNECT, ERASE = "consumer", "analyst", "admin", "admin"

# Every call with the least role that may; bodies are valid, so that only access can refuse.
CALLS: list[tuple[str, str, object, str]] = [
    ("GET", "cohorts", None, READ),
    ("POST", "cohorts", {"name": "New", "definition": property_definition()}, WRITE),
    ("GET", "cohorts/{cohort_id}", None, READ),
    ("PATCH", "cohorts/{cohort_id}", {"description": "Who pays"}, WRITE),
    ("DELETE", "cohorts/{cohort_id}", None, WRITE),
    ("POST", "cohorts/{cohort_id}/count", {}, READ),
    ("GET", "cohorts/{cohort_id}/members", None, READ),
    ("GET", "connections", None, READ),
    ("POST", "connections", {"destination": "carrier-pigeon", "name": "x", "config": {}, "credentials": {}}, CONNECT),
    ("GET", "connections/{connection_id}", None, READ),
    ("PATCH", "connections/{connection_id}", {"name": "Renamed"}, CONNECT),
    ("DELETE", "connections/{connection_id}", None, CONNECT),
    ("POST", "connections/{connection_id}/check", None, CONNECT),
    ("GET", "syncs", None, READ),
    ("POST", "syncs", {"cohort_id": "{cohort_id}", "connection_id": "{connection_id}", "mode": "dynamic"}, WRITE),
    ("GET", "syncs/{sync_id}", None, READ),
    ("PATCH", "syncs/{sync_id}", {"mode": "dynamic"}, WRITE),
    ("DELETE", "syncs/{sync_id}", None, WRITE),
    ("POST", "syncs/{sync_id}/run", None, WRITE),
    ("POST", "syncs/{sync_id}/pause", None, WRITE),
    ("POST", "syncs/{sync_id}/resume", None, WRITE),
    ("GET", "runs", None, READ),
    ("GET", "runs/{run_id}", None, READ),
    ("GET", "runs/{run_id}/members.csv", None, READ),
    ("GET", "erasures", None, ERASE),
    ("POST", "erasures", {"distinct_ids": ["nobody"]}, ERASE),
    ("GET", "erasures/{erasure_id}", None, ERASE),
]


def with_ids(premises: Premises, path: str, body: object) -> tuple[str, object]:
    """Put the premises' own ids in place."""
    ids: dict[str, Any] = {
        "cohort_id": premises.cohort.pk,
        "connection_id": premises.connection.pk,
        "sync_id": premises.sync.pk,
        "run_id": premises.run.pk,
        "erasure_id": erase_people(
            project=premises.project, distinct_ids=["nobody"], requested_by="us", now=timezone.now()
        ).task_id,
    }
    if isinstance(body, dict):
        body = {
            key: ids.get(value.strip("{}"), value) if isinstance(value, str) else value for key, value in body.items()
        }
    return path.format(**ids), body


def test_the_table_below_names_every_call_there_is() -> None:
    documented = {
        (method.upper(), path.removeprefix("/api/v1/projects/{project_id}/"))
        for path, methods in docs.openapi()["paths"].items()
        for method in methods
    }
    assert documented == {(method, path) for method, path, _, _ in CALLS}


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize(("method", "path", "body", "least"), CALLS)
def test_a_call_answers_those_whose_role_is_high_enough(
    shop: Premises, role: str, method: str, path: str, body: object, least: str
) -> None:
    path, body = with_ids(shop, path, body)

    answer = calling(make_account(shop.project, role)).call(method, path, body)

    may = ROLES.index(role) <= ROLES.index(least)
    assert (answer.status_code != 403) == may, answer.content
    assert answer.status_code not in (401, 404, 500)
    if not may:
        assert f"takes the role {least} or higher" in answer.json()["detail"]


@pytest.mark.parametrize(("method", "path", "body", "least"), CALLS)
def test_a_stranger_is_told_that_there_is_no_such_project(
    shop: Premises, rival: Premises, method: str, path: str, body: object, least: str
) -> None:
    path, body = with_ids(rival, path, body)
    program = calling(make_account(shop.project, "owner"), project=rival.project)
    person = browsing(make_member(shop.project, "owner"), rival.project)

    for caller in (program, person):
        answer = caller.call(method, path, body)

        assert answer.status_code == 404
        assert answer.json()["detail"] == f"There is no project {rival.project.pk} that these credentials may enter."


@pytest.mark.parametrize(("method", "path", "body", "least"), CALLS)
def test_nobody_gets_in_without_credentials(shop: Premises, method: str, path: str, body: object, least: str) -> None:
    path, body = with_ids(shop, path, body)
    shop.admin.defaults.pop("HTTP_AUTHORIZATION")

    answer = shop.admin.call(method, path, body)

    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Basic ")
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_access_is_decided_before_the_body_is_read(shop: Premises) -> None:
    answer = calling(make_account(shop.project, "consumer")).call("POST", "cohorts", {"nonsense": True})

    assert answer.status_code == 403
