"""One log for all processes, which never holds them up."""

import asyncio
import contextlib
import os
from pathlib import Path

from cohortsync.standalone import log as log_module
from cohortsync.standalone.log import LogStream


def write(lines: int, descriptor: int, *, is_coloured: bool = False, patience_seconds: float = 0.2) -> None:
    async def story() -> None:
        stream = LogStream(descriptor, is_coloured=is_coloured)
        stream.attach(asyncio.get_running_loop())
        for number in range(lines):
            stream.line("web", f"line {number}")
        await asyncio.sleep(0)
        stream.flush(patience_seconds=patience_seconds)

    asyncio.run(asyncio.wait_for(story(), 5))


def test_each_line_stands_behind_the_name_of_its_process(tmp_path: Path) -> None:
    with open(tmp_path / "log", "wb") as file:
        write(2, file.fileno())
    assert (tmp_path / "log").read_text() == "web      | line 0\nweb      | line 1\n"


def test_names_are_coloured_on_a_terminal(tmp_path: Path) -> None:
    with open(tmp_path / "log", "wb") as file:
        write(1, file.fileno(), is_coloured=True)
    assert (tmp_path / "log").read_text() == "\x1b[32mweb      | \x1b[0mline 0\n"


def test_a_reader_that_does_not_read_costs_lines_and_no_time() -> None:
    reading, writing = os.pipe()
    write(log_module.MAX_WAITING_LINES * 2, writing)
    os.close(writing)
    with open(reading, "rb") as pipe:
        assert pipe.read().startswith(b"web      | line 0\n")


def test_lines_that_were_dropped_are_counted() -> None:
    reading, writing = os.pipe()
    os.set_blocking(reading, False)

    async def story() -> bytes:
        stream = LogStream(writing, is_coloured=False)
        for number in range(log_module.MAX_WAITING_LINES + 8):
            stream.line("web", f"line {number}")
        stream.attach(asyncio.get_running_loop())
        read = b""
        while not read.endswith(f"line {log_module.MAX_WAITING_LINES - 1}\n".encode()):
            await asyncio.sleep(0.001)
            with contextlib.suppress(BlockingIOError):
                read += os.read(reading, 65536)
        stream.line("web", "after")
        stream.flush()
        return os.read(reading, 65536)

    assert asyncio.run(story()) == b"... 8 lines were dropped: nobody read the log\nweb      | after\n"
    os.close(reading)
    os.close(writing)


def test_a_reader_that_went_away_ends_the_log_and_nothing_else() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    write(10, writing)
    os.close(writing)
