"""Processes are started again when they end, with growing pauses, and stopped in order."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from cohortsync.standalone.children import PAUSES_SECONDS, pause_before
from cohortsync.standalone.errors import CannotStart
from cohortsync.standalone.keeper import Keeper
from cohortsync.standalone.log import LogStream
from cohortsync.standalone.programs import Program

STUBBORN = "import signal, time; signal.signal(15, signal.SIG_IGN); print('ready', flush=True); time.sleep(60)"
OBEDIENT = "import time; print('ready', flush=True); time.sleep(60)"
PARENT = (
    "import subprocess, time; p = subprocess.Popen(['sleep', '60']); print('child', p.pid, flush=True); time.sleep(60)"
)


def program(name: str, code: str, *, grace_seconds: float = 5.0) -> Program:
    return Program(name, (sys.executable, "-c", code), os.environ, Path("/"), grace_seconds=grace_seconds)


def run_story(story: Callable[[Keeper], Coroutine[Any, Any, None]], log: Path) -> str:
    """Run a story with a keeper of `first` and `second`; return the log."""

    async def told(descriptor: int) -> None:
        stream = LogStream(descriptor, is_coloured=False)
        stream.attach(asyncio.get_running_loop())
        keeper = Keeper(stream, stop_order=("first", "second"), on_change=lambda: None)
        keeper.watch_signals()
        try:
            await asyncio.wait_for(story(keeper), 20)
        finally:
            await keeper.stop()

    with open(log, "wb") as file:
        asyncio.run(told(file.fileno()))
    return log.read_text()


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.01)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_pauses_grow_and_stay() -> None:
    assert [pause_before(number) for number in range(1, 10)] == [*PAUSES_SECONDS, 30.0, 30.0]


def test_a_process_that_was_killed_is_started_again(tmp_path: Path) -> None:
    async def story(keeper: Keeper) -> None:
        prepared: list[int] = []
        child = keeper.begin(program("first", OBEDIENT))
        keeper.keep(child, prepare=lambda: prepared.append(1))
        first = keeper.pids["first"]
        os.kill(first, signal.SIGKILL)
        await until(lambda: keeper.pids.get("first", first) != first)
        assert prepared == [1]

    log = run_story(story, tmp_path / "log")
    assert "up       | first was ended by SIGKILL; starting it again in 0.1 s" in log


def test_what_a_killed_process_started_goes_with_it(tmp_path: Path) -> None:
    async def story(keeper: Keeper) -> None:
        child = keeper.begin(program("first", PARENT))
        keeper.keep(child)
        await until(lambda: child.last_line.startswith("child"))
        grandchild = int(child.last_line.split()[1])
        assert is_alive(grandchild)
        os.kill(keeper.pids["first"], signal.SIGKILL)
        await until(lambda: not is_alive(grandchild))

    run_story(story, tmp_path / "log")


def test_processes_stop_one_after_the_other_in_the_given_order(tmp_path: Path) -> None:
    code = "import signal, sys, time; signal.signal(15, lambda *_: (print('bye', flush=True), sys.exit())); "
    code += "print('ready', flush=True); time.sleep(60)"

    async def story(keeper: Keeper) -> None:
        children = [keeper.begin(program(name, code)) for name in ("second", "first")]
        for child in children:
            keeper.keep(child)
        await until(lambda: all(child.last_line == "ready" for child in children))

    log = run_story(story, tmp_path / "log")
    assert log.index("first    | bye") < log.index("second   | bye")
    assert "starting it again" not in log


def test_a_process_that_does_not_stop_is_ended_after_its_grace(tmp_path: Path) -> None:
    async def story(keeper: Keeper) -> None:
        child = keeper.begin(program("first", STUBBORN, grace_seconds=0.2))
        keeper.keep(child)
        await until(lambda: child.last_line == "ready")

    assert "first did not stop within 0.2 s and is ended" in run_story(story, tmp_path / "log")


def test_a_second_interrupt_ends_everything_at_once(tmp_path: Path) -> None:
    async def story(keeper: Keeper) -> None:
        child = keeper.begin(program("first", STUBBORN))
        keeper.keep(child)
        await until(lambda: child.last_line == "ready")
        os.kill(os.getpid(), signal.SIGINT)
        await keeper.stop_asked.wait()
        os.kill(os.getpid(), signal.SIGINT)
        await until(child.has_ended.is_set)

    assert "stopping; once more ends everything at once" in run_story(story, tmp_path / "log")


def test_a_program_that_is_not_there_is_said(tmp_path: Path) -> None:
    async def story(keeper: Keeper) -> None:
        with pytest.raises(CannotStart, match="first cannot be started: No such file"):
            keeper.begin(Program("first", ("/nonexistent",), {}, Path("/")))

    run_story(story, tmp_path / "log")
