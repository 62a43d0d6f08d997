"""The write rate of an app, shared through Redis (laws.md, L22)."""

from __future__ import annotations

import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from integrations.rate import LOWEST_RATE, RateLimiter, RateUnknown, redis_client


@pytest.fixture
def limiter(settings: Any) -> RateLimiter:
    settings.DELIVERY_START_REQUESTS_PER_SECOND = 200
    return RateLimiter(f"{settings.KEY_PREFIX}rate:test:{uuid.uuid4()}", ceiling=300)


def rate_of(limiter: RateLimiter) -> float:
    rate = redis_client().hget(limiter.key, "rate")
    assert isinstance(rate, bytes)
    return float(rate)


def test_the_bucket_starts_empty_and_never_lets_more_through_than_the_ceiling(limiter: RateLimiter) -> None:
    assert limiter.acquire(10)[0] == 0

    def take(_: int) -> int:
        taken, ends_at = 0, time.monotonic() + 1.5
        while time.monotonic() < ends_at:
            granted, wait = limiter.acquire(20)
            taken += granted
            time.sleep(min(wait, 0.05))
        return taken

    with ThreadPoolExecutor(4) as threads:
        taken = sum(threads.map(take, range(4)))
    assert 200 <= taken <= 300 * 1.5 + 300 * 0.1 + 20


def test_too_fast_halves_the_rate_once_per_round_trip_and_pauses(limiter: RateLimiter) -> None:
    limiter.acquire(1)
    sent_at = time.monotonic() - 0.05
    limiter.throttled(sent_at=sent_at, retry_after_seconds=0.3)
    assert rate_of(limiter) == 100
    # Answers to requests sent before that change say nothing new.
    limiter.throttled(sent_at=sent_at, retry_after_seconds=0.3)
    assert rate_of(limiter) == 100
    granted, wait = limiter.acquire(1)
    assert granted == 0
    assert 0.1 < wait <= 0.3
    for _ in range(10):
        time.sleep(0.002)
        limiter.throttled(sent_at=time.monotonic(), retry_after_seconds=0)
    assert rate_of(limiter) == LOWEST_RATE


def test_forgotten_state_starts_slow_again(limiter: RateLimiter) -> None:
    for _ in range(3):
        limiter.acquire(20)
        time.sleep(0.05)
    redis_client().delete(limiter.key)
    assert limiter.acquire(20)[0] == 0


def test_without_redis_nothing_is_granted(limiter: RateLimiter, settings: Any, monkeypatch: Any) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    redis_client.cache_clear()
    try:
        with pytest.raises(RateUnknown, match="Check REDIS_URL"):
            limiter.acquire(1)
    finally:
        redis_client.cache_clear()
