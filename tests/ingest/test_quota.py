"""Sending more in a minute than a project may: it is told to come again, and nothing is half stored."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client
from limits.storage import RedisStorage
from limits.strategies import SlidingWindowCounterRateLimiter

from cohorts.models import Project
from integrations.mixpanel import quota as quota_module
from integrations.mixpanel.quota import Quota, quota
from tests.ingest.wire import event, send, stored, update

TOO_MANY = (
    429,
    b'{"code":429,"error":"Project exceeded rate limits. Please retry the request with exponential backoff.",'
    b'"status":"Too Many Requests"}',
)


@pytest.fixture(autouse=True)
def counted_anew(shop: Project) -> Iterator[None]:
    """Ids of projects come again in the next test's transaction or the next run; its counters must not."""
    quota().limiter.storage.reset()
    quota().paused_until = 0.0
    yield
    quota().limiter.storage.reset()
    quota().paused_until = 0.0


def test_a_project_that_sends_too_many_events_is_told_to_wait(
    client: Client, shop: Project, simple_shop: Project, importer: dict[str, str], settings: Any
) -> None:
    settings.INGEST_MAX_EVENTS_PER_MINUTE = 5
    assert send(client, "/track", [event(shop)] * 3) == (200, b"1")
    assert send(client, "/track", [event(shop)] * 3) == TOO_MANY
    assert send(client, "/import", [event(shop, time=1e9)] * 2, **importer) == (200, b"1")
    response = client.get("/track", {"data": "{}"})
    assert response.status_code == 200
    assert send(client, "/import?strict=1", [event(shop, time=1e9)], **importer) == TOO_MANY
    assert len(stored(shop)) == 5
    assert send(client, "/track", event(simple_shop)) == (200, b"1")


def test_the_answer_says_for_how_long(client: Client, shop: Project, settings: Any) -> None:
    settings.INGEST_MAX_EVENTS_PER_MINUTE = 1
    send(client, "/track", event(shop))
    response = client.post(
        "/track",
        b'{"event":"E","properties":{"token":"%s"}}' % shop.token.encode(),
        content_type="application/json",
        headers={"Origin": "https://shop.example"},
    )
    assert response.status_code == 429
    assert 1 <= int(response["Retry-After"]) <= 61
    assert response["Access-Control-Expose-Headers"] == "Retry-After"


def test_bytes_are_counted_too(client: Client, shop: Project, settings: Any) -> None:
    settings.INGEST_MAX_BYTES_PER_MINUTE = 1500
    assert send(client, "/track", event(shop, text="x" * 200)) == (200, b"1")
    assert send(client, "/track", [event(shop, text="x" * 250) for _ in range(4)]) == TOO_MANY
    assert send(client, "/track", event(shop, text="x" * 200)) == (200, b"1")


def test_a_request_larger_than_a_limit_passes_by_itself(client: Client, shop: Project, settings: Any) -> None:
    settings.INGEST_MAX_EVENTS_PER_MINUTE = 5
    assert send(client, "/track", [event(shop)] * 50) == (200, b"1")
    assert send(client, "/track", event(shop)) == TOO_MANY


def test_zero_is_no_limit_and_profiles_have_none(client: Client, shop: Project, settings: Any) -> None:
    settings.INGEST_MAX_EVENTS_PER_MINUTE = settings.INGEST_MAX_BYTES_PER_MINUTE = 0
    for _ in range(3):
        assert send(client, "/track", [event(shop)] * 20) == (200, b"1")
    settings.INGEST_MAX_EVENTS_PER_MINUTE = settings.INGEST_MAX_BYTES_PER_MINUTE = 1
    for _ in range(3):
        assert send(client, "/engage", [update(shop, add={"a": 1})] * 20) == (200, b"1")


def test_without_redis_everything_is_taken_and_it_is_asked_seldom(
    client: Client, shop: Project, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.INGEST_MAX_EVENTS_PER_MINUTE = 1
    # Takes connections and never answers: the slowest way of being away.
    with socket.create_server(("127.0.0.1", 0)) as silent:
        storage = RedisStorage(
            f"redis://127.0.0.1:{silent.getsockname()[1]}/0",
            wrap_exceptions=True,
            socket_connect_timeout=0.2,
            socket_timeout=0.2,
        )
        away = Quota(SlidingWindowCounterRateLimiter(storage))
        monkeypatch.setattr("integrations.mixpanel.views.quota", lambda: away)
        began = time.monotonic()
        for _ in range(20):
            assert send(client, "/track", [event(shop)] * 5) == (200, b"1")
        assert time.monotonic() - began < 3
        assert len(stored(shop)) == 100
        # Back again, it counts again.
        away.limiter = quota_module.quota().limiter
        away.paused_until = 0.0
        assert send(client, "/track", event(shop)) == (200, b"1")
        assert send(client, "/track", event(shop)) == TOO_MANY
