"""A child process of `up`: its log lines, its end, its restart with growing pauses."""

import asyncio
import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable
from typing import IO

from cohortsync.standalone.log import LogStream
from cohortsync.standalone.programs import Program, spawn

PAUSES_SECONDS = (0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
# Alive for this long, a child starts with the shortest pause again.
STEADY_SECONDS = 30.0
MAX_LINE_BYTES = 65536


def pause_before(restart: int) -> float:
    """Return how long to wait before the nth restart in a row, from 1 on, in seconds."""
    return PAUSES_SECONDS[min(restart, len(PAUSES_SECONDS)) - 1]


class Child:
    """One process; `start` may be called again after it ended. `on_end` is told the exit code."""

    def __init__(self, program: Program, log: LogStream, on_end: Callable[["Child"], None]) -> None:
        self.program = program
        self.restarts = 0
        self.last_line = ""
        self.exit_code: int | None = None
        self.has_ended = asyncio.Event()
        self._log = log
        self._on_end = on_end
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0

    @property
    def name(self) -> str:
        return self.program.name

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None and not self.has_ended.is_set() else None

    def start(self, *, stdout: IO[bytes] | None = None) -> None:
        """Start the process; its lines go to the log, or its standard output to the file `stdout`."""
        reading, writing = os.pipe()
        with open(writing, "wb", buffering=0) as pipe:
            try:
                self._process = spawn(self.program, stdout=stdout or pipe, stderr=pipe)
            except OSError:
                os.close(reading)
                raise
        self.has_ended.clear()
        self._started_at = time.monotonic()
        _pump(reading, self._line)

    def reap(self) -> None:
        """Take note when the process has ended, and end what it left in its process group."""
        if self._process is None or self.has_ended.is_set() or self._process.poll() is None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self.exit_code = self._process.returncode
        if time.monotonic() - self._started_at > STEADY_SECONDS:
            self.restarts = 0
        self.has_ended.set()
        self._on_end(self)

    async def stop(self) -> None:
        """Ask the process to end and wait; past its grace, kill its process group."""
        self.signal(self.program.stop_signal)
        try:
            await asyncio.wait_for(self._gone(), self.program.grace_seconds)
        except TimeoutError:
            self._log.line("up", f"{self.name} did not stop within {self.program.grace_seconds:g} s and is ended")
            for number in (self.program.kill_signal, signal.SIGKILL):
                self.kill(number)
                with contextlib.suppress(TimeoutError):
                    return await asyncio.wait_for(self._gone(), 3.0)

    def kill(self, number: signal.Signals | None = None) -> None:
        """End the process and its group without grace."""
        if self.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, number or self.program.kill_signal)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process alone, if it runs."""
        if self.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def ending(self) -> str:
        """Say how it ended, for the log."""
        if self.exit_code is not None and self.exit_code < 0:
            return f"was ended by {signal.Signals(-self.exit_code).name}"
        return f"ended with exit code {self.exit_code}"

    async def _gone(self) -> None:
        if self.pid is not None:
            await self.has_ended.wait()

    def _line(self, text: str) -> None:
        self.last_line = text
        self._log.line(self.name, text)


def _pump(descriptor: int, take_line: Callable[[str], None]) -> None:
    """Hand each line that arrives on a pipe to `take_line`, until its last writer is gone."""
    loop = asyncio.get_running_loop()
    os.set_blocking(descriptor, False)
    rest = b""

    def read() -> None:
        nonlocal rest
        try:
            block = os.read(descriptor, 65536)
        except BlockingIOError:
            return
        *lines, rest = (rest + block).split(b"\n")
        if len(rest) > MAX_LINE_BYTES:
            lines, rest = [*lines, rest], b""
        if not block:
            loop.remove_reader(descriptor)
            os.close(descriptor)
            lines = [rest] if rest else []
        for line in lines:
            take_line(line.decode(errors="replace").rstrip("\r"))

    loop.add_reader(descriptor, read)
