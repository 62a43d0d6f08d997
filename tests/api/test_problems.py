"""Every error below /api/v1/ has the shape of RFC 9457, from whichever layer it comes."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from pytest_django import Settings

from cohortsync.api import cohorts
from tests.api.conftest import Premises
from tests.cast import property_definition


def problem(answer: Any, status: int) -> dict[str, Any]:
    """Return the problem's body after checking its shape."""
    assert answer.status_code == status, answer.content
    assert answer.headers["Content-Type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert set(body) == {"type", "title", "status", "detail", "errors"}
    assert body["status"] == status
    assert body["detail"].endswith((".", ")")), body["detail"]
    for error in body["errors"]:
        assert set(error) == {"field", "message"}
    return body


@pytest.mark.parametrize("path", ["nonsense", "projects/1/nonsense", "projects/x/cohorts", "", "projects/1/cohorts/"])
@pytest.mark.parametrize("method", ["get", "post"])
def test_an_unknown_path_is_a_problem(path: str, method: str) -> None:
    client = Client(enforce_csrf_checks=True)

    body = problem(getattr(client, method)(f"/api/v1/{path}"), 404)

    assert body["title"] == "Not Found"


@pytest.mark.parametrize(
    "later", ["cohorts/preview", "cohorts/1/sizes", "syncs/1/verify", "syncs/1/approve", "explain", "usage"]
)
def test_calls_of_later_versions_are_not_routed_yet(shop: Premises, later: str) -> None:
    assert shop.admin.call("GET", later).status_code in (404, 405)
    assert shop.admin.call("POST", later, {}).status_code in (404, 405)


def test_a_method_that_a_path_does_not_have_is_a_problem(shop: Premises) -> None:
    answer = shop.admin.call("PUT", f"cohorts/{shop.cohort.pk}", {})

    problem(answer, 405)
    assert set(answer.headers["Allow"].split(", ")) == {"GET", "PATCH", "DELETE"}


@pytest.mark.parametrize("path", ["openapi.json", "docs"])
def test_what_can_only_be_read_says_so(path: str) -> None:
    answer = Client(enforce_csrf_checks=True).post(f"/api/v1/{path}")

    problem(answer, 405)


@pytest.mark.parametrize(
    "body",
    [b"{", b"", b"[]", b'"text"', b"null", b'{"name": NaN}', b'{"name": "\xff"}', b'{"name": "\\ud800"}'],
)
def test_a_body_that_is_no_json_object_is_a_problem(shop: Premises, body: bytes) -> None:
    url = f"/api/v1/projects/{shop.project.pk}/cohorts"

    problem(shop.admin.post(url, data=body, content_type="application/json"), 422)


@pytest.mark.parametrize("place", ["name", "description", "definition"])
def test_the_character_nul_is_refused(shop: Premises, place: str) -> None:
    body: dict[str, Any] = {"name": "New", "description": "", "definition": property_definition()}
    body[place] = property_definition("pl\0an") if place == "definition" else "with \0 in it"

    assert "NUL" in problem(shop.admin.call("POST", "cohorts", body), 422)["detail"]


def test_a_backslash_before_u0000_is_no_nul(shop: Premises) -> None:
    body = {"name": "C:\\u0000", "definition": property_definition()}

    assert shop.admin.call("POST", "cohorts", body).json()["name"] == "C:\\u0000"


def test_every_refused_field_is_named(shop: Premises) -> None:
    body = problem(shop.admin.call("POST", "cohorts", {"name": "", "definition": [], "colour": "red"}), 422)

    assert {error["field"] for error in body["errors"]} == {"name", "definition", "colour"}
    assert body["detail"].startswith("3 inputs cannot be accepted")
    colour = next(error for error in body["errors"] if error["field"] == "colour")
    assert colour["message"] == "There is no such field."


def test_a_missing_field_is_named(shop: Premises) -> None:
    body = problem(shop.admin.call("POST", "cohorts", {}), 422)

    assert body["errors"] == [
        {"field": "name", "message": "This field is required."},
        {"field": "definition", "message": "This field is required."},
    ]


def test_a_definition_says_what_is_wrong_with_it(shop: Premises) -> None:
    definition = {"groups": [{"conditions": [{"kind": "property", "property": "plan", "type": "colour"}]}]}

    body = problem(shop.admin.call("POST", "cohorts", {"name": "New", "definition": definition}), 422)

    assert body["errors"][0]["field"].startswith("definition.groups")


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("cohorts?limit=0", "limit"),
        ("cohorts?limit=1001", "limit"),
        ("cohorts?limit=ten", "limit"),
        ("cohorts?cursor=guess", "cursor"),
        ("cohorts?cursor=", "cursor"),
        ("runs?sync_id=one", "sync_id"),
    ],
)
def test_a_wrong_query_is_a_problem(shop: Premises, path: str, field: str) -> None:
    assert problem(shop.admin.call("GET", path), 422)["errors"][0]["field"] == field


def test_null_is_no_way_to_leave_a_field_as_it_is(shop: Premises) -> None:
    body = problem(shop.admin.call("PATCH", f"cohorts/{shop.cohort.pk}", {"name": None}), 422)

    assert body["errors"][0]["field"] == "name"


def test_a_body_that_is_too_large_is_a_problem(shop: Premises, settings: Settings) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 100

    problem(shop.admin.call("POST", "cohorts", {"name": "n" * 200, "definition": {}}), 413)


def test_a_failure_of_ours_is_a_problem_without_its_reason(shop: Premises, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(cohorts, "visible_cohorts", fail)
    shop.admin.raise_request_exception = False

    answer = shop.admin.call("GET", "cohorts")

    problem(answer, 500)
    assert b"secret detail" not in answer.content


def test_a_failure_of_ours_is_reported_as_django_reports_it(shop: Premises, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(cohorts, "visible_cohorts", fail)

    with pytest.raises(RuntimeError):
        shop.admin.call("GET", "cohorts")
