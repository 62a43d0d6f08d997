"""How much one project may send in a minute, over all web processes together (step 1; contract, 1.4).

Counted in Redis over a sliding minute. The limits keep one project from starving the others and are no part of the
truth: while Redis cannot be reached, everything passes. They are settings; 0 is no limit.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cache

import structlog
from django.conf import settings
from limits import RateLimitItemPerMinute
from limits.errors import StorageError
from limits.storage import RedisStorage
from limits.strategies import SlidingWindowCounterRateLimiter

logger = structlog.get_logger(__name__)

# An unreachable Redis costs one request in this many seconds a little time, not every one.
PAUSE_SECONDS = 5.0


@dataclass(slots=True)
class Quota:
    """What a process knows of the counters: where they are, and whether they can be reached."""

    limiter: SlidingWindowCounterRateLimiter
    paused_until: float = 0.0

    def seconds_to_wait(self, *, project_id: int, events: int, size_bytes: int) -> float:
        """Count a request's events and bytes, inflated; return 0 if it may pass, else the seconds until one may.

        A request that exceeds a limit all by itself passes when nothing else was sent, else it never would.
        """
        if time.monotonic() < self.paused_until:
            return 0.0
        try:
            return self._take("events", project_id, events, settings.INGEST_MAX_EVENTS_PER_MINUTE) or self._take(
                "bytes", project_id, size_bytes, settings.INGEST_MAX_BYTES_PER_MINUTE
            )
        except StorageError:
            logger.warning("ingest_quota_not_counted", project_id=project_id)
            self.paused_until = time.monotonic() + PAUSE_SECONDS
            return 0.0

    def _take(self, kind: str, project_id: int, amount: int, per_minute: int) -> float:
        if per_minute <= 0 or amount <= 0:
            return 0.0
        limit = RateLimitItemPerMinute(per_minute)
        if self.limiter.hit(limit, kind, str(project_id), cost=min(amount, per_minute)):
            return 0.0
        return max(1.0, self.limiter.get_window_stats(limit, kind, str(project_id)).reset_time - time.time())


@cache
def quota() -> Quota:
    """Return this process's quota."""
    storage = RedisStorage(
        settings.REDIS_URL,
        key_prefix=f"{settings.KEY_PREFIX}ingest-quota",
        wrap_exceptions=True,
        socket_connect_timeout=0.5,
        socket_timeout=0.5,
    )
    return Quota(SlidingWindowCounterRateLimiter(storage))
