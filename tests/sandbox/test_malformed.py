"""Whatever comes in, no answer is a 500 and the next request is answered."""

from __future__ import annotations

import http.client
import socket
from urllib.parse import urlsplit

import orjson
import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.sandbox.cast import App, user_path

BODIES = [
    b"",
    b"{",
    b"null",
    b"[]",
    b'"x"',
    b"\xff\xfe",
    b"{'a': 1}",
    b'{"properties":[]}',
    b'{"properties":{"tags":[]}}',
    b'{"properties":{"tags":null}}',
    b'{"properties":{"tags":{"a":"\\ud800"}}}',
    b'{"properties":{"tags":{"a":"\\u0000"}}}',
    b'{"deltas":7}',
    b'{"deltas":{"purchases":{}}}',
    b"[" * 100_000,
]


def send(app: App, method: str, raw_path: str, body: bytes = b"", **headers: str) -> tuple[int, bytes]:
    """Send a path as it stands: clients like requests tidy it up."""
    address = urlsplit(app.url)
    link = http.client.HTTPConnection(str(address.hostname), address.port, timeout=10)
    link.putrequest(method, raw_path, skip_accept_encoding=True)
    all_headers = {"Content-Length": str(len(body)), "Content-Type": "application/json", **headers}
    for name, value in all_headers.items():
        link.putheader(name, value)
    link.endheaders(body)
    answer = link.getresponse()
    content = answer.read()
    link.close()
    return answer.status, content


def as_answered(app: App, body: bytes) -> None:
    headers = {"Authorization": f"Key {app.api_key}"}
    for method, path in (
        ("PATCH", user_path("ann")),
        ("POST", "/users"),
        ("PATCH", f"{user_path('ann')}/identity"),
        ("POST", f"{user_path('ann')}/subscriptions"),
        ("POST", "/segments"),
    ):
        status, content = send(app, method, f"/apps/{app.app_id}{path}", body, **headers)
        assert status in (200, 202, 400, 404, 409), (path, body, content)
        orjson.loads(content)
    for method, path in (("PUT", "/faults"), ("POST", "/users"), ("PATCH", "/users/ann/tags"), ("PATCH", "")):
        status, content = send(app, method, f"/_control/apps/{app.app_id}{path}", body)
        assert status in (200, 400, 404), (path, body, content)


@pytest.mark.parametrize("body", BODIES, ids=lambda body: repr(body[:40]))
def test_a_body_that_is_none_is_malformed(app: App, body: bytes) -> None:
    app.add_users("ann")
    as_answered(app, body)
    status, _ = send(app, "PATCH", f"/apps/{app.app_id}{user_path('ann')}", body)
    assert status == 400
    assert app.tags("ann") == {}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 2**70) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
known_names = st.sampled_from(
    [
        *("properties", "tags", "identity", "subscriptions", "subscription", "deltas", "name", "filters", "id"),
        *("type", "token", "external_ids", "users", "rate", "share", "latency_ms", "plan", "field", "relation"),
    ]
)
bodies = st.recursive(
    st.dictionaries(known_names, json_values, max_size=3),
    lambda inner: st.dictionaries(known_names, inner | st.lists(inner, max_size=2), max_size=3),
    max_leaves=6,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=bodies)
def test_no_object_of_any_shape_brings_it_down(app: App, body: dict[str, object]) -> None:
    try:
        as_answered(app, orjson.dumps(body))
    except TypeError:  # a whole number that JSON libraries refuse to write
        return
    finally:
        app.control("PUT", "/faults", {})


@pytest.mark.parametrize(
    ("raw_path", "expected"),
    [
        ("/users/by/external_id/.", 400),
        ("/users/by/external_id/..", 400),
        ("/users/by/external_id/%2e%2e", 400),
        ("/users/by/external_id/", 400),
        ("/users/by/external_id/%00", 400),
        ("/users/by/external_id/%ff", 400),
        ("/users/by/external_id/%zz", 404),
        ("/users/by//x", 400),
        ("/users/by/x%2Fy/z", 404),
        ("/users/by/external_id/a/b", 404),
        ("/nothing", 404),
        ("/users/by/external_id", 404),
    ],
)
def test_a_strange_path_gets_a_plain_refusal(app: App, raw_path: str, expected: int) -> None:
    status, content = send(app, "GET", f"/apps/{app.app_id}{raw_path}")
    assert status == expected
    assert "errors" in orjson.loads(content)


def test_a_method_that_a_path_does_not_have_is_named(app: App) -> None:
    answer = requests.put(f"{app.url}/apps/{app.app_id}{user_path('ann')}", json={}, timeout=5)
    assert (answer.status_code, answer.headers["Allow"]) == (405, "DELETE, GET, PATCH")


def test_a_huge_body_is_refused_after_it_was_read(app: App) -> None:
    app.add_users("ann")
    status, _ = send(app, "PATCH", f"/apps/{app.app_id}{user_path('ann')}", b"x" * (11 * 1024 * 1024))
    assert status == 413
    assert app.patch("ann", {"a": "1"}).status_code == 202


def test_bytes_that_are_no_http_are_refused(app: App) -> None:
    with socket.create_connection(("127.0.0.1", int(app.url.rsplit(":", 1)[1])), timeout=5) as link:
        link.sendall(b"\x16\x03\x01 hello\r\n\r\n")
        assert link.recv(100).startswith(b"HTTP/1.1 400")
    assert app.call("GET", "/segments").status_code == 200
