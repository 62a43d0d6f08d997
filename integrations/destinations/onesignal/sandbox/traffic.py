"""What reaches one app: counters for `GET /_control/apps/{app_id}/stats`, and the windows of its rate limits.

Every window is sliding: "within one second" means any second, not one of the clock's. Times are monotonic seconds.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Hashable

WINDOW_SECONDS = 1.0


class Window:
    """The moments of the last second."""

    def __init__(self) -> None:
        self._moments: deque[float] = deque()

    def add(self, now: float) -> int:
        """Add a moment and return how many lie within the second that ends with it."""
        self._moments.append(now)
        return self.count(now)

    def count(self, now: float) -> int:
        """Return how many moments lie within the second that ends now."""
        moments = self._moments
        while moments and moments[0] <= now - WINDOW_SECONDS:
            moments.popleft()
        return len(moments)


class UserWindows:
    """The last second's writes of each user, in two generations, so that old ones cost nothing to forget."""

    def __init__(self) -> None:
        self._current: dict[Hashable, list[float]] = {}
        self._previous: dict[Hashable, list[float]] = {}
        self._rotated_at = 0.0

    def add(self, user: Hashable, now: float) -> int:
        """Add a write and return how many of this user's lie within the second that ends with it."""
        if now - self._rotated_at >= WINDOW_SECONDS:
            self._previous, self._current, self._rotated_at = self._current, {}, now
        moments = self._current.get(user) or self._previous.get(user)
        recent = [moment for moment in moments if moment > now - WINDOW_SECONDS] if moments else []
        recent.append(now)
        self._current[user] = recent
        return len(recent)


class Traffic:
    """Counters and windows of one app; all of it starts at zero with the process."""

    def __init__(self) -> None:
        self.accepted_writes = Window()
        self.accepted_views = Window()
        self.reset()

    def reset(self) -> None:
        """Set the counters to zero; the windows of the limits stay."""
        self._requests: Counter[str] = Counter()
        self._by_status: Counter[int] = Counter()
        self._arrived_writes = Window()
        self._writes_of_users = UserWindows()
        self.dropped = 0
        self._writes = 0
        self._user_requests = 0
        self._max_per_second = 0
        self._max_writes_per_user = 0

    def arrive(self, route: str, *, is_user_request: bool, is_write: bool, now: float) -> None:
        """Count a request that arrived."""
        self._requests[route] += 1
        self._user_requests += is_user_request
        if is_write:
            self._max_per_second = max(self._max_per_second, self._arrived_writes.add(now))

    def write(self, user: Hashable, now: float) -> bool:
        """Count a write to one user; return whether it came within a second of the previous one."""
        count = self._writes_of_users.add(user, now)
        self._max_writes_per_user = max(self._max_writes_per_user, count)
        return count > 1

    def answered(self, status: int, *, is_write: bool) -> None:
        """Count an answer."""
        self._by_status[status] += 1
        self._writes += is_write and status < 300

    def stats(self) -> dict[str, object]:
        """Return the counters: `writes` were accepted; the maxima count what arrived, accepted or not."""
        return {
            "requests": dict(self._requests),
            "by_status": {str(status): count for status, count in sorted(self._by_status.items())},
            "max_per_second": self._max_per_second,
            "writes": self._writes,
            "max_writes_per_user": self._max_writes_per_user,
            "user_requests": self._user_requests,
            "dropped": self.dropped,
        }
