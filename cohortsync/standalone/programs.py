"""A program to start: command, account, input, and how it is to be ended."""

import os
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO

from cohortsync.standalone.accounts import Account
from cohortsync.standalone.lifetime import die_with_parent


@dataclass(frozen=True)
class Program:
    """What `spawn` needs; secrets travel in `environ` or `stdin`, never in `argv`, which every user can read."""

    name: str
    argv: tuple[str, ...]
    environ: Mapping[str, str]
    cwd: Path
    account: Account | None = None
    stdin: bytes = b""
    stop_signal: signal.Signals = signal.SIGTERM
    kill_signal: signal.Signals = signal.SIGKILL
    orphan_signal: signal.Signals = signal.SIGKILL
    grace_seconds: float = 2.0


def spawn(program: Program, *, stdout: int | IO[bytes], stderr: int | IO[bytes]) -> subprocess.Popen[bytes]:
    """Start a program in a session of its own, tied to the life of the calling process. Call it in the main thread.

    (The kernel's parent-death signal follows the thread that forked.) Raises OSError when it cannot be run.
    """
    process = subprocess.Popen(
        program.argv,
        env=dict(program.environ),
        cwd=program.cwd,
        stdin=subprocess.PIPE if program.stdin else subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        start_new_session=True,
        # Runs after the change of account, which would clear the parent-death signal.
        preexec_fn=partial(die_with_parent, program.orphan_signal, os.getpid()),
        user=program.account.uid if program.account else None,
        group=program.account.gid if program.account else None,
        extra_groups=[] if program.account else None,
    )
    if process.stdin is not None:
        try:
            process.stdin.write(program.stdin)
            process.stdin.close()
        except BrokenPipeError:  # it ended at once; its exit says more
            pass
    return process
