"""`manage.py up` as a test sees it: a process with a log, an address, and everything that it started."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cohortsync.standalone import ports

CHECKOUT = Path(__file__).resolve().parents[2]


class Up:
    """A running `up` on a DATA_DIR and a port of its own."""

    def __init__(self, data_dir: Path, port: int, **environ: str) -> None:
        self.data_dir = data_dir
        self.port = port
        self.lines: list[str] = []
        inherited = {name: value for name, value in os.environ.items() if name not in {"DATABASE_URL", "REDIS_URL"}}
        self.process = subprocess.Popen(
            [sys.executable, "manage.py", "up", "--stop-with-parent"],
            cwd=CHECKOUT,
            env={**inherited, "DATA_DIR": str(data_dir), "PORT": str(port), "DEMO": "0", **environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        threading.Thread(target=self._read, daemon=True).start()

    def __enter__(self) -> Up:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(20)
            finally:
                self.process.kill()
        self.process.wait()

    def wait_until_announced(self, seconds: float = 60) -> str:
        """Wait for the address and return the line with the login."""
        self.wait_for(lambda: any("Ctrl-C stops it all" in line for line in self.lines), seconds)
        return next(line for line in self.lines if "Login" in line)

    def wait_for(self, condition: Callable[[], bool], seconds: float = 30) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline or self.process.poll() not in {None, -signal.SIGKILL}:
                raise AssertionError("it did not come to that; the log:\n" + "\n".join(self.lines[-60:]))
            time.sleep(0.05)

    def health(self) -> int:
        """Return the status of /healthz, 0 for no answer."""
        return health(self.port)

    def state(self) -> dict[str, Any]:
        state: dict[str, Any] = json.loads((self.data_dir / "state.json").read_text())
        return state

    def manage(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a `manage.py` command beside it, knowing no more than DATA_DIR and PORT."""
        kept = {name: os.environ[name] for name in ("PATH", "KEY_PREFIX") if name in os.environ}
        return subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=CHECKOUT,
            env={**kept, "DATA_DIR": str(self.data_dir), "PORT": str(self.port)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))


def health(port: int, path: str = "/healthz") -> int:
    """Return the status of a page on a port of this machine, 0 for no answer."""
    try:
        with urllib.request.urlopen(f"http://{ports.ADDRESS}:{port}{path}", timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def processes_of(data_dir: Path) -> dict[int, str]:
    """Return every living process that works for a DATA_DIR, by its environment or its working directory."""
    found = {}
    marker = f"DATA_DIR={data_dir}\0".encode()
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            is_ours = marker in (entry / "environ").read_bytes() or (entry / "cwd").readlink().is_relative_to(data_dir)
            if is_ours:
                found[int(entry.name)] = (entry / "cmdline").read_text().replace("\0", " ")
        except OSError:
            continue
    return found
