"""The lease of a pass: one worker at a time per destination app, fenced by a token (laws.md, L13).

Expiry is judged by PostgreSQL's clock alone. The holder knows from its own monotonic clock how long it may still start
requests: until the lease could have expired, less the longest request and a margin, counted from before the heartbeat
that succeeded last was sent. So a worker that was stopped or cut off sends nothing after another one may have begun.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import structlog
from django.conf import settings
from django.db import DatabaseError, connection, transaction

from integrations.errors import LeaseLost

MARGIN_SECONDS = 5.0

logger = structlog.get_logger(__name__)


def database_now() -> dt.datetime:
    """Return PostgreSQL's clock: the only one by which entries, clocks and leases of several hosts compare."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        row = cursor.fetchone()
    assert row is not None
    now: dt.datetime = row[0]
    return now


@dataclass
class Lease:
    """The right to send for one app, held by this worker under `token`."""

    app_id: int
    token: int
    holder: str
    _renewed_at: float  # time.monotonic(), read before the renewal was sent
    _stop: threading.Event = field(default_factory=threading.Event)
    _lost: threading.Event = field(default_factory=threading.Event)

    def may_send(self) -> bool:
        """Tell whether a request may start now."""
        http_seconds = settings.HTTP_CONNECT_TIMEOUT_SECONDS + settings.HTTP_READ_TIMEOUT_SECONDS
        room = settings.LEASE_TTL_SECONDS - http_seconds - MARGIN_SECONDS
        return not self._lost.is_set() and time.monotonic() < self._renewed_at + room

    @contextlib.contextmanager
    def fenced(self) -> Iterator[None]:
        """Open a transaction that commits only while this lease's token stands. Raises LeaseLost otherwise."""
        with transaction.atomic():
            with connection.cursor() as cursor:
                # An intent must be on disk before its request leaves, whatever the server's default is.
                cursor.execute("SET LOCAL synchronous_commit = on")
                cursor.execute(
                    "SELECT lease_token FROM integrations_destinationapp WHERE id = %s FOR UPDATE",
                    [self.app_id],
                )
                row = cursor.fetchone()
            if row is None or row[0] != self.token:
                self._lost.set()
                raise LeaseLost
            yield

    def _renew(self) -> None:
        asked_at = time.monotonic()
        with connection.cursor() as cursor:
            cursor.execute(
                "UPDATE integrations_destinationapp "
                "SET lease_expires_at = clock_timestamp() + make_interval(secs => %s) "
                "WHERE id = %s AND lease_token = %s AND lease_expires_at > clock_timestamp()",
                [settings.LEASE_TTL_SECONDS, self.app_id, self.token],
            )
            if cursor.rowcount == 0:
                self._lost.set()
            else:
                self._renewed_at = asked_at

    def _beat(self) -> None:
        while not self._stop.wait(settings.LEASE_HEARTBEAT_SECONDS) and not self._lost.is_set():
            try:
                self._renew()
            except DatabaseError as error:
                # may_send() closes by itself when this goes on; a fresh connection is tried at the next beat.
                logger.warning("lease_heartbeat_failed", app_id=self.app_id, error=type(error).__name__)
                connection.close()
        connection.close()

    def _release(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute(
                "UPDATE integrations_destinationapp SET lease_expires_at = NULL WHERE id = %s AND lease_holder = %s",
                [self.app_id, self.holder],
            )


@contextlib.contextmanager
def take_lease(app_id: int) -> Iterator[Lease | None]:
    """Take the app's lease for the block and keep it alive from a thread; yield None when another worker holds it."""
    # Unique per taking, so that a release can never end a later holder's lease.
    holder = f"{socket.gethostname()}:{os.getpid()}:{threading.get_ident()}:{time.time_ns()}"
    asked_at = time.monotonic()
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE integrations_destinationapp "
            "SET lease_token = lease_token + 1, lease_holder = %s, "
            "    lease_expires_at = clock_timestamp() + make_interval(secs => %s) "
            "WHERE id = %s AND (lease_expires_at IS NULL OR lease_expires_at <= clock_timestamp()) "
            "RETURNING lease_token",
            [holder, settings.LEASE_TTL_SECONDS, app_id],
        )
        row = cursor.fetchone()
    if row is None:
        yield None
        return
    lease = Lease(app_id=app_id, token=row[0], holder=holder, _renewed_at=asked_at)
    heart = threading.Thread(target=lease._beat, name=f"lease-{app_id}", daemon=True)
    heart.start()
    try:
        yield lease
    finally:
        lease._stop.set()
        heart.join()
        try:
            lease._release()
        except DatabaseError as error:
            logger.warning("lease_not_released", app_id=app_id, error=type(error).__name__)


def revoke_lease(app_id: int) -> None:
    """Fence out whoever holds the app's lease: its next write to a ledger or run fails. In the caller's transaction.

    The lease itself still runs until its holder lets go or it expires, since requests may be in flight.
    """
    with connection.cursor() as cursor:
        cursor.execute("UPDATE integrations_destinationapp SET lease_token = lease_token + 1 WHERE id = %s", [app_id])
