"""The API described: an OpenAPI 3.1 document that holds, and a page that needs no other host."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client
from django.urls import Resolver404, resolve
from jsonschema import Draft202012Validator

from tests.api.conftest import Premises
from tests.api.test_who_may import CALLS, with_ids
from tests.cast import property_definition

METHODS = {"get", "post", "patch", "delete"}
OBJECT_DEFINITION = {
    "groups": [
        {"conditions": [{"kind": "property", "property": "address.city", "type": "object", "operator": "is_set"}]}
    ]
}
EVENT_DEFINITION = {
    "groups": [
        {
            "conditions": [
                {
                    "kind": "event",
                    "event": "Purchase",
                    "operator": "between",
                    "value": [1, 2.5],
                    "measure": {"type": "sum", "property": "dollars"},
                    "window": {"type": "fixed", "from": "1997-01-01", "to": "1997-12-31"},
                }
            ]
        }
    ]
}


@pytest.fixture
def document() -> Any:
    answer = Client().get("/api/v1/openapi.json")
    assert answer.headers["Content-Type"] == "application/json"
    return json.loads(answer.content)


def objects(value: object) -> Iterator[dict[str, Any]]:
    """Yield every JSON object below a value."""
    if isinstance(value, dict):
        yield value
        for item in value.values():
            yield from objects(item)
    elif isinstance(value, list):
        for item in value:
            yield from objects(item)


def test_the_document_is_complete(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    assert {"title", "version"} <= set(document["info"])
    operation_ids = []
    for path, methods in document["paths"].items():
        assert set(methods) <= METHODS
        for operation in methods.values():
            operation_ids.append(operation["operationId"])
            in_path = {item["name"] for item in operation["parameters"] if item["in"] == "path" and item["required"]}
            assert in_path == set(re.findall(r"{(\w+)}", path))
            assert any(status.startswith("2") for status in operation["responses"])
            assert all(answer["description"] for answer in operation["responses"].values())
            assert {"401", "403", "404", "422", "429"} <= set(operation["responses"])
            assert operation["security"] == [{"ServiceAccountLogin": []}, {"BrowserSession": []}]
            assert operation["description"]
    assert len(operation_ids) == len(set(operation_ids))
    assert set(document["components"]["securitySchemes"]) == {"ServiceAccountLogin", "BrowserSession"}


def test_every_schema_is_a_json_schema_and_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    for schema in [found["schema"] for found in objects(document) if isinstance(found.get("schema"), dict)]:
        Draft202012Validator.check_schema(schema)
    for schema in document["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
    for found in objects(document):
        if isinstance(reference := found.get("$ref"), str):
            place: Any = document
            for part in reference.removeprefix("#/").split("/"):
                place = place[part]


@pytest.mark.parametrize("definition", [property_definition(), OBJECT_DEFINITION, EVENT_DEFINITION])
def test_a_definition_that_is_accepted_is_as_documented(
    shop: Premises, document: dict[str, Any], definition: dict[str, Any]
) -> None:
    schema = {"$ref": "#/components/schemas/CohortIn", "components": document["components"]}
    body = {"name": "New", "definition": definition}

    Draft202012Validator(schema).validate(body)
    assert shop.admin.call("POST", "cohorts", body).status_code == 201
    definition["groups"][0]["conditions"][0]["kind"] = "wish"
    assert not Draft202012Validator(schema).is_valid(body)


def test_every_documented_path_resolves(document: dict[str, Any]) -> None:
    for path in document["paths"]:
        assert resolve(re.sub(r"{\w+}", "1", path)).url_name != "unknown"
    with pytest.raises(Resolver404):
        resolve("/api/v2/openapi.json")


def test_answers_are_as_documented(shop: Premises, document: dict[str, Any]) -> None:
    for method, path, body, _ in CALLS:
        if method == "DELETE" or path.endswith("members.csv"):
            continue
        filled, body = with_ids(shop, path, body)
        answer = shop.admin.call(method, filled, body)
        operation = document["paths"]["/api/v1/projects/{project_id}/" + path][method.lower()]
        content = operation["responses"][str(answer.status_code)]["content"]
        schema = content[answer.headers["Content-Type"].split(";")[0]]["schema"]
        Draft202012Validator({**schema, "components": document["components"]}).validate(answer.json())


def test_the_page_names_every_call_and_loads_nothing_from_elsewhere(document: dict[str, Any]) -> None:
    answer = Client().get("/api/v1/docs")

    html = answer.content.decode()
    assert answer.headers["Content-Type"].startswith("text/html")
    for path in document["paths"]:
        assert path in html
    assert "max_requests_per_second" in html
    assert re.findall(r"(?:src|href)=\"(?!/|#)", html) == []
    assert "<script" not in html
