"""Whatever bytes come, no route answers 5xx, and a good record among them is stored."""

from __future__ import annotations

import base64
import gzip
import json
from typing import Any
from urllib.parse import quote_from_bytes

import orjson
import pytest
from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cohorts.models import Event, GroupProfile, Person, Project, Refusal
from tests.ingest.wire import event, group_update, groups, refused, send, stored, update

MANY = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**64), 2**65),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=20),
    st.sampled_from(["", "\0", "null", "🙂", "\ud800", "x" * 300, "0", "K"]),
)
NAMES = st.one_of(
    st.text(max_size=8),
    st.sampled_from(
        [
            *("event", "properties", "token", "time", "distinct_id", "$insert_id", "$set", "$set_once", "$unset"),
            *(
                "$delete",
                "$token",
                "$distinct_id",
                "$time",
                "$ignore_time",
                "$ignore_alias",
                "$onesignal_user_id",
                "ip",
            ),
            *("$add", "$append", "$union", "$remove", "$group_key", "$group_id"),
        ]
    ),
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4), max_leaves=12
)
# Texts that Python writes and stricter readers refuse.
BROKEN = st.sampled_from(
    [
        b"NaN",
        b'{"a":Infinity}',
        b'{"a":"\\ud800"}',
        b"[" * 3000,
        b"9" * 5000,
        b'{"a":1e999}',
        b'{"a":"\xff"}',
        b"{]",
        b"'",
    ]
)


def as_json(value: Any) -> bytes:
    return json.dumps(value).encode("utf-8", "replace")


@MANY
@given(
    path=st.sampled_from(["/track", "/import", "/engage", "/groups"]),
    query=st.sampled_from(
        [
            *("", "?strict=1", "?verbose=1", "?strict=1&verbose=1&ip=1", "?data=%ff&project_id=x"),
            *("?img=1", "?callback=f", "?callback=%ff(", "?api_key=%00", "?data=" + "[" * 300),
        ]
    ),
    body=st.one_of(
        st.binary(max_size=200),
        VALUES.map(as_json),
        VALUES.map(as_json).map(base64.b64encode).map(b"data=".__add__),
        BROKEN,
        st.binary(max_size=50).map(gzip.compress),
        VALUES.map(as_json).map(gzip.compress),
    ),
    encoding=st.sampled_from(["", "gzip", "br"]),
    origin=st.sampled_from(["https://shop.example", "null", "\xff", "a b", ""]),
)
def test_no_bytes_cause_a_server_error(
    client: Client, importer: dict[str, str], path: str, query: str, body: bytes, encoding: str, origin: str
) -> None:
    headers = {"Content-Encoding": encoding, "Origin": origin}
    status, _ = send(client, path + query, body, headers=headers, **importer)
    assert status < 500


@MANY
@given(
    path=st.sampled_from(["/track", "/import/", "/engage", "/groups"]),
    data=st.one_of(
        st.binary(max_size=100),
        VALUES.map(as_json),
        VALUES.map(as_json).map(base64.b64encode),
        BROKEN.map(lambda text: text[:3000]),
    ),
)
def test_no_query_causes_a_server_error(client: Client, importer: dict[str, str], path: str, data: bytes) -> None:
    for query in (quote_from_bytes(data), data.decode("latin-1")):
        response = client.generic("GET", path, QUERY_STRING=f"verbose=1&data={query}", **importer)  # type: ignore[arg-type]
        assert response.status_code < 500


@MANY
@given(properties=VALUES, envelope=st.dictionaries(NAMES, VALUES, max_size=4), data=st.data())
def test_no_neighbour_loses_a_good_event(
    client: Client, shop: Project, importer: dict[str, str], properties: Any, envelope: dict[str, Any], data: Any
) -> None:
    Event.objects.filter(project=shop).delete()
    good = as_json(event(shop, name="Good", time=1_000_000_000, insert_id="good"))
    neighbours = [as_json(event(shop, p=properties)), as_json({**event(shop), **envelope})]
    if data.draw(st.booleans()):
        neighbours.append(data.draw(BROKEN.filter(lambda text: text not in {b"[" * 3000, b"{]", b"'"})))
    body = b"[" + b",".join([*neighbours, good, *neighbours]) + b"]"
    query = data.draw(st.sampled_from(["", "?strict=1", "?verbose=1"]))
    assert send(client, f"/import{query}", body, **importer)[0] in {200, 400}
    assert [row.name for row in stored(shop) if row.name == "Good"] == ["Good"]


@MANY
@given(operations=st.dictionaries(NAMES, VALUES, max_size=5), broken=BROKEN)
def test_no_neighbour_loses_a_good_update(
    client: Client, shop: Project, operations: dict[str, Any], broken: bytes
) -> None:
    Person.objects.filter(project=shop).delete()
    neighbour = as_json({**update(shop, "neighbour"), **operations})
    good = as_json(update(shop, "good", set={"a": 1}))
    is_lines = broken.startswith(b"{")
    body = b"\n".join([neighbour, broken, good]) if is_lines else b"[" + b",".join([neighbour, good]) + b"]"
    assert send(client, "/engage", body)[0] == 200
    assert Person.objects.get(project=shop, distinct_id="good").properties == {"a": 1}


@MANY
@given(operations=st.dictionaries(NAMES, VALUES, max_size=5), broken=BROKEN)
def test_no_neighbour_loses_a_good_update_of_a_group(
    client: Client, shop: Project, operations: dict[str, Any], broken: bytes
) -> None:
    GroupProfile.objects.filter(project=shop).delete()
    neighbour = as_json({**group_update(shop, "neighbour"), **operations})
    good = as_json(group_update(shop, "good", set={"a": 1}))
    is_lines = broken.startswith(b"{")
    body = b"\n".join([neighbour, broken, good]) if is_lines else b"[" + b",".join([neighbour, good]) + b"]"
    assert send(client, "/groups", body)[0] == 200
    assert groups(shop)["company", "good"] == {"a": 1}


OPERATIONS = st.fixed_dictionaries(
    {},
    optional={
        "$set": st.dictionaries(st.sampled_from("abc"), VALUES, max_size=3),
        "$add": st.dictionaries(st.sampled_from("abc"), st.integers(-(2**64), 2**65) | st.floats(), max_size=3),
        "$append": st.dictionaries(st.sampled_from("abc"), VALUES, max_size=3),
        "$union": st.dictionaries(st.sampled_from("abc"), st.lists(VALUES, max_size=3), max_size=3),
        "$remove": st.dictionaries(st.sampled_from("abc"), SCALARS, max_size=3),
    },
)


@MANY
@given(history=st.lists(OPERATIONS, min_size=1, max_size=6))
def test_no_operation_loses_its_neighbours(client: Client, shop: Project, history: list[dict[str, Any]]) -> None:
    Person.objects.filter(project=shop).delete()
    # Each record alone decides whether it is valid JSON; what is not is refused alone.
    records = [as_json({**update(shop, "ann"), **operations}) for operations in history]
    good = [as_json(update(shop, each, set={"a": 1})) for each in ("good", "ann")]
    assert send(client, "/engage", b"[" + b",".join([*records, *good]) + b"]")[0] == 200
    assert Person.objects.get(project=shop, distinct_id="good").properties == {"a": 1}
    assert Person.objects.get(project=shop, distinct_id="ann").properties["a"] == 1


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (b'"v": NaN', "The record is not valid JSON"),
        (b'"v": -Infinity', "The record is not valid JSON"),
        (b'"v": 1e400', "The record is not valid JSON"),
        (b'"v": ' + b"1" * 400, "The record is not valid JSON"),
        (b'"v": "\\udfff"', "A string is not valid Unicode"),
        (b'"v": "\xff\xfe"', "A string is not valid Unicode"),
        (b'"v": ' + b"[" * 100_000 + b"]" * 100_000, "The record is not valid JSON"),
        (b'"v": ' + b"[" * 200 + b"]" * 200, "A value is nested too deeply"),
        (b'"v": ' + orjson.dumps(["x" * 250] * 40), "A list or an object is too large"),
        (b'"v": "' + b"x" * 1_100_000 + b'"', "The record is too large"),
    ],
)
def test_what_cannot_be_stored_is_refused_with_its_reason(
    client: Client, shop: Project, broken: bytes, reason: str
) -> None:
    bad = b'{"event":"Bad","properties":{"token":"%s",%s}}' % (shop.token.encode(), broken)
    good = orjson.dumps(event(shop, name="Good"))
    assert send(client, "/track", b"[" + good + b"," + bad + b"," + good + b"]") == (200, b"1")
    assert [row.name for row in stored(shop)] == ["Good", "Good"]
    assert refused(shop) == {reason: 1}
    assert send(client, "/track", bad) == (200, b"0")


def test_refusals_are_counted_and_their_samples_are_few_and_short(client: Client, shop: Project) -> None:
    for _ in range(3):
        send(client, "/track", [event(shop, name="", text="x\0" * 2000)] * 15)
    row = Refusal.objects.get(project=shop)
    assert (row.count, row.endpoint, row.reason) == (45, "/track", "The event has no name")
    assert len(row.samples) == 20
    assert all(len(sample["record"]) <= 500 and sample["message"] for sample in row.samples)
