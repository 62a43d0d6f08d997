"""Keeps processes running until it is asked to stop, then ends them in order. What they are, `supervisor` knows."""

import asyncio
import signal
from collections.abc import Callable
from typing import IO

from cohortsync.standalone.children import Child, pause_before
from cohortsync.standalone.errors import CannotStart
from cohortsync.standalone.log import LogStream
from cohortsync.standalone.programs import Program


class Keeper:
    """The children of one `up`; `stop_order` lists the names of those it keeps, the first to stop first.

    `on_change` is called whenever a kept process was started.
    """

    def __init__(self, log: LogStream, *, stop_order: tuple[str, ...], on_change: Callable[[], None]) -> None:
        self.stop_asked = asyncio.Event()
        self._log = log
        self._stop_order = stop_order
        self._on_change = on_change
        self._children: list[Child] = []
        self._kept: dict[str, Child] = {}
        self._preparations: dict[str, Callable[[], None]] = {}

    @property
    def kept(self) -> list[Child]:
        return list(self._kept.values())

    @property
    def pids(self) -> dict[str, int]:
        """The process ids of what runs, by name."""
        return {name: child.pid for name, child in self._kept.items() if child.pid is not None}

    def watch_signals(self) -> None:
        """Stop on SIGINT, SIGTERM and SIGHUP: the first asks, the second ends everything at once."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGCHLD, self._reap)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            # `nohup` ignores the hang-up on purpose. A shell's background job ignores SIGINT without meaning it.
            if number is not signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                loop.add_signal_handler(number, self._ask_to_stop)

    def begin(self, program: Program, *, stdout: IO[bytes] | None = None) -> Child:
        """Start a program once. Raises CannotStart when it cannot be run."""
        child = Child(program, self._log, self._ended)
        self._children.append(child)
        try:
            child.start(stdout=stdout)
        except OSError as error:
            raise CannotStart(f"{program.name} cannot be started: {error.strerror} ({program.argv[0]}).") from error
        return child

    def keep(self, child: Child, *, prepare: Callable[[], None] | None = None) -> None:
        """From now on start the child again whenever it ends, each time after `prepare`."""
        self._kept[child.name] = child
        if prepare is not None:
            self._preparations[child.name] = prepare
        self._on_change()
        if child.has_ended.is_set():
            self._ended(child)

    async def stop(self) -> None:
        """End what runs: commands in passing at once, then the processes in order."""
        self.stop_asked.set()
        for child in self._children:
            if child.name not in self._stop_order:
                child.kill()
        for name in self._stop_order:
            for child in self._children:
                if child.name == name:
                    await child.stop()

    def _ask_to_stop(self) -> None:
        if not self.stop_asked.is_set():
            self._log.line("up", "stopping; once more ends everything at once")
            self.stop_asked.set()
            return
        for child in self._children:
            child.kill()

    def _reap(self) -> None:
        for child in list(self._children):
            child.reap()

    def _ended(self, child: Child) -> None:
        if self._kept.get(child.name) is child and not self.stop_asked.is_set():
            child.restarts += 1
            pause = pause_before(child.restarts)
            self._log.line("up", f"{child.name} {child.ending()}; starting it again in {pause:g} s")
            asyncio.get_running_loop().call_later(pause, self._start_again, child)

    def _start_again(self, child: Child) -> None:
        if self.stop_asked.is_set():
            return
        try:
            if child.name in self._preparations:
                self._preparations[child.name]()
            child.start()
        except (OSError, CannotStart) as error:
            self._log.line("up", f"{child.name} cannot be started: {error}")
            self._ended(child)
            return
        self._on_change()
