"""Sending from a web page: other origins, images, scripts, and the methods a server is asked by."""

from __future__ import annotations

import base64
import gzip
from typing import Any
from urllib.parse import quote, urlencode

import orjson
import pytest
from django.test import Client

from cohorts.models import Project
from tests.ingest.wire import event, groups, profile, send, stored, update

PATHS = [f"/{name}{slash}" for name in ("track", "import", "engage", "groups") for slash in ("", "/")]
ORIGIN = "https://shop.example"


@pytest.mark.parametrize("path", PATHS)
def test_a_browser_may_ask_first(client: Client, path: str) -> None:
    response = client.options(
        path, headers={"Origin": ORIGIN, "Access-Control-Request-Headers": "content-encoding,authorization"}
    )
    assert (response.status_code, response.content) == (204, b"")
    assert response["Access-Control-Allow-Origin"] == ORIGIN
    assert response["Access-Control-Allow-Credentials"] == "true"
    assert response["Access-Control-Allow-Methods"] == "GET, POST, OPTIONS"
    assert response["Access-Control-Allow-Headers"] == "Content-Type, Authorization, Content-Encoding"
    assert "Origin" in response["Vary"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "HEAD"])
def test_every_answer_names_the_origin_refusals_too(client: Client, shop: Project, path: str, method: str) -> None:
    response = client.generic(method, path, b"rubbish", headers={"Origin": ORIGIN})
    assert response["Access-Control-Allow-Origin"] == ORIGIN
    assert response["Access-Control-Allow-Credentials"] == "true"
    assert "Origin" in response["Vary"]


def test_without_an_origin_nothing_is_allowed_to_any(client: Client, shop: Project) -> None:
    response = client.post("/track", orjson.dumps(event(shop)), content_type="application/json")
    assert "Access-Control-Allow-Origin" not in response
    assert "Origin" in response["Vary"]


def test_a_missed_limit_can_be_read_by_the_page(client: Client, shop: Project, settings: Any) -> None:
    settings.INGEST_MAX_BODY_BYTES = 10
    response = client.post(
        "/import", orjson.dumps(event(shop)), content_type="application/json", headers={"Origin": ORIGIN}
    )
    assert (response.status_code, response["Access-Control-Allow-Origin"]) == (413, ORIGIN)


@pytest.mark.parametrize("path", ["/track", "/track/"])
def test_a_get_with_the_data_in_the_query_is_taken(client: Client, shop: Project, path: str) -> None:
    response = client.get(path, {"data": base64.b64encode(orjson.dumps(event(shop))).decode(), "_": "1795435093500"})
    assert (response.content, response["Content-Type"], response["Cache-Control"]) == (b"1", "text/plain", "no-store")
    assert len(stored(shop)) == 1


def test_the_recorded_get_of_node_is_taken(client: Client, shop: Project) -> None:
    record = {
        "event": "E",
        "properties": {
            "distinct_id": "u1",
            "s": ">>>???~~~",
            "token": shop.token,
            "mp_lib": "node",
            "$lib_version": "0.24.0",
        },
    }
    query = "ip=0&verbose=0&data=" + quote(base64.b64encode(orjson.dumps(record)))
    assert "%2B" in query
    for sent in (query, query.replace("%2B", "+")):
        assert client.generic("GET", "/track", QUERY_STRING=sent).content == b"1"
    assert [row.properties["s"] for row in stored(shop)] == [">>>???~~~"] * 2


def test_a_long_query_is_taken(client: Client, shop: Project) -> None:
    query = urlencode({"data": orjson.dumps(event(shop, text="x" * 200, **{f"p{n}": "y" * 60 for n in range(60)}))})
    assert 5000 < len(query) < 8190
    assert client.get(f"/track?{query}").content == b"1"


def test_profiles_and_groups_are_taken_by_get_too(client: Client, shop: Project) -> None:
    def get(path: str, record: dict[str, Any]) -> bytes:
        return client.get(path, {"data": orjson.dumps(record).decode(), "verbose": "2"}).content

    answer = b'{"error":null,"num_good_events":1,"status":1}'
    assert get("/engage/", update(shop, add={"a": 1})) == answer
    group = {"$token": shop.token, "$group_key": "company", "$group_id": "acme", "$set": {"a": 1}}
    assert get("/groups", group) == answer
    assert profile(shop, "ann") == {"a": 1}
    assert groups(shop) == {("company", "acme"): {"a": 1}}


@pytest.mark.parametrize("data", ["", "rubbish", '{"event":""}'])
def test_a_pixel_is_an_image_whatever_became_of_the_data(client: Client, shop: Project, data: str) -> None:
    for sent in (data, orjson.dumps(event(shop)).decode()):
        response = client.get("/track", {"data": sent, "img": "1"})
        assert (response.status_code, response["Content-Type"]) == (200, "image/gif")
        assert response.content.startswith(b"GIF89a\x01\x00\x01\x00")
    assert len(stored(shop)) == 1


@pytest.mark.parametrize("function", ["f", "mixpanel._jsc[12345]", "$._x", "a.b.c"])
def test_a_script_calls_the_function_with_the_answer(client: Client, shop: Project, function: str) -> None:
    query: dict[str, str] = {"data": orjson.dumps(event(shop)).decode(), "callback": function}
    response = client.get("/track", query)
    assert (response.content, response["Content-Type"]) == (f"{function}(1)".encode(), "text/javascript")
    assert response["X-Content-Type-Options"] == "nosniff"
    response = client.get("/track", {**query, "verbose": "1"})
    assert response.content == f'{function}({{"error":null,"status":1}})'.encode()
    response = client.get("/engage", {"data": "x", "callback": function})
    assert response.content == f"{function}(0)".encode()


@pytest.mark.parametrize(
    "function",
    ["alert(1);f", "f;", "f(", "a b", "f\n", "1f", "a[b]", "a['x']", "a.", ".a", "é", "<script>", "x" * 129, ""],
)
def test_nothing_but_a_function_name_gets_into_a_script(client: Client, shop: Project, function: str) -> None:
    response = client.get("/track", {"data": orjson.dumps(event(shop)).decode(), "callback": function})
    assert (response.content, response["Content-Type"]) == (b"1", "text/plain")


@pytest.mark.parametrize("path", PATHS)
def test_looking_at_a_route_stores_nothing(client: Client, shop: Project, path: str) -> None:
    query = urlencode({"data": orjson.dumps(event(shop)).decode()})
    response = client.head(f"{path}?{query}")
    assert (response.status_code, response.content) == (200, b"")
    assert not stored(shop)


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "TRACE"])
def test_other_methods_are_refused_in_words(client: Client, shop: Project, method: str) -> None:
    response = client.generic(method, "/track", orjson.dumps(event(shop)))
    assert (response.status_code, response["Allow"]) == (405, "GET, HEAD, POST, OPTIONS")
    assert response.content == b"Send data by POST or GET."
    assert not stored(shop)


def test_a_beacon_and_its_repetition_are_one_event(client: Client, shop: Project) -> None:
    record = event(shop, time=1_795_435_093.5, insert_id="abcdefghijklmnop")
    body = urlencode({"data": base64.b64encode(orjson.dumps([record])).decode()}).encode()
    for content_type in ("text/plain;charset=UTF-8", "application/x-www-form-urlencoded"):
        response = client.post(
            "/track/?verbose=1&ip=1&_=1795435093500", body, content_type=content_type, headers={"Origin": ORIGIN}
        )
        assert response.content == b'{"error":null,"status":1}'
    assert len(stored(shop)) == 1


def test_a_gzipped_profile_update_is_taken(client: Client, shop: Project) -> None:
    body = gzip.compress(orjson.dumps([update(shop, set={"a": 1})]))
    assert send(client, "/engage/", body, headers={"Content-Encoding": "gzip"}) == (200, b"1")
    assert profile(shop, "ann") == {"a": 1}
