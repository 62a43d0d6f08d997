"""The sandbox as tests see it: one process for the session, one app per test."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from tests.free_ports import free_port


class SandboxApp:
    """One app in the sandbox, driven through the control endpoints."""

    def __init__(self, url: str, *, plan: str = "growth") -> None:
        self.url = url
        made = requests.post(f"{url}/_control/apps", json={"plan": plan}, timeout=10)
        made.raise_for_status()
        self.app_id: str = made.json()["app_id"]
        self.api_key: str = made.json()["api_key"]

    def add_users(self, *external_ids: str) -> None:
        """Make users known over there."""
        self._call("POST", "users", {"external_ids": list(external_ids)})

    def segment_users(self, segment_id: uuid.UUID | str) -> set[str]:
        """Return the external ids in a segment, evaluated from its filters; a segment that does not exist has none."""
        if str(segment_id) not in {segment["id"] for segment in self.segments()}:
            return set()
        return set(self._call("GET", f"segments/{segment_id}/users")["external_ids"])

    def set_faults(self, **faults: Any) -> None:
        """Replace the app's faults."""
        self._call("PUT", "faults", faults)

    def change(self, **fields: Any) -> None:
        """Change the app's plan, key or limits."""
        self._call("PATCH", "", fields)
        self.api_key = fields.get("api_key", self.api_key)

    def user_requests(self) -> int:
        """Return how many requests named a user since the last reset."""
        requests_by_route = self._call("GET", "stats")["requests"]
        return sum(count for route, count in requests_by_route.items() if "/users/" in route)

    def stats(self) -> dict[str, Any]:
        """Return the app's counters."""
        stats: dict[str, Any] = self._call("GET", "stats")
        return stats

    def reset_stats(self) -> None:
        """Set the counters to zero."""
        self._call("DELETE", "stats")

    def segments(self) -> list[dict[str, Any]]:
        """Return the app's segments as its API lists them."""
        answer = requests.get(
            f"{self.url}/apps/{self.app_id}/segments", headers={"Authorization": f"Key {self.api_key}"}, timeout=10
        )
        answer.raise_for_status()
        rows: list[dict[str, Any]] = answer.json()["segments"]
        return rows

    def tags(self, external_id: str) -> dict[str, str]:
        """Return a user's tags as the API shows them."""
        quoted = requests.utils.quote(external_id, safe="")  # type: ignore[attr-defined]
        answer = requests.get(f"{self.url}/apps/{self.app_id}/users/by/external_id/{quoted}", timeout=10)
        answer.raise_for_status()
        tags: dict[str, str] = answer.json()["properties"]["tags"]
        return tags

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        url = f"{self.url}/_control/apps/{self.app_id}/{path}".rstrip("/")
        answer = requests.request(method, url, json=body, timeout=30)
        answer.raise_for_status()
        return answer.json() if answer.content else None


@contextlib.contextmanager
def sandbox_process() -> Iterator[str]:
    """Run the sandbox for the block; yield its address."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        module = "integrations.destinations.onesignal.sandbox"
        process = subprocess.Popen([sys.executable, "-m", module, "--port", str(port), "--state-dir", folder])
        url = f"http://127.0.0.1:{port}"
        try:
            ends_at = time.monotonic() + 20
            while True:
                try:
                    requests.get(f"{url}/healthz", timeout=1)
                    break
                except requests.ConnectionError:
                    assert process.poll() is None, "the sandbox did not start"
                    assert time.monotonic() < ends_at, "the sandbox does not answer"
                    time.sleep(0.05)
            yield url
        finally:
            process.terminate()
            process.wait(10)


@pytest.fixture(scope="session")
def sandbox_url() -> Iterator[str]:
    """Run the sandbox for the session."""
    with sandbox_process() as url:
        yield url


@pytest.fixture
def onesignal(sandbox_url: str, settings: Any) -> SandboxApp:
    """An app of its own on OneSignal's side, on a paid plan, reachable as the installation's sandbox."""
    settings.SANDBOX_URL = sandbox_url
    return SandboxApp(sandbox_url)
