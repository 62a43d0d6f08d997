"""The rate of writes to one destination app, shared by all workers through Redis (laws.md, L22).

A token bucket in Redis's own time. It starts at a moderate rate with an empty bucket, rises by a fixed step in each
second in which somebody had to wait for it, and is halved when the destination says "too fast", at most once a round
trip. When Redis cannot be reached nothing is sent.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cache
from typing import Any

import redis
from django.conf import settings

from integrations.errors import Temporary
from integrations.models import DestinationApp

RISE_PER_SECOND = 100
LOWEST_RATE = 5
# The bucket holds this much of a second, so that a pause is not followed by a burst.
BUCKET_SECONDS = 0.1
STATE_TTL_SECONDS = 3600

_NOW = """
local clock = redis.call('TIME')
local now = tonumber(clock[1]) + tonumber(clock[2]) / 1000000
"""

# ARGV: wanted permits, ceiling, start rate. Answer: permits granted, seconds to wait when none.
_ACQUIRE = (
    _NOW
    + """
local wanted, ceiling = tonumber(ARGV[1]), tonumber(ARGV[2])
local state = redis.call('HMGET', KEYS[1], 'tokens', 'at', 'rate', 'risen_at', 'paused_until')
local rate = math.min(tonumber(state[3]) or tonumber(ARGV[3]), ceiling)
local at, tokens = tonumber(state[2]) or now, tonumber(state[1]) or 0
local risen_at, paused_until = tonumber(state[4]) or now, tonumber(state[5]) or 0
if paused_until > now then return {0, tostring(paused_until - now)} end
tokens = math.min(tokens + (now - at) * rate, math.max(1, rate * tonumber(ARGV[4])))
local granted = math.min(wanted, math.floor(tokens))
local wait = 0
if granted < wanted then
  if now - risen_at >= 1 then
    rate = math.min(ceiling, rate + tonumber(ARGV[5]))
    risen_at = now
  end
  if granted == 0 then wait = (1 - tokens) / rate end
end
redis.call('HSET', KEYS[1], 'tokens', tostring(tokens - granted), 'at', tostring(now), 'rate', tostring(rate),
           'risen_at', tostring(risen_at))
redis.call('EXPIRE', KEYS[1], ARGV[6])
return {granted, tostring(wait)}
"""
)

# ARGV: seconds since the throttled request was sent, Retry-After, start rate, lowest rate.
_THROTTLED = (
    _NOW
    + """
local state = redis.call('HMGET', KEYS[1], 'rate', 'lowered_at', 'paused_until')
local rate, lowered_at = tonumber(state[1]) or tonumber(ARGV[3]), tonumber(state[2]) or 0
if now - tonumber(ARGV[1]) > lowered_at then
  rate = math.max(tonumber(ARGV[4]), rate / 2)
  lowered_at = now
end
local paused_until = math.max(tonumber(state[3]) or 0, now + tonumber(ARGV[2]))
redis.call('HSET', KEYS[1], 'rate', tostring(rate), 'lowered_at', tostring(lowered_at), 'tokens', '0',
           'at', tostring(now), 'risen_at', tostring(now), 'paused_until', tostring(paused_until))
redis.call('EXPIRE', KEYS[1], ARGV[5])
return tostring(rate)
"""
)


class RateUnknown(Temporary):
    """Redis cannot be reached, so the write rate is not under control and nothing may be sent."""


@cache
def redis_client() -> redis.Redis:
    """Return this process's connection pool to Redis."""
    return redis.Redis.from_url(
        settings.REDIS_URL, socket_timeout=5, socket_connect_timeout=5, health_check_interval=25
    )


@dataclass(frozen=True)
class RateLimiter:
    """The write rate of one app, never above `ceiling` requests per second."""

    key: str
    ceiling: int

    def acquire(self, wanted: int) -> tuple[int, float]:
        """Take up to `wanted` permits; return how many, and the seconds to wait when none. Raises RateUnknown."""
        granted, wait = self._eval(
            _ACQUIRE,
            wanted,
            self.ceiling,
            settings.DELIVERY_START_REQUESTS_PER_SECOND,
            BUCKET_SECONDS,
            RISE_PER_SECOND,
            STATE_TTL_SECONDS,
        )
        return int(granted), float(wait)

    def throttled(self, *, sent_at: float, retry_after_seconds: float | None) -> None:
        """Lower the rate because a request sent at `sent_at` (time.monotonic()) was answered "too fast"."""
        self._eval(
            _THROTTLED,
            time.monotonic() - sent_at,
            1.0 if retry_after_seconds is None else retry_after_seconds,
            settings.DELIVERY_START_REQUESTS_PER_SECOND,
            LOWEST_RATE,
            STATE_TTL_SECONDS,
        )

    def _eval(self, script: str, *arguments: float) -> Any:
        try:
            return redis_client().eval(script, 1, self.key, *[str(argument) for argument in arguments])
        except redis.RedisError as error:
            raise RateUnknown(
                "Redis cannot be reached, and without it the write rate is not under control, so nothing is sent. "
                "Check REDIS_URL and the Redis server; the run goes on by itself.",
                10.0,
            ) from error


def limiter_for(app: DestinationApp, *, ceiling: int) -> RateLimiter:
    """Return the limiter of an app; connections of any project to the same app share it."""
    return RateLimiter(f"{settings.KEY_PREFIX}rate:{app.base_url}:{app.remote_id}", ceiling)
