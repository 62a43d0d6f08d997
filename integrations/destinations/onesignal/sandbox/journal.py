"""The sandbox's memory on disk: one append-only file of changes, read again at the next start.

Every change is one line of JSON. Lines are gathered while a request is handled and written with one `write` before its
answer is sent, so that `kill -9` loses nothing that was answered: what is written has reached the kernel. A laxer rule
(a flush per event-loop tick or per second) would gain nothing: one `write` of 150 bytes took 0.5 microseconds of the
150 that a request takes. There is no `fsync` while running; a power cut may cost the sandbox its last seconds.

The snapshot is the same file in the same form: at the start `state.py` may write the least list of changes that leads
to the present state into a new file, which then takes the place of the old one in one rename. A last line that a crash
cut short is dropped; a broken line elsewhere stops the start, because guessing would hide a fault.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import orjson

FILE_NAME = "journal.ndjson"
FIRST_LINE = ["onesignal-sandbox", 1]

Change = list[object]


class JournalError(Exception):
    """The journal cannot be used; the message says why and what to do."""


class Journal:
    """The file of changes in `state_dir`, held by one process at a time."""

    def __init__(self, state_dir: Path) -> None:
        """Open and lock the journal. Raises JournalError when another sandbox holds it or it cannot be written."""
        self._path = state_dir / FILE_NAME
        self._pending: list[bytes] = []
        try:
            state_dir.mkdir(parents=True, exist_ok=True)
            # The lock has a file of its own: the journal is replaced while it is held.
            self._lock = os.open(state_dir / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise JournalError(
                    f"Another sandbox keeps its state in {state_dir}; stop it, or name another folder."
                ) from None
            self._file = self._open(self._path)
        except OSError as error:
            raise JournalError(
                f"The sandbox cannot keep its state in {state_dir} ({error.strerror}); name a folder it may write to."
            ) from None

    def read(self) -> Iterator[Change]:
        """Yield all changes in their order and cut off a last line that is not whole. Raises JournalError."""
        whole_bytes = 0
        with self._path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                if not line.endswith(b"\n"):
                    break
                change = self._parsed(line, number)
                whole_bytes += len(line)
                if number > 1:
                    yield change
        os.ftruncate(self._file, whole_bytes)
        if whole_bytes == 0:
            self.append(FIRST_LINE)
            self.flush()

    def append(self, change: object) -> None:
        """Add a change to those that the next flush writes."""
        self._pending.append(orjson.dumps(change))

    def flush(self) -> None:
        """Write what was added. Raises JournalError when the disk does not take it."""
        if self._pending:
            lines = b"\n".join([*self._pending, b""])
            self._pending.clear()
            _write(self._file, lines, self._path)

    def replace(self, changes: Iterable[object]) -> None:
        """Let `changes` be all there is. Raises JournalError; the old file stays in place then."""
        path = self._path.with_suffix(".new")
        path.unlink(missing_ok=True)
        new = self._open(path)
        _write(new, orjson.dumps(FIRST_LINE) + b"\n", path)
        for change in changes:
            _write(new, orjson.dumps(change) + b"\n", path)
        os.fsync(new)
        path.replace(self._path)
        os.close(self._file)
        self._file = new

    def close(self) -> None:
        """Write the rest and let go of the file."""
        self.flush()
        os.close(self._file)
        os.close(self._lock)

    def _open(self, path: Path) -> int:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def _parsed(self, line: bytes, number: int) -> Change:
        try:
            change = orjson.loads(line)
        except orjson.JSONDecodeError:
            change = None
        if not isinstance(change, list) or (number == 1 and change != FIRST_LINE):
            raise unusable(f"line {number}")
        return change


def unusable(part: str) -> JournalError:
    """Return the error of a journal whose `part` makes no sense."""
    return JournalError(
        f"The sandbox's {FILE_NAME} was not written by this version: {part} makes no sense. "
        "Delete the file to start with an empty sandbox."
    )


def _write(file: int, content: bytes, path: Path) -> None:
    try:
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(file, rest) :]
    except OSError as error:
        raise JournalError(
            f"The sandbox cannot write to {path} ({error.strerror}); make room and start it again."
        ) from error
