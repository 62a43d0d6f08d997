"""Parallel clients send while processes die: whatever was answered with success is there exactly once afterwards.

The clients are Mixpanel's Python SDK with insert ids, at /track, /import and /engage. As a real client it keeps a batch
until it is answered and sends it again after whatever error. `make clients` runs it for long, `test_durability.py` for
short.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import mixpanel
import psycopg2

from tests.clients.walking import Target
from tests.installation import Installation

BATCH = 50
REQUEST_SECONDS = 10
PAUSE_SECONDS = 0.2
# For batches that are unanswered when the time is up; PostgreSQL is back after some seconds.
PATIENCE_SECONDS = 45
LONG_AGO = 852_076_800


@dataclass
class Sender(threading.Thread):
    """One client: sends batches until the time is up, each until it is answered."""

    number: int
    target: Target
    ends_at: float
    answered: set[str] = field(default_factory=set)
    unanswered: set[str] = field(default_factory=set)
    requests: int = 0
    errors: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        super().__init__(daemon=True)
        url = self.target["url"]
        self._consumer = mixpanel.BufferedConsumer(
            max_size=BATCH,
            events_url=f"{url}/track",
            people_url=f"{url}/engage",
            import_url=f"{url}/import",
            request_timeout=REQUEST_SECONDS,
            credentials=mixpanel.ServiceAccountCredentials(
                username=self.target["username"],
                secret=self.target["password"],
                project_id=self.target["project_id"],
            ),
        )
        self._client = mixpanel.Mixpanel(self.target["token"], consumer=self._consumer)
        self._send_one: Callable[[str, int], None] = (self._track, self._import, self._set)[self.number % 3]

    def __hash__(self) -> int:
        return id(self)

    def run(self) -> None:
        """Send until the time is up."""
        first = 0
        while time.monotonic() < self.ends_at:
            batch = {f"s{self.number}-{number}" for number in range(first, first + BATCH)}
            if not self._until_answered(batch, first):
                self.unanswered |= batch
                return
            self.answered |= batch
            first += BATCH

    def _until_answered(self, batch: set[str], first: int) -> bool:
        is_filled = False
        while time.monotonic() < self.ends_at + PATIENCE_SECONDS:
            self.requests += 1
            try:
                if is_filled:
                    self._consumer.flush()
                else:
                    is_filled = True
                    for number in range(first, first + BATCH):  # the last one makes the SDK send
                        self._send_one(f"s{self.number}-{number}", number)
                return True
            except mixpanel.MixpanelException as error:
                self.errors[str(error)[:60]] += 1
                time.sleep(PAUSE_SECONDS)
        return False

    def _track(self, name: str, number: int) -> None:
        self._client.track(f"user {number % 97}", "Tracked", {"$insert_id": name})

    def _import(self, name: str, number: int) -> None:
        when = LONG_AGO + number * 3600  # over many months
        self._client.import_data(None, f"user {number % 97}", "Imported", when, {"$insert_id": name})

    def _set(self, name: str, number: int) -> None:
        self._client.people_set(name, {"number": number})


@dataclass(frozen=True)
class Outcome:
    """What became of the records; `lost` and `doubled` must be empty."""

    answered: int
    unanswered: int
    lost: list[str]
    doubled: list[str]
    foreign: list[str]
    requests: int
    errors: Counter[str]
    kills: list[str]
    seconds: float

    def faults(self) -> list[str]:
        """Return what contradicts "a success means stored, exactly once", as sentences."""
        found = {"lost": self.lost, "there more than once": self.doubled, "never sent": self.foreign}
        return [f"{len(names)} records are {what}, such as {names[0]}" for what, names in found.items() if names]


def send_while_killing(
    installation: Installation, target: Target, *, senders: int, seconds: float, kills: tuple[str, ...]
) -> Outcome:
    """Send for so long and kill the named processes at even distances meanwhile; count afterwards.

    A kill is the name of a process of the installation, or `name/child` for one that it started.
    """
    began = time.monotonic()
    running = [Sender(number, target, began + seconds) for number in range(senders)]
    for sender in running:
        sender.start()
    for position, kill in enumerate(kills, start=1):
        time.sleep(max(0.0, began + seconds * position / (len(kills) + 1) - time.monotonic()))
        name, _, is_child = kill.partition("/")
        (installation.kill_child_of if is_child else installation.kill)(name)
    for sender in running:
        sender.join()
    took = time.monotonic() - began
    installation.wait_until_healthy()
    answered = set().union(*(sender.answered for sender in running))
    unanswered = set().union(*(sender.unanswered for sender in running))
    stored = _stored(installation.database_url(), int(target["project_id"]))
    return Outcome(
        answered=len(answered),
        unanswered=len(unanswered),
        lost=sorted(answered - set(stored)),
        doubled=sorted(name for name, count in stored.items() if count > 1),
        foreign=sorted(set(stored) - answered - unanswered),
        requests=sum(sender.requests for sender in running),
        errors=sum((sender.errors for sender in running), Counter()),
        kills=list(kills),
        seconds=took,
    )


def _stored(database_url: str, project_id: int) -> Counter[str]:
    """Return how often each record is there, events by insert id and profiles by distinct_id, read past the product."""
    connection: Any = psycopg2.connect(database_url)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(
                "SELECT insert_id, count(*) FROM cohorts_event WHERE project_id = %s GROUP BY 1", [project_id]
            )
            events = Counter(dict(cursor.fetchall()))
            cursor.execute(
                "SELECT distinct_id, count(*) FROM cohorts_person WHERE project_id = %s "
                "AND (properties ->> 'number')::int = split_part(distinct_id, '-', 2)::int "
                "AND distinct_id LIKE 's%%-%%' GROUP BY 1",
                [project_id],
            )
            return events + Counter(dict(cursor.fetchall()))
    finally:
        connection.close()
