"""The API described: OpenAPI 3.1 for programs and one plain page for people, both from the routes themselves."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from functools import cache
from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render

from cohorts.definition import Definition
from cohortsync.api.api import api
from cohortsync.api.problems import CONTENT_TYPE

PROBLEM_SCHEMA = {
    "title": "Problem",
    "description": "RFC 9457. `errors` names the inputs that cannot be accepted.",
    "type": "object",
    "required": ["type", "title", "status", "detail", "errors"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["field", "message"],
                "properties": {"field": {"type": "string"}, "message": {"type": "string"}},
            },
        },
    },
}
# Every call is below a project; access reads it from the path, so no route names it.
_PROJECT = {
    "in": "path",
    "name": "project_id",
    "required": True,
    "schema": {"type": "integer"},
    "description": "The project, as `bootstrap` prints it.",
}
_ALWAYS = {
    "401": "The credentials are missing, wrong or expired.",
    "403": "The role is too low, or the CSRF token of a session is missing.",
    "404": "Unknown, or another project's.",
    "422": "An input cannot be accepted.",
    "429": "Too many requests; Retry-After says how long to wait.",
}
_ON_WORKING = {
    "409": "The present state forbids it.",
    "503": "The destination cannot be reached, or it took too long; Retry-After says when to try again.",
}


@cache
def openapi() -> Mapping[str, Any]:
    """Return the OpenAPI 3.1 document, with the problems every call can answer."""
    document: dict[str, Any] = copy.deepcopy(dict(api.get_openapi_schema()))
    schemas = document["components"]["schemas"]
    schemas["Problem"] = PROBLEM_SCHEMA
    schemas |= _definition_schemas()
    # The API hands a definition on as it came; what can be in it is known to the definition alone.
    for body in ("CohortIn", "CohortPatch"):
        schemas[body]["properties"]["definition"] = {"$ref": "#/components/schemas/Definition"}
    content = {CONTENT_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            operation["parameters"].insert(0, _PROJECT)
            is_working = method != "get" or path.endswith("/members")
            texts = _ALWAYS | _ON_WORKING if is_working else _ALWAYS
            answers = {str(status): answer for status, answer in operation["responses"].items()}
            answers |= {status: {"description": text, "content": content} for status, text in texts.items()}
            operation["responses"] = dict(sorted(answers.items()))
    members = document["paths"]["/api/v1/projects/{project_id}/runs/{run_id}/members.csv"]["get"]
    members["responses"]["200"]["content"] = {"text/csv": {"schema": {"type": "string"}}}
    # Same host as this document; an empty list would be refused by some readers.
    document["servers"] = [{"url": "/"}]
    return document


def _definition_schemas() -> dict[str, Any]:
    """Return the schemas of a cohort definition and its parts by name."""
    definition = Definition.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas: dict[str, Any] = definition.pop("$defs") | {"Definition": definition}
    for name in ("Group", "Filters"):
        # A condition on an object may be one of several types; which one, its operator and values say.
        conditions = schemas[name]["properties"]["conditions"]["items"]
        conditions["anyOf"] = conditions.pop("oneOf")
    # Pydantic writes a Decimal as a text.
    schemas["EventCondition"]["properties"]["value"]["default"] = 1
    return schemas


@login_not_required
def openapi_json(_: HttpRequest) -> HttpResponse:
    """Answer the OpenAPI document."""
    return JsonResponse(openapi())


@login_not_required
def page(request: HttpRequest) -> HttpResponse:
    """Answer the page for people."""
    document = openapi()
    calls = [
        {
            "method": method.upper(),
            "path": path,
            "summary": operation["summary"],
            "description": operation.get("description", ""),
            "parameters": operation["parameters"],
            "fields": _fields(document, operation.get("requestBody", {})),
            "answers": [
                {"status": status, "description": answer["description"], "fields": _fields(document, answer)}
                for status, answer in operation["responses"].items()
                if status.startswith("2")
            ],
            "problems": [status for status in operation["responses"] if not status.startswith("2")],
        }
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    return render(request, "api/docs.html", {"document": document, "calls": calls})


def _fields(document: Mapping[str, Any], holder: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return the fields of a JSON body: name, type in words, meaning."""
    schema = holder.get("content", {}).get("application/json", {}).get("schema")
    if schema is None:
        return []
    schema = _resolved(document, schema)
    required = schema.get("required", [])
    return [
        {
            "name": name,
            "type": _words(document, field) + ("" if name in required else ", optional"),
            "description": field.get("description", ""),
        }
        for name, field in schema.get("properties", {}).items()
    ]


def _resolved(document: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the object schema behind a reference or an `anyOf` with null."""
    for choice in schema.get("anyOf", []):
        if "$ref" in choice:
            schema = choice
    if "$ref" in schema:
        found: Mapping[str, Any] = document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[-1]]
        return found
    return schema


def _words(document: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    """Return a schema's type in words, such as `integer or null` or `list of MemberOut`."""
    if "anyOf" in schema:
        return " or ".join(_words(document, choice) for choice in schema["anyOf"])
    if "$ref" in schema:
        return "{" + ", ".join(_resolved(document, schema).get("properties", {})) + "}"
    if "enum" in schema:
        return " or ".join(f'"{value}"' for value in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_words(document, schema['items'])}"
    if schema.get("format") == "date-time":
        return "time"
    return str(schema.get("type", "any"))
