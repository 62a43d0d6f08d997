"""Several clients at once, each on a connection of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from django.db import connection


def run_at_once(works: Sequence[Callable[[], object]]) -> None:
    """Run all at the same time, each in a thread; raise the first failure."""
    start = threading.Barrier(len(works))

    def client(work: Callable[[], object]) -> None:
        try:
            start.wait(10)
            work()
        finally:
            connection.close()

    with ThreadPoolExecutor(len(works)) as pool:
        for done in [pool.submit(client, work) for work in works]:
            done.result()


def wait_until_blocked() -> None:
    """Return once another connection waits for a lock that this one holds."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid))"
            )
            if cursor.fetchone()[0]:
                return
        time.sleep(0.01)
    raise AssertionError("Nobody waits for this connection.")
