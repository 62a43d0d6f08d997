"""Holds every exchange with the sandbox against OneSignal's own OpenAPI document (a part of it, in `tests/`)."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from referencing import Registry
from referencing.jsonschema import DRAFT202012


def _load() -> dict[str, Any]:
    """Read the document, with one mistake of it mended.

    A request's operator entry requires nothing there, so that every filter is an operator too and their `oneOf` would
    refuse all filters.
    """
    document: dict[str, Any] = json.loads((Path(__file__).parent.parent / "onesignal-openapi.json").read_text())
    for path, method in (("/apps/{app_id}/segments", "post"), ("/apps/{app_id}/segments/{segment_id}", "patch")):
        body = document["paths"][path][method]["requestBody"]["content"]["application/json"]["schema"]
        for entry in body["properties"]["filters"]["items"]["oneOf"]:
            if entry["title"] == "Operator":
                entry["required"] = ["operator"]
    return document


DOCUMENT = _load()
_NAME = "onesignal"
_REGISTRY: Registry[Any] = Registry().with_resource(_NAME, DRAFT202012.create_resource(DOCUMENT))

_SEGMENTS = "/apps/{app_id}/segments"
_SEGMENT = "/apps/{app_id}/segments/{segment_id}"
_USER = "/apps/{app_id}/users/by/{alias_label}/{alias_id}"
_SUBSCRIPTION = "/apps/{app_id}/subscriptions/{subscription_id}"

# Answers that the document does not list, each with where they come from.
DEVIATIONS = {
    ("PATCH", _USER, 404): "the Android SDK handles it as a missing user; the document has no 404 here",
    ("POST", "/apps/{app_id}/users", 404): "ours: an app or onesignal_id that does not exist",
    ("POST", f"{_USER}/subscriptions", 409): "subscription-1 of field reports: too many subscriptions",
    ("PATCH", _SUBSCRIPTION, 404): "subscription-0, as the delete of a subscription has it",
    ("PATCH", f"{_SUBSCRIPTION}/user/identity", 404): "subscription-0, as the delete of a subscription has it",
    ("PATCH", f"{_SUBSCRIPTION}/owner", 409): "subscription-1 of field reports: too many subscriptions",
    ("POST", _SEGMENTS, 409): "the older documents and the SDKs' specification: this id exists",
    ("GET", _SEGMENTS, 403): "the SDKs' error catalog: the one refusal of every bad key",
    ("GET", _SEGMENTS, 400): "basic for a missing Authorization, as in the view of a segment; structured otherwise",
    ("GET", _SEGMENT, 403): "the SDKs' error catalog: the one refusal of every bad key",
    ("DELETE", _SEGMENT, 403): "the SDKs' specification: deleting needs a paid plan",
    ("POST", "/players/csv_export", 403): "the SDKs' error catalog: the one refusal of every bad key",
    ("GET", "/apps/{app_id}", 400): "basic for a missing Authorization, as in the view of a segment",
}


def check_exchange(method: str, path: str, sent: object, status: int, answered: object) -> None:
    """Fail unless the document allows this request (when it was accepted) and this answer."""
    pattern = _pattern(path.partition("?")[0])
    if pattern is None:
        return
    operation = DOCUMENT["paths"][pattern][method.lower()]
    where = f"#/paths/{_pointer(pattern)}/{method.lower()}"
    if 200 <= status < 300 and sent is not None:
        _validate(f"{where}/requestBody/content/application~1json/schema", sent)
    if (method, pattern, status) in DEVIATIONS:
        return
    assert str(status) in operation["responses"], f"{method} {pattern} answered {status}, which is not documented"
    _validate(f"{where}/responses/{status}/content/application~1json/schema", answered)


def _validate(pointer: str, value: object) -> None:
    Draft202012Validator({"$ref": f"{_NAME}{pointer}"}, registry=_REGISTRY).validate(value)


def _pointer(pattern: str) -> str:
    return pattern.replace("~", "~0").replace("/", "~1").replace("{", "%7B").replace("}", "%7D")


def _pattern(path: str) -> str | None:
    path = path.removeprefix("/api/v1")
    for pattern in DOCUMENT["paths"]:
        if re.fullmatch(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(pattern)), path):
            return str(pattern)
    return None
