"""Mixpanel's GDPR deletions by HTTP: answers to the letter of gdpr.openapi.yaml, for admins' service accounts only."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from django.test import Client

from cohorts.models import Person, Project
from integrations.removals import advance_removals
from tests.cast import at, make_people, make_project
from tests.ingest.test_erasing import sweep_to_the_end
from tests.ingest.wire import account_of, basic

pytestmark = pytest.mark.django_db(transaction=True)

PATH = "/api/app/data-deletions/v3.0"


@pytest.fixture
def shop() -> Project:
    project = make_project("Shop")
    make_people(project, {"ann": {"name": "Ann"}, "7": {"name": "Seven"}, "bob": {}})
    return project


@pytest.fixture
def admin(shop: Project) -> dict[str, str]:
    return account_of(shop)


def ask(client: Client, project: Project, body: object, admin: dict[str, str], path: str = PATH) -> tuple[int, Any]:
    text = body if isinstance(body, bytes) else json.dumps(body)
    answer = client.post(f"{path}?token={project.token}", text, content_type="application/json", **admin)  # type: ignore[arg-type]
    return answer.status_code, answer.json()


def names(project: Project) -> list[str]:
    return sorted(Person.objects.filter(project=project).values_list("distinct_id", flat=True))


@pytest.mark.parametrize("path", [PATH, PATH + "/"])
def test_a_deletion_erases_at_once_and_its_task_tells_how_far_it_is(
    client: Client, shop: Project, admin: dict[str, str], path: str
) -> None:
    make_people(shop, {"cat": {"$onesignal_user_id": "cat"}})
    status, body = ask(client, shop, {"distinct_ids": ["ann", 7, "cat"], "compliance_type": "GDPR"}, admin, path)
    assert status == 201
    assert body["status"] == "ok"
    assert names(shop) == ["bob"]
    address = f"{PATH}/{body['results']['task_id']}?token={shop.token}"
    task = client.get(address, **admin).json()["results"]  # type: ignore[arg-type]
    assert set(task) == {
        "tracking_id",
        "status",
        "requesting_user",
        "compliance_type",
        "project_id",
        "date_requested",
        "distinct_ids",
    }
    assert (task["status"], task["compliance_type"], task["project_id"]) == ("STARTED", "GDPR", shop.pk)
    assert all(each.startswith("hmac-sha256:") for each in task["distinct_ids"])
    advance_removals(now=at("2026-11-25T10:00:00"))
    sweep_to_the_end()
    assert client.get(address, **admin).json()["results"]["status"] == "SUCCESS"  # type: ignore[arg-type]
    cancelled = client.delete(address, **admin)  # type: ignore[arg-type]
    assert cancelled.status_code == 405
    assert cancelled.json()["status"] == "error"


def test_an_unknown_task_is_not_found_and_another_projects_too(
    client: Client, shop: Project, admin: dict[str, str]
) -> None:
    other = make_project("Other")
    _, body = ask(client, other, {"distinct_ids": ["ann"]}, account_of(other))
    for task in (str(uuid.uuid4()), "nonsense", body["results"]["task_id"]):
        answer = client.get(f"{PATH}/{task}?token={shop.token}", **admin)  # type: ignore[arg-type]
        assert answer.json()["results"]["status"] == "NOT_FOUND"
        assert client.delete(f"{PATH}/{task}?token={shop.token}", **admin).status_code == 404  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"{", "JSON"),
        (b"[]", "object"),
        ({}, "distinct_ids"),
        ({"distinct_ids": "ann"}, "list"),
        ({"distinct_ids": []}, "at least one"),
        ({"distinct_ids": ["ann", ""]}, "number 1"),
        ({"distinct_ids": ["ann", None]}, "number 1"),
        ({"distinct_ids": ["ann", {"id": 1}]}, "number 1"),
        ({"distinct_ids": [f"u{number}" for number in range(2001)]}, "2000"),
        ({"distinct_ids": ["ann"], "compliance_type": "HIPAA"}, "GDPR, CCPA"),
        ({"distinct_ids": ["ann"], "compliance_type": 5}, "GDPR"),
        ({"distinct_ids": ["ann"], "compliance_type": "CCPA", "disclosure_type": "Everything"}, "Categories"),
    ],
)
def test_a_wrong_body_is_answered_with_what_to_do_and_erases_nothing(
    client: Client, shop: Project, admin: dict[str, str], body: object, words: str
) -> None:
    status, answer = ask(client, shop, body, admin)
    assert status == 400
    assert answer["status"] == "error"
    assert words in answer["error"]
    assert names(shop) == ["7", "ann", "bob"]


def test_only_a_service_account_of_an_admin_may(client: Client, shop: Project, admin: dict[str, str]) -> None:
    ids = {"distinct_ids": ["ann"]}
    assert ask(client, shop, ids, {})[0] == 401
    assert ask(client, shop, ids, basic(shop.token))[0] == 401
    assert ask(client, shop, ids, basic("nobody", "secret"))[0] == 401
    assert ask(client, shop, ids, account_of(shop, role="analyst"))[0] == 403
    assert ask(client, make_project("Other"), ids, admin)[0] == 403
    assert ask(client, shop, ids, account_of(make_project("Third")))[0] == 403
    assert names(shop) == ["7", "ann", "bob"]


def test_other_methods_are_named(client: Client, shop: Project, admin: dict[str, str]) -> None:
    answer = client.get(f"{PATH}?token={shop.token}", **admin)  # type: ignore[arg-type]
    assert (answer.status_code, answer["Allow"]) == (405, "POST")
