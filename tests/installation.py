"""A running `manage.py up` of a test's own: its data folder, its ports, its processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import requests

from tests.free_ports import free_port

CHECKOUT = Path(__file__).resolve().parent.parent
# Short enough to wait for, in the same relation to each other as the real ones.
SHORT_CLOCKS = {
    "HTTP_CONNECT_TIMEOUT_SECONDS": "1",
    "HTTP_READ_TIMEOUT_SECONDS": "2",
    "LEASE_TTL_SECONDS": "10",
    "LEASE_HEARTBEAT_SECONDS": "0.5",
    "DYNAMIC_SYNC_TICK_SECONDS": "1",
    "DELIVERY_BATCH_SECONDS": "2",
    "CONTRARY_AFTER_ACCEPTED_SECONDS": "2",
    "CONTRARY_AFTER_UNANSWERED_SECONDS": "4",
}


class Installation:
    """`manage.py up` as a user runs it, with clocks short enough to wait for, and whatever else is set."""

    def __init__(self, data_dir: Path, **settings: str) -> None:
        self.port = free_port()
        self.data_dir = data_dir
        self.url = f"http://127.0.0.1:{self.port}"
        inherited = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "TZ")}
        own = {"PORT": str(self.port), "DATA_DIR": str(data_dir), "DEMO": "0"}
        self.environment = {**inherited, **SHORT_CLOCKS, **settings, **own}
        self._log = (data_dir / "up.log").open("w")
        self._process = subprocess.Popen(
            [sys.executable, "manage.py", "up"],
            cwd=CHECKOUT,
            env=self.environment,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def wait_until_healthy(self, *, seconds: float = 60) -> None:
        """Wait for /healthz to be 200."""
        ends_at = time.monotonic() + seconds
        while time.monotonic() < ends_at:
            if self._process.poll() is not None:
                break
            try:
                if requests.get(f"{self.url}/healthz", timeout=5).status_code == 200:
                    return
            except requests.RequestException:
                pass
            time.sleep(0.2)
        raise AssertionError(f"not healthy:\n{self.output()}")

    def sandbox_url(self) -> str:
        """Return the address of its sandbox."""
        return f"http://127.0.0.1:{self._state()['sandbox_port']}"

    def kill(self, name: str) -> None:
        """kill -9 one of its processes; the supervisor starts it again."""
        os.kill(self._state()["pids"][name], signal.SIGKILL)

    def kill_child_of(self, name: str) -> None:
        """kill -9 one of the processes that one of its processes started, such as a worker of the web server."""
        parent = self._state()["pids"][name]
        listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
        pairs = [line.split() for line in listed.splitlines()]
        os.kill(next(int(pid) for pid, ppid in pairs if int(ppid) == parent), signal.SIGKILL)

    def database_url(self) -> str:
        """Return the address of its database."""
        return str(self._state()["database_url"])

    def output(self) -> str:
        """Return the end of its log."""
        self._log.flush()
        return (self.data_dir / "up.log").read_text()[-6000:]

    def stop(self) -> None:
        """Stop it as Ctrl-C does."""
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(30)
        finally:
            self._process.kill()
            self._log.close()

    def _state(self) -> dict[str, dict[str, int]]:
        state: dict[str, dict[str, int]] = json.loads((self.data_dir / "state.json").read_text())
        return state
