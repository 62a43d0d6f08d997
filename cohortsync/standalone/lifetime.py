"""A child does not outlive its parent, and what an earlier start left behind is ended before the next one."""

import contextlib
import ctypes
import os
import signal
import sys
import time
from pathlib import Path

PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def die_with_parent(number: int = signal.SIGKILL, parent: int | None = None) -> None:
    """Ask the kernel to send this process a signal when its parent ends, even by kill -9. Linux only, else nothing.

    `parent` is the process id seen before the fork: had it ended in between, no signal would ever come.
    """
    if _libc is None:
        return
    _libc.prctl(PR_SET_PDEATHSIG, int(number), 0, 0, 0)
    if parent is not None and os.getppid() != parent:
        os.kill(os.getpid(), number)


def leftovers(folder: Path, program: str) -> list[int]:
    """Return the ids of processes of `program` that live in `folder` (a server's working directory). Linux only."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if (entry / "comm").read_text().strip() == program and (entry / "cwd").readlink() == folder:
                found.append(int(entry.name))
        except OSError:  # it ended, or belongs to someone else
            continue
    return sorted(found)


def end_leftovers(folder: Path, program: str, *, patience_seconds: float = 5.0) -> None:
    """Wait until no process of `program` lives in `folder`; after the patience send SIGQUIT, then SIGKILL.

    The caller holds the lock of the folder's DATA_DIR, so nobody else can be using it.
    """
    if _is_empty_within(folder, program, patience_seconds):
        return
    for number in (signal.SIGQUIT, signal.SIGKILL):
        for pid in leftovers(folder, program):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        if _is_empty_within(folder, program, patience_seconds):
            return


def _is_empty_within(folder: Path, program: str, patience_seconds: float) -> bool:
    deadline = time.monotonic() + patience_seconds
    while leftovers(folder, program):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
