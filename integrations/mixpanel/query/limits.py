"""How much a project may ask: so many queries an hour and so many at once (contract, 5.8; Mixpanel: 60 and 5).

The hour is counted in Redis for all web processes together, and while Redis cannot be reached, queries pass. How many
run at once is held by PostgreSQL's advisory locks, which end with the query's transaction, however that ends. The pages
of a session count with its first one: they are cheap, and tools ask for several at a time.
"""

from __future__ import annotations

import time
from functools import cache

import structlog
from django.conf import settings
from django.db import connection
from limits import RateLimitItemPerHour
from limits.errors import StorageError
from limits.storage import RedisStorage
from limits.strategies import SlidingWindowCounterRateLimiter

# Parts our advisory locks from others'; the second number is made from project and place.
_LOCK_CLASS = 720_511
_SECONDS_UNTIL_ONE_ENDS = 5

logger = structlog.get_logger(__name__)


class TooManyQueries(Exception):
    """The project asks too much; the message is one sentence; ask again after `retry_after` seconds."""

    def __init__(self, sentence: str, *, retry_after: int) -> None:
        super().__init__(sentence)
        self.retry_after = retry_after


@cache
def _limiter() -> SlidingWindowCounterRateLimiter:
    storage = RedisStorage(
        settings.REDIS_URL,
        key_prefix=f"{settings.KEY_PREFIX}query-limit",
        wrap_exceptions=True,
        # An unreachable Redis costs a query this much, not its answer.
        socket_connect_timeout=0.5,
        socket_timeout=0.5,
    )
    return SlidingWindowCounterRateLimiter(storage)


def count_query(*, project_id: int) -> None:
    """Count one query of the project. Raises TooManyQueries when it was one too many, which then does not count."""
    most = settings.QUERY_MAX_PER_HOUR
    if not most:
        return
    limit = RateLimitItemPerHour(most)
    try:
        if _limiter().hit(limit, str(project_id)):
            return
        wait = _limiter().get_window_stats(limit, str(project_id)).reset_time - time.time()
    except StorageError:
        logger.warning("query_limit_not_counted", project_id=project_id)
        return
    raise TooManyQueries(
        f"A project may ask {most} queries an hour; wait, or ask for more with one query (QUERY_MAX_PER_HOUR).",
        retry_after=max(1, round(wait)),
    )


def take_place(*, project_id: int) -> None:
    """Take one of the project's places for queries until the transaction ends. Raises TooManyQueries."""
    most = settings.QUERY_MAX_CONCURRENT
    if not most:
        return
    with connection.cursor() as cursor:
        # One after the other, and no further than the first free one.
        cursor.execute(
            "SELECT place FROM generate_series(1, %s) AS place"
            " WHERE pg_try_advisory_xact_lock(%s, hashtext(%s || ' ' || place)) LIMIT 1",
            [most, _LOCK_CLASS, str(project_id)],
        )
        if cursor.fetchone() is None:
            raise TooManyQueries(
                f"{most} queries of the project are being answered; ask again when one has ended "
                "(QUERY_MAX_CONCURRENT).",
                retry_after=_SECONDS_UNTIL_ONE_ENDS,
            )
