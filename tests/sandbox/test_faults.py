"""An app can be made to fail: `PUT /_control/apps/{app_id}/faults` (api.md)."""

from __future__ import annotations

import socket
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.sandbox.cast import App, errors, patch_statuses, user_path, wait_until

MANY = [f"user-{number}" for number in range(1000)]
LIMITED = [{"code": "Rate Limit Exceeded", "title": "API rate limit exceeded"}]


@pytest.fixture
def crowd(app: App) -> App:
    app.add_users(*MANY)
    return app


def raw_patch(app: App, external_id: str) -> bytes:
    """Send one PATCH over a socket and return every byte that came back before the connection closed."""
    body = b'{"properties":{"tags":{"a":"1"}}}'
    with socket.create_connection(("127.0.0.1", int(app.url.rsplit(":", 1)[1])), timeout=5) as link:
        link.sendall(
            f"PATCH /apps/{app.app_id}{user_path(external_id)} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        received = b""
        while piece := link.recv(4096):
            received += piece
    return received


def test_a_share_of_requests_fails_and_stores_nothing(crowd: App) -> None:
    crowd.control("PUT", "/faults", {"rate": {"status": 500, "share": 0.2}, "seed": 7})
    statuses = patch_statuses(crowd, MANY, {"cs_1": "1"})
    counts = Counter(statuses)
    assert set(counts) == {202, 500}
    assert 150 < counts[500] < 250
    stats = crowd.control("GET", "/stats")
    assert (stats["by_status"]["500"], stats["writes"]) == (counts[500], counts[202])
    crowd.control("PUT", "/faults", {})
    segment_id = crowd.create_segment().json()["id"]
    stored = {name for name, status in zip(MANY, statuses, strict=True) if status == 202}
    assert crowd.members(segment_id) == stored


def test_a_seed_repeats_a_run(crowd: App) -> None:
    runs = []
    for seed in (3, 3, 4):
        crowd.control("PUT", "/faults", {"rate": {"status": 503, "share": 0.5}, "seed": seed})
        runs.append(patch_statuses(crowd, MANY[:100], {"a": "1"}))
    assert runs[0] == runs[1] != runs[2]


@pytest.mark.parametrize(("fault", "is_stored"), [("before", False), ("after", True)])
def test_a_dropped_connection_answers_not_one_byte(app: App, fault: str, is_stored: bool) -> None:
    app.add_users("ann")
    app.control("PUT", "/faults", {"drop_connection": {fault: 1}})
    assert raw_patch(app, "ann") == b""
    stats = app.control("GET", "/stats")
    assert (stats["dropped"], sum(stats["requests"].values())) == (1, 1)
    app.control("PUT", "/faults", {})
    assert (app.tags("ann") == {"a": "1"}) is is_stored


def test_connections_drop_by_their_shares(crowd: App) -> None:
    crowd.control("PUT", "/faults", {"drop_connection": {"before": 0.1, "after": 0.1}, "seed": 1})
    statuses = patch_statuses(crowd, MANY, {"cs_1": "1"})
    dropped = statuses.count(None)
    assert 130 < dropped < 260
    assert crowd.control("GET", "/stats")["dropped"] == dropped
    crowd.control("PUT", "/faults", {})
    members = crowd.members(crowd.create_segment().json()["id"])
    stored_without_answer = sum(status is None and name in members for name, status in zip(MANY, statuses, strict=True))
    assert 50 < stored_without_answer < dropped - 50


def test_a_late_write_overwrites_what_came_between(app: App) -> None:
    app.add_users("ann")
    app.control("PUT", "/faults", {"apply_after_ms": {"ms": 800, "share": 1}})
    assert app.patch("ann", {"cs_1": "1"}).status_code == 202
    app.control("PUT", "/faults", {})
    assert app.tags("ann") == {}
    assert app.patch("ann", {"cs_1": ""}).status_code == 202
    wait_until(lambda: app.tags("ann") == {"cs_1": "1"})


def test_only_a_share_is_late(crowd: App) -> None:
    crowd.control("PUT", "/faults", {"apply_after_ms": {"ms": 60_000, "share": 0.3}, "seed": 5})
    assert set(patch_statuses(crowd, MANY, {"cs_1": "1"})) == {202}
    stored = crowd.members(crowd.create_segment().json()["id"])
    assert 620 < len(stored) < 780


def test_latency_delays_answers_side_by_side(crowd: App) -> None:
    crowd.control("PUT", "/faults", {"latency_ms": 300})
    started_at = time.monotonic()
    with ThreadPoolExecutor(10) as pool:
        answered = list(pool.map(lambda name: patch_statuses(crowd, [name], {"a": "1"}), MANY[:10]))
    assert answered == [[202]] * 10
    assert 0.3 <= time.monotonic() - started_at < 2


def test_writes_beyond_the_limit_are_refused_with_a_time_to_wait(crowd: App) -> None:
    crowd.control("PUT", "/faults", {"limit_per_second": 50})
    statuses = patch_statuses(crowd, MANY[:100], {"a": "1"})
    assert statuses[:50] == [202] * 50
    assert 429 in statuses[50:]
    answer = crowd.patch(MANY[0], {"a": "1"})
    assert (answer.status_code, errors(answer)) == (429, LIMITED)
    assert answer.headers["Retry-After"] == "1"
    assert crowd.call("GET", user_path(MANY[0])).status_code == 200
    assert crowd.call("GET", "/segments").status_code == 200
    time.sleep(1)
    assert crowd.patch(MANY[0], {"a": "1"}).status_code == 202


def test_without_a_setting_a_thousand_writes_a_second_pass(crowd: App) -> None:
    assert crowd.control("GET", "/faults")["limit_per_second"] == 1000


def test_writes_to_one_user_are_counted_and_refused_only_on_demand(app: App) -> None:
    app.add_users("ann", "bob", "cat")
    for _ in range(3):
        assert app.patch("ann", {"a": "1"}).status_code == 202
    app.patch("bob", {"a": "1"})
    stats = app.control("GET", "/stats")
    assert (stats["max_writes_per_user"], stats["writes"]) == (3, 4)
    app.control("DELETE", "/stats")
    app.control("PUT", "/faults", {"enforce_user_spacing": True})
    onesignal_id = app.call("GET", user_path("cat")).json()["identity"]["onesignal_id"]
    assert app.patch("cat", {"a": "2"}).status_code == 202
    other_name = app.call("PATCH", user_path(onesignal_id, "onesignal_id"), {"properties": {"tags": {"a": "3"}}})
    assert (other_name.status_code, other_name.headers["Retry-After"]) == (429, "1")
    assert app.tags("cat") == {"a": "2"}


def test_views_have_a_limit_only_on_demand(app: App) -> None:
    app.add_users("ann")
    for _ in range(5):
        assert app.call("GET", user_path("ann")).status_code == 200
    app.control("PUT", "/faults", {"views_per_second": 1})
    assert app.call("GET", user_path("ann")).status_code == 200
    refused = app.call("GET", f"{user_path('ann')}/identity")
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "1")
    assert app.patch("ann", {"a": "1"}).status_code == 202


def test_a_put_names_the_whole_set(app: App) -> None:
    app.control("PUT", "/faults", {"latency_ms": 5, "rate": {"status": 503, "share": 0.5}})
    assert app.control("PUT", "/faults", {"latency_ms": 7})["rate"]["share"] == 0
    shown = app.control("PUT", "/faults", {})
    assert (shown["latency_ms"], shown["limit_per_second"]) == (0, 1000)


@pytest.mark.parametrize(
    "faults",
    [
        {"unknown": 1},
        {"rate": {"share": 2}},
        {"rate": {"share": -0.1}},
        {"rate": {"status": 99}},
        {"rate": 1},
        {"rate": {"sahre": 1}},
        {"latency_ms": "80"},
        {"latency_ms": True},
        {"limit_per_second": 1.5},
        {"drop_connection": {"during": 1}},
        {"apply_after_ms": 2000},
        {"enforce_user_spacing": 1},
        {"seed": -1},
    ],
)
def test_a_fault_that_makes_no_sense_is_refused_and_changes_nothing(app: App, faults: dict[str, object]) -> None:
    app.control("PUT", "/faults", {"latency_ms": 1})
    app.control("PUT", "/faults", faults, expect=400)
    assert app.control("GET", "/faults")["latency_ms"] == 1


def test_faults_touch_one_app_and_no_control_endpoint(app: App, another_app: App) -> None:
    app.control("PUT", "/faults", {"rate": {"status": 404, "share": 1}})
    assert app.call("GET", user_path("ann")).status_code == 404
    assert another_app.call("GET", "/segments").status_code == 200
    app.control("GET", "/stats")


@pytest.fixture
def another_app(app: App) -> App:
    return App(app.url)
