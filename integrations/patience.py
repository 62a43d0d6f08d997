"""Whom a pass tries again, and when: after passing failures with growing, jittered pauses, a few times, then no more.

A rate limit is not a failure and uses up no attempt. When most of a batch fails, the destination itself is in trouble:
the whole pass pauses, and in the end stops as temporary, instead of spending every member's attempts.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from django.conf import settings
from pyroaring import BitMap

from integrations.delivery import Delivered
from integrations.errors import Temporary

T = TypeVar("T")

SMALL_BATCH = 20
LONGEST_PAUSE_SECONDS = 15.0


def pause_seconds(attempt: int) -> float:
    """Return the pause after the nth failed attempt: doubling up to 60 seconds, less up to half by chance."""
    seconds = min(settings.DELIVERY_RETRY_PAUSE_SECONDS * 2 ** (attempt - 1), 60.0)
    return float(seconds * random.uniform(0.5, 1.0))  # noqa: S311 - jitter, not a secret


def patiently(call: Callable[[], T]) -> T:
    """Return the call's result, tried again after passing failures as often as the settings say.

    A destination that asks for a longer pause than a worker should sleep ends it at once: the schedule comes back.
    """
    for attempt in range(1, settings.DELIVERY_ATTEMPTS):
        try:
            return call()
        except Temporary as error:
            if error.retry_after_seconds > LONGEST_PAUSE_SECONDS:
                raise
            time.sleep(max(pause_seconds(attempt), error.retry_after_seconds))
    return call()


@dataclass
class Patience:
    """The memory of one slice about its recipients."""

    attempts: dict[int, int] = field(default_factory=dict)
    not_before: dict[int, float] = field(default_factory=dict)
    troubled_batches: int = 0
    last_trouble: str = ""

    def held_back(self) -> BitMap:
        """Return the recipients who must not be written yet: their pause or the spacing of their writes still runs."""
        now = time.monotonic()
        self.not_before = {recipient: until for recipient, until in self.not_before.items() if until > now}
        return BitMap(self.not_before)

    def seconds_to_wait(self) -> float | None:
        """Return the time until the next recipient may be written; None when nobody is held back."""
        until = min(self.not_before.values(), default=None)
        return None if until is None else max(until - time.monotonic(), 0.0)

    def note(self, result: Delivered) -> BitMap:
        """Take in a batch's result; return the recipients given up. Raises Temporary when most of it failed."""
        spacing = settings.MIN_SECONDS_BETWEEN_WRITES_OF_A_USER
        for recipient, ended_at in result.ended_at.items():
            self.not_before[recipient] = ended_at + spacing
        given_up = BitMap()
        now = time.monotonic()
        for recipient in result.troubled:
            attempt = self.attempts[recipient] = self.attempts.get(recipient, 0) + 1
            if attempt >= settings.DELIVERY_ATTEMPTS:
                given_up.add(recipient)
            self.not_before[recipient] = now + max(pause_seconds(attempt), spacing)
        if result.troubled:
            self.last_trouble = result.last_trouble
        self._watch_destination(result)
        return given_up

    def _watch_destination(self, result: Delivered) -> None:
        tried = sum(len(recipients) for recipients in result.by_outcome.values())
        if tried < SMALL_BATCH or len(result.troubled) * 2 <= tried:
            self.troubled_batches = 0
            return
        self.troubled_batches += 1
        if self.troubled_batches >= settings.DELIVERY_ATTEMPTS:
            raise Temporary(self.last_trouble)
        time.sleep(pause_seconds(self.troubled_batches))
