"""Sending events of any age to `/import`: who may, strict and lenient answers, and partial failure."""

from __future__ import annotations

import base64
import datetime as dt
import gzip
import time
from typing import Any
from urllib.parse import urlencode

import orjson
import pytest
from django.test import Client
from django.utils import timezone

from cohorts.models import Project
from tests.cast import make_project
from tests.ingest.wire import account_of, basic, event, refused, send, stored

UNAUTHORIZED = (401, b'{"code":401,"error":"Invalid credentials","status":"Unauthorized"}')
FORM = "application/x-www-form-urlencoded"


def valid(project: Project, **properties: Any) -> dict[str, Any]:
    """An event that strict mode takes."""
    return event(project, **{"time": 1_000_000_000, "insert_id": "id-1", **properties})


@pytest.mark.parametrize("path", ["/import", "/import/"])
def test_an_event_of_any_age_is_stored(client: Client, shop: Project, importer: dict[str, str], path: str) -> None:
    assert send(client, path, [valid(shop, time=31_536_000)], **importer) == (200, b"1")
    assert stored(shop)[0].occurred_at == dt.datetime(1971, 1, 1, tzinfo=dt.UTC)


def test_strict_answers_are_mixpanels_to_the_byte(client: Client, shop: Project, importer: dict[str, str]) -> None:
    good = valid(shop)
    assert send(client, "/import?strict=1", [good], **importer) == (
        200,
        b'{"code":200,"num_records_imported":1,"status":"OK"}',
    )
    assert send(client, "/import?strict=1&verbose=1", [good], **importer) == (
        200,
        b'{"code":200,"num_records_imported":1,"status":1}',
    )
    late = valid(shop, time=time.time() + 7200, insert_id="id-2")
    assert send(client, "/import?strict=1", [late, good], **importer) == (
        400,
        b'{"code":400,"error":"some data points in the request failed validation","failed_records":[{"index":0,'
        b'"insert_id":"id-2","$insert_id":"id-2","field":"properties.time",'
        b'"message":"\'properties.time\' is invalid: must not be in the future"}],'
        b'"num_records_imported":1,"status":"Bad Request"}',
    )


def test_lenient_answers_are_mixpanels_to_the_byte(client: Client, shop: Project, importer: dict[str, str]) -> None:
    good, bad = valid(shop), {"event": ""}
    assert send(client, "/import", [good, bad], **importer) == (200, b"1")
    assert send(client, "/import?verbose=1", [good, bad], **importer) == (200, b'{"error":null,"status":1}')
    assert send(client, "/import", [bad], **importer) == (200, b"0")
    assert send(client, "/import?verbose=1", [bad], **importer) == (
        200,
        b'{"error":"\'event\' must not be missing or blank","status":0}',
    )


def test_the_valid_events_of_a_refused_batch_are_stored(
    client: Client, shop: Project, importer: dict[str, str]
) -> None:
    batch = [valid(shop, insert_id=f"id-{number}", **({"time": "never"} if number % 3 else {})) for number in range(30)]
    status, answer = send(client, "/import?strict=1", batch, **importer)
    assert status == 400
    body = orjson.loads(answer)
    assert body["num_records_imported"] == 10
    assert [record["index"] for record in body["failed_records"]] == [n for n in range(30) if n % 3]
    assert len(stored(shop)) == 10
    assert refused(shop) == {"The time is missing or is no time": 20}


MISSING = object()


@pytest.mark.parametrize(
    ("change", "field", "message"),
    [
        ({"event": MISSING}, "event", "'event' must not be missing or blank"),
        ({"event": "  "}, "event", "'event' must not be missing or blank"),
        ({"event": 5}, "event", "'event' must not be missing or blank"),
        ({"properties": "x"}, "properties", "'properties' is invalid: must be a JSON object"),
        (
            {"distinct_id": MISSING},
            "properties.distinct_id",
            "'properties.distinct_id' is invalid: must not be missing",
        ),
        ({"distinct_id": "null"}, "properties.distinct_id", "'properties.distinct_id' is invalid: must name somebody"),
        (
            {"time": MISSING},
            "properties.time",
            "'properties.time' is invalid: must be specified as seconds since epoch",
        ),
        ({"time": 1}, "properties.time", "'properties.time' is invalid: must be specified as seconds since epoch"),
        ({"$insert_id": MISSING}, "$insert_id", "'$insert_id' is invalid: must not be missing or empty"),
        (
            {"$insert_id": "a_b"},
            "$insert_id",
            "'$insert_id' is invalid: must only contain alphanumeric or hyphen '-' characters",
        ),
        ({"$insert_id": "a" * 37}, "$insert_id", "'$insert_id' is invalid: must be at most 36 characters"),
        ({"$insert_id": "undefined"}, "$insert_id", "'$insert_id' is invalid: undefined is no identifier"),
        (
            {"deep": {"b": {"c": {"d": {}}}}},
            "properties.deep",
            "'properties.deep' is invalid: must be nested at most 3 levels deep",
        ),
        ({"long": [0] * 256}, "properties.long", "'properties.long' is invalid: must have at most 255 values"),
        (
            {"wide": {str(n): n for n in range(256)}},
            "properties.wide",
            "'properties.wide' is invalid: must have at most 255 keys",
        ),
        (
            {"big": ["x" * 200] * 50},
            "properties.big",
            "'properties.big' is invalid: must be at most 8192 bytes as JSON",
        ),
        (
            {str(n): n for n in range(256)},
            "properties",
            "'properties' is invalid: must have at most 255 properties",
        ),
    ],
)
def test_strict_mode_names_the_field(
    client: Client, shop: Project, importer: dict[str, str], change: dict[str, Any], field: str, message: str
) -> None:
    record = valid(shop)
    for name, value in change.items():
        place = record if name in {"event", "properties"} else record["properties"]
        if value is MISSING:
            del place[name]
        else:
            place[name] = value
    status, answer = send(client, "/import?strict=1", [record], **importer)
    assert status == 400
    (failure,) = orjson.loads(answer)["failed_records"]
    assert (failure["index"], failure["field"], failure["message"]) == (0, field, message)
    assert not stored(shop)


@pytest.mark.parametrize(
    "change",
    [
        {"distinct_id": "null"},
        {"time": None},
        {"insert_id": "a_b"},
        {"insert_id": "undefined"},
        {"deep": {"b": {"c": {"d": {"e": 1}}}}},
        {"long": [0] * 300},
        {str(n): n for n in range(300)},
    ],
)
def test_lenient_mode_keeps_what_only_strict_mode_refuses(
    client: Client, shop: Project, importer: dict[str, str], change: dict[str, Any]
) -> None:
    assert send(client, "/import", [valid(shop, **change)], **importer) == (200, b"1")
    assert len(stored(shop)) == 1


def test_255_properties_are_not_too_many(client: Client, shop: Project, importer: dict[str, str]) -> None:
    record = valid(shop, **{str(n): n for n in range(255)})
    assert send(client, "/import?strict=1", [record], **importer)[0] == 200


def test_a_time_up_to_an_hour_ahead_counts_as_now(client: Client, shop: Project, importer: dict[str, str]) -> None:
    assert send(client, "/import?strict=1", [valid(shop, time=time.time() + 3500)], **importer)[0] == 200
    (row,) = stored(shop)
    assert row.occurred_at == row.received_at


def test_lines_of_json_and_gzip_are_taken(client: Client, shop: Project, importer: dict[str, str]) -> None:
    lines = b"\n".join(orjson.dumps(valid(shop, insert_id=str(number))) for number in range(1, 8))
    response = client.post(
        "/import?strict=1",
        gzip.compress(lines),
        content_type="application/x-ndjson",
        headers={"Content-Encoding": "gzip", "Authorization": importer["HTTP_AUTHORIZATION"]},
    )
    assert response.json()["num_records_imported"] == 7


def test_python_form_is_taken_with_parameters_in_the_body(
    client: Client, shop: Project, importer: dict[str, str]
) -> None:
    body = urlencode({"data": orjson.dumps([valid(shop)]).decode(), "verbose": 1, "ip": 0})
    response = client.post(
        f"/import?project_id={shop.pk}",
        body,
        content_type=FORM,
        headers={"Authorization": importer["HTTP_AUTHORIZATION"]},
    )
    assert response.content == b'{"error":null,"status":1}'


def test_a_body_over_the_limit_is_refused_with_the_limit(
    client: Client, shop: Project, importer: dict[str, str], settings: Any
) -> None:
    settings.INGEST_MAX_BODY_BYTES = 1000
    expected = (
        413,
        b'{"code":413,"error":"request exceeds max limit of 1000 bytes","status":"Request Entity Too Large"}',
    )
    assert send(client, "/import", b"[" + b" " * 1000 + b"]", **importer) == expected
    packed = gzip.compress(b"[" + b" " * 100_000 + b"]")
    assert send(client, "/import", packed, headers={"Content-Encoding": "gzip"}, **importer) == expected


def test_too_many_events_are_refused(client: Client, shop: Project, importer: dict[str, str]) -> None:
    status, answer = send(client, "/import?strict=1", [valid(shop)] * 2001, **importer)
    assert status == 413
    assert b"2000 records" in answer
    assert not stored(shop)


def test_an_undecodable_body_is_a_bad_request(client: Client, shop: Project, importer: dict[str, str]) -> None:
    assert send(client, "/import", b"rubbish", **importer) == (
        400,
        b'{"code":400,"error":"data, missing or empty","status":"Bad Request"}',
    )


@pytest.mark.parametrize("strict", [0, 1])
def test_verbs_of_original_id_merge_refuse_the_batch_in_a_simplified_project(
    client: Client, simple_shop: Project, strict: int
) -> None:
    batch = [valid(simple_shop), valid(simple_shop, name="$identify")]
    status, answer = send(client, f"/import?strict={strict}", batch, **account_of(simple_shop))
    assert status == 400
    assert orjson.loads(answer)["failed_records"] == [
        "identity events are not allowed when project is using simplified identity management"
    ]
    assert not stored(simple_shop)


def test_a_service_account_imports_with_or_without_its_project_id(
    client: Client, shop: Project, importer: dict[str, str]
) -> None:
    for query in ("", f"?project_id={shop.pk}"):
        assert send(client, f"/import{query}", [valid(shop)], **importer) == (200, b"1")


def test_a_project_token_imports(client: Client, shop: Project) -> None:
    assert send(client, "/import", [valid(shop)], **basic(shop.token)) == (200, b"1")


def test_the_credentials_decide_the_project_not_the_token_in_the_payload(
    client: Client, shop: Project, importer: dict[str, str]
) -> None:
    rival = make_project("Rival")
    assert send(client, "/import", [valid(rival)], **importer) == (200, b"1")
    assert not stored(rival)
    assert len(stored(shop)) == 1


def test_wrong_credentials_store_nothing(client: Client, shop: Project, importer: dict[str, str]) -> None:
    rival = make_project("Rival")
    expired = account_of(shop, expires_at=timezone.now() - dt.timedelta(seconds=1))
    username = "importer-0-" + str(shop.pk)
    for headers in (
        {},
        basic(username, "wrong"),
        basic("nobody", "wrong"),
        basic("0" * 32),
        basic(""),
        basic("no\0body", "x"),
        expired,
        {"HTTP_AUTHORIZATION": "Basic ???"},
        {"HTTP_AUTHORIZATION": "Basic /w=="},
        {"HTTP_AUTHORIZATION": "Basic"},
    ):
        assert send(client, "/import", [valid(shop)], **headers) == UNAUTHORIZED
    for project_id in (rival.pk, "x", -1):
        assert send(client, f"/import?project_id={project_id}", [valid(shop)], **importer) == UNAUTHORIZED
    assert not stored(shop)
    assert not stored(rival)


def test_an_oauth_token_is_refused_in_words(client: Client, shop: Project) -> None:
    status, answer = send(client, "/import", [valid(shop)], HTTP_AUTHORIZATION="Bearer abc")
    body = orjson.loads(answer)
    assert (status, body["code"], body["status"]) == (401, 401, "Unauthorized")
    assert body["error"].startswith("Invalid credentials: this server takes no OAuth tokens")
    assert not stored(shop)


def test_the_old_api_key_is_the_project_token_in_query_or_body(client: Client, shop: Project) -> None:
    # Node's option `key`, which sends a single event by GET, and the Python SDK's old signature.
    by_get = {
        "data": base64.b64encode(orjson.dumps(valid(shop))).decode(),
        "ip": 0,
        "verbose": 0,
        "api_key": shop.token,
    }
    assert client.get("/import?" + urlencode(by_get)).content == b"1"
    by_form = {"data": orjson.dumps(valid(shop, insert_id="id-2")).decode(), "verbose": 1, "api_key": shop.token}
    response = client.post("/import", urlencode(by_form), content_type=FORM)
    assert response.content == b'{"error":null,"status":1}'
    assert len(stored(shop)) == 2
    for wrong in ("", "0" * 32, "\0"):
        assert client.get("/import?" + urlencode({**by_get, "api_key": wrong})).status_code == 401
    # What is in the header counts.
    rival = basic("0" * 32)
    assert client.get("/import?" + urlencode(by_get), **rival).status_code == 401  # type: ignore[arg-type]


def test_node_imports_one_event_by_get_with_a_service_account(
    client: Client, shop: Project, importer: dict[str, str]
) -> None:
    data = base64.b64encode(orjson.dumps(valid(shop))).decode()
    query = urlencode({"ip": 0, "verbose": 1, "project_id": shop.pk, "data": data})
    response = client.get(f"/import/?{query}", headers={"Authorization": importer["HTTP_AUTHORIZATION"]})
    assert response.content == b'{"error":null,"status":1}'
    assert len(stored(shop)) == 1


def test_an_imported_event_is_marked_and_a_replay_changes_nothing(
    client: Client, shop: Project, importer: dict[str, str]
) -> None:
    send(client, "/import", [valid(shop, amount=1)], **importer)
    (first,) = stored(shop)
    assert first.properties == {"amount": 1, "$import": True}
    send(client, "/import", [valid(shop, amount=1)], **importer)
    (again,) = stored(shop)
    assert (again.content_hash, again.received_at) == (first.content_hash, first.received_at)


@pytest.mark.parametrize("role", ["analyst", "consumer"])
def test_a_low_role_may_not_import(client: Client, shop: Project, role: str) -> None:
    status, answer = send(client, "/import", [valid(shop)], **account_of(shop, role=role))
    assert status == 403
    assert f"the role of this account is {role}" in orjson.loads(answer)["error"]
    assert not stored(shop)
