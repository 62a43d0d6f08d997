"""Step 6, deliver: one batch, one request per recipient, in parallel, within the app's rate and the lease's time.

Each recipient gets one attempt; who gets another one, and when, is the pass's decision (`integrations/sync.py`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import structlog
from pyroaring import BitMap

from integrations.destinations.base import Answer, DestinationClient, Outcome
from integrations.diff import Batch
from integrations.lease import Lease
from integrations.rate import RateLimiter, RateUnknown

PERMITS_AT_A_TIME = 20
LONGEST_WAIT_SECONDS = 0.5

logger = structlog.get_logger(__name__)


@dataclass
class Delivered:
    """What came of a batch: recipients by outcome, the words of refusals, and how many requests were sent."""

    by_outcome: dict[Outcome, BitMap] = field(default_factory=lambda: {outcome: BitMap() for outcome in Outcome})
    refusals: dict[int, str] = field(default_factory=dict)
    requests: int = 0
    denial: Answer | None = None
    # Redis was away, so that the rest of the batch was not sent.
    rate_unknown: RateUnknown | None = None
    last_trouble: str = ""
    # By recipient, time.monotonic() at the end of its request: the next one keeps its distance.
    ended_at: dict[int, float] = field(default_factory=dict)
    # Recipients whose request failed for a passing reason; one that was never started is not among them.
    troubled: BitMap = field(default_factory=BitMap)


def tags_by_recipient(batch: Batch, tags: Mapping[int, str]) -> dict[int, dict[str, bool]]:
    """Return, for each recipient, every tag of its one request; `tags` gives each ledger's tag."""
    by_recipient: dict[int, dict[str, bool]] = {recipient: {} for recipient in batch.recipients}
    for value, by_ledger in ((True, batch.setting), (False, batch.clearing)):
        for ledger_id, recipients in by_ledger.items():
            tag = tags[ledger_id]
            for recipient in recipients:
                by_recipient[recipient][tag] = value
    return by_recipient


def deliver(
    *,
    client: DestinationClient,
    writes: Mapping[int, tuple[str, Mapping[str, bool]]],
    limiter: RateLimiter,
    lease: Lease,
    threads: ThreadPoolExecutor,
    thread_count: int,
    seconds: float,
) -> Delivered:
    """Send one request per recipient; `writes` gives its id over there and its tags.

    No request starts after `seconds`, after a denial, or when the lease could have run out: those count as unsent.
    When the rate is not under control (Redis is away) what was not sent yet counts as unsent.
    """
    result = Delivered()
    until = time.monotonic() + seconds
    slots = threading.Semaphore(thread_count)
    is_denied = threading.Event()

    def attempt(recipient: str, tags: Mapping[str, bool]) -> tuple[Answer, float]:
        started_at = time.monotonic()
        try:
            if is_denied.is_set() or started_at > until or not lease.may_send():
                return Answer(Outcome.UNSENT), 0.0
            answer = client.write_tags(recipient=recipient, tags=tags)
            if answer.outcome is Outcome.DENIED:
                is_denied.set()
            elif answer.outcome is Outcome.THROTTLED:
                throttled(started_at, answer)
            return answer, time.monotonic()
        finally:
            slots.release()

    def throttled(started_at: float, answer: Answer) -> None:
        try:
            limiter.throttled(sent_at=started_at, retry_after_seconds=answer.retry_after_seconds)
        except RateUnknown:
            # The dispatcher meets the same trouble at its next permit and stops there.
            logger.warning("rate_not_lowered")

    def may_go_on() -> bool:
        return not is_denied.is_set() and time.monotonic() < until and lease.may_send()

    futures: dict[int, Future[tuple[Answer, float]]] = {}
    waiting = list(writes)
    while waiting and may_go_on():
        try:
            granted = _permits(limiter, min(PERMITS_AT_A_TIME, len(waiting)), may_go_on)
        except RateUnknown as error:
            result.rate_unknown = error
            break
        for recipient in waiting[:granted]:
            slots.acquire()
            futures[recipient] = threads.submit(attempt, *writes[recipient])
        waiting = waiting[granted:]
    result.by_outcome[Outcome.UNSENT] |= BitMap(waiting)
    for recipient, future in futures.items():
        answer, ended_at = future.result()
        _note(result, recipient, answer, ended_at)
    return result


def _permits(limiter: RateLimiter, wanted: int, may_go_on: Callable[[], bool]) -> int:
    while may_go_on():
        granted, wait = limiter.acquire(wanted)
        if granted:
            return granted
        time.sleep(min(wait, LONGEST_WAIT_SECONDS))
    return 0


def _note(result: Delivered, recipient: int, answer: Answer, ended_at: float) -> None:
    result.by_outcome[answer.outcome].add(recipient)
    if ended_at:
        result.requests += 1
        result.ended_at[recipient] = ended_at
    if answer.outcome is Outcome.REFUSED:
        result.refusals[recipient] = answer.sentence
    elif answer.outcome is Outcome.DENIED:
        result.denial = answer
    elif answer.outcome in (Outcome.UNANSWERED, Outcome.UNSENT) and answer.sentence:
        result.troubled.add(recipient)
        result.last_trouble = answer.sentence
