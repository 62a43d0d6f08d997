"""A sandbox process, an app in it, and a client that checks every exchange against the OpenAPI document."""

from __future__ import annotations

import http.client
import re
import subprocess
import sys
import time
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import requests

from tests.sandbox.openapi import check_exchange

CHECKOUT = Path(__file__).resolve().parent.parent.parent
DENIED = (
    "Access denied.  Please include an 'Authorization: ...' header with a valid API key "
    "(https://documentation.onesignal.com/docs/en/keys-and-ids#api-keys)."
)


class SandboxProcess:
    """One sandbox process with its state folder; it can be killed and started again."""

    def __init__(self, state_dir: Path) -> None:
        self.state_dir = state_dir
        self.process = self._start("0")
        self.port = self._read_port()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start_again(self) -> None:
        self.process = self._start(str(self.port))
        self._read_port()

    def kill(self) -> None:
        self.process.kill()
        self._wait()

    def stop(self) -> int:
        self.process.terminate()
        return self._wait()

    def _start(self, port: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "integrations.destinations.onesignal.sandbox", "--port", port]
        return subprocess.Popen(
            [*command, "--state-dir", str(self.state_dir)], cwd=CHECKOUT, stdout=subprocess.PIPE, text=True
        )

    def _read_port(self) -> int:
        assert self.process.stdout is not None
        found = re.search(r":(\d+)$", self.process.stdout.readline().strip())
        assert found, "the sandbox did not start"
        return int(found[1])

    def _wait(self) -> int:
        assert self.process.stdout is not None
        self.process.stdout.close()
        return self.process.wait(10)


class App:
    """One app of a sandbox: its API with its key, and its control endpoints."""

    def __init__(self, url: str, **fields: Any) -> None:
        self.url = url
        self.session = requests.Session()
        made = self.session.post(f"{url}/_control/apps", json=fields).json()
        self.app_id: str = made["app_id"]
        self.api_key: str = made["api_key"]

    def call(
        self, method: str, path: str, body: object = None, *, headers: dict[str, str] | None = None
    ) -> requests.Response:
        """Call the app's API (`path` follows `/apps/{app_id}`) and check the exchange."""
        return self.call_any(method, f"/apps/{self.app_id}{path}", body, headers=headers)

    def call_any(
        self, method: str, path: str, body: object = None, *, headers: dict[str, str] | None = None
    ) -> requests.Response:
        """Call any path with the app's key and check the exchange."""
        if headers is None:
            headers = {"Authorization": f"Key {self.api_key}"}
        answer = self.session.request(method, self.url + path, json=body, headers=headers)
        check_exchange(method, path, body, answer.status_code, answer.json())
        return answer

    def control(self, method: str, path: str = "", body: object = None, *, expect: int = 200) -> Any:
        """Call a control endpoint of the app."""
        answer = self.session.request(method, f"{self.url}/_control/apps/{self.app_id}{path}", json=body)
        assert answer.status_code == expect, answer.text
        return answer.json()

    def add_users(self, *external_ids: str) -> None:
        self.control("POST", "/users", {"external_ids": list(external_ids)})

    def patch(self, external_id: str, tags: dict[str, Any] | None = None, **body: Any) -> requests.Response:
        """Change tags of a user through the API."""
        if tags is not None:
            body["properties"] = {"tags": tags}
        return self.call("PATCH", user_path(external_id), body)

    def tags(self, external_id: str) -> dict[str, str]:
        tags: dict[str, str] = self.call("GET", user_path(external_id)).json()["properties"]["tags"]
        return tags

    def create_segment(self, name: str = "Buyers", *, key: str = "cs_1", **fields: Any) -> requests.Response:
        """Create the segment of those who carry a tag."""
        body = {"name": name, "filters": [tag_filter(key)], **fields}
        return self.call("POST", "/segments", body)

    def members(self, segment_id: str) -> set[str]:
        return set(self.control("GET", f"/segments/{segment_id}/users")["external_ids"])


def user_path(alias_id: str, label: str = "external_id") -> str:
    """Return the path of a user below the app's."""
    return f"/users/by/{label}/{quote(alias_id, safe='')}"


def tag_filter(key: str, relation: str = "=", value: str | None = "1") -> dict[str, str]:
    """Return a filter on a tag."""
    entry = {"field": "tag", "key": key, "relation": relation}
    return entry if value is None else {**entry, "value": value}


def patch_statuses(app: App, external_ids: Iterable[str], tags: dict[str, str]) -> list[int | None]:
    """PATCH users one after the other on one connection, fast; None where the connection closed without an answer."""
    address = urlsplit(app.url)
    link = http.client.HTTPConnection(str(address.hostname), address.port, timeout=10)
    body = b'{"properties":{"tags":{%s}}}' % b",".join(f'"{key}":"{value}"'.encode() for key, value in tags.items())
    statuses: list[int | None] = []
    for external_id in external_ids:
        try:
            link.request(
                "PATCH", f"/apps/{app.app_id}{user_path(external_id)}", body, {"Content-Type": "application/json"}
            )
            answer = link.getresponse()
            answer.read()
            statuses.append(answer.status)
        except ConnectionError:
            link.close()
            statuses.append(None)
    link.close()
    return statuses


def errors(answer: requests.Response) -> Any:
    """Return the errors of an answer."""
    return answer.json()["errors"]


def wait_until(condition: Any, *, seconds: float = 5.0) -> None:
    """Wait for a condition to hold."""
    ends_at = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends_at, "it did not happen in time"
        time.sleep(0.02)


def some_uuid() -> str:
    """Return a new UUID."""
    return str(uuid.uuid4())
