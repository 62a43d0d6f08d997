"""One readable log: lines of all processes on one stream, each behind the name of its process.

Writing never holds up the product: a reader that does not read (a full pipe, a stopped pager) costs lines, not service.
"""

import asyncio
import os
import select
import stat
import time
from collections import deque

COLOURS = {"up": 1, "postgres": 34, "redis": 35, "web": 32, "worker": 33, "beat": 36, "sandbox": 95}
NAME_WIDTH = 8
MAX_WAITING_LINES = 10_000
# A pipe that is ready for writing takes this much without blocking (POSIX: PIPE_BUF).
CHUNK_BYTES = 4096


class LogStream:
    """Writes prefixed lines to a file descriptor from an event loop. `is_coloured` suits a terminal."""

    def __init__(self, descriptor: int, *, is_coloured: bool) -> None:
        self._descriptor = descriptor
        self._is_coloured = is_coloured
        self._waiting: deque[bytes] = deque()
        self._rest = b""
        self._dropped = 0
        self._is_closed = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_watched = False
        mode = os.fstat(descriptor).st_mode
        # Regular files and /dev/null never block, and epoll refuses them.
        self._can_wait = stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or os.isatty(descriptor)

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Write from this loop from now on, what waits already included."""
        self._loop = loop
        if self._waiting:
            self._write_later()

    def line(self, name: str, text: str) -> None:
        """Add one line of the process `name`."""
        prefix = f"{name:<{NAME_WIDTH}} | "
        if self._is_coloured:
            prefix = f"\x1b[{COLOURS.get(name, 37)}m{prefix}\x1b[0m"
        if len(self._waiting) >= MAX_WAITING_LINES:
            self._dropped += 1
            return
        if self._dropped:
            self._waiting.append(f"... {self._dropped} lines were dropped: nobody read the log\n".encode())
            self._dropped = 0
        self._waiting.append(f"{prefix}{text}\n".encode(errors="replace"))
        self._write_later()

    def flush(self, *, patience_seconds: float = 1.0) -> None:
        """Write what waits, at the end; give up on a reader that does not read."""
        self._unwatch()
        deadline = time.monotonic() + patience_seconds
        while (self._rest or self._waiting) and not self._is_closed:
            if (
                self._can_wait
                and not select.select([], [self._descriptor], [], max(0.0, deadline - time.monotonic()))[1]
            ):
                return
            self._write_chunk()

    def _write_later(self) -> None:
        if not self._can_wait:
            while self._rest or self._waiting:
                self._write_chunk()
        elif self._loop is not None and not self._is_watched and not self._is_closed:
            self._loop.add_writer(self._descriptor, self._write_ready)
            self._is_watched = True

    def _write_ready(self) -> None:
        self._write_chunk()
        if not self._rest and not self._waiting:
            self._unwatch()

    def _unwatch(self) -> None:
        if self._loop is not None and self._is_watched:
            self._loop.remove_writer(self._descriptor)
            self._is_watched = False

    def _write_chunk(self) -> None:
        while self._waiting and len(self._rest) < CHUNK_BYTES:
            self._rest += self._waiting.popleft()
        try:
            written = os.write(self._descriptor, self._rest[:CHUNK_BYTES])
        except BlockingIOError:
            return
        except OSError:  # the reader is gone; the product goes on without a log
            self._is_closed = True
            self._waiting.clear()
            self._rest = b""
            self._unwatch()
            return
        self._rest = self._rest[written:]
