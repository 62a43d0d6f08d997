"""How often a caller may ask, counted in Redis over a sliding minute for all web processes together.

The limits protect the service and are no part of its truth: while Redis cannot be reached, requests pass.
"""

from __future__ import annotations

import time
from functools import cache

import structlog
from django.conf import settings
from limits import RateLimitItemPerMinute
from limits.errors import StorageError
from limits.storage import RedisStorage
from limits.strategies import SlidingWindowCounterRateLimiter

log = structlog.get_logger(__name__)


@cache
def _limiter() -> SlidingWindowCounterRateLimiter:
    storage = RedisStorage(
        settings.REDIS_URL,
        key_prefix=f"{settings.KEY_PREFIX}api-limit",
        wrap_exceptions=True,
        # An unreachable Redis costs a request this much, not its answer.
        socket_connect_timeout=0.5,
        socket_timeout=0.5,
    )
    return SlidingWindowCounterRateLimiter(storage)


def seconds_to_wait(*, kind: str, caller: str, per_minute: int) -> float:
    """Count one request of the caller; return 0 if it may pass, else the seconds until the next one may."""
    limit = RateLimitItemPerMinute(per_minute)
    try:
        if _limiter().hit(limit, kind, caller):
            return 0.0
        return max(1.0, _limiter().get_window_stats(limit, kind, caller).reset_time - time.time())
    except StorageError:
        log.warning("api_limit_not_counted", kind=kind)
        return 0.0
