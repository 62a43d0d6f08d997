"""A server that writes down what clients send and answers as Mixpanel does, so that they go on; records the fixtures.

    .venv/bin/python -m tests.clients.recorder [browser ...]

walks the clients named, or all, against it and writes `recordings/*.json` anew. `recordings.py` reads them and
`test_recordings.py` plays them to the product.
"""

from __future__ import annotations

import base64
import json
import math
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.clients.recordings import FOLDER, Exchange
from tests.clients.tls import TlsDoor
from tests.clients.walking import CLIENTS, Environment, Target, install, walk

# Everything a recording holds beside the bytes of the clients; none of it opens anything.
TARGET = {
    "token": "0123456789abcdef0123456789abcdef",
    "secret": "0123456789abcdef0123456789abcdef",
    "project_id": "4242",
    "cohort_id": "4243",
    "cohort_people": "ann,cleo",
    "username": "walker",
    "password": "not-a-secret",
}
# Of the headers only those that change how a request is read or answered.
KEPT = (
    *("Content-Type", "Content-Encoding", "Authorization", "Origin"),
    *("Access-Control-Request-Method", "Access-Control-Request-Headers", "Access-Control-Request-Private-Network"),
)
PEOPLE_ASKED_FOR = [{"$distinct_id": name, "$properties": {"plan": "pro"}} for name in ("ann", "cleo")]


class Recorder(ThreadingHTTPServer):
    """Listens on loopback; `exchanges` grows."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.exchanges: list[Exchange] = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Recorder
    protocol_version = "HTTP/1.1"

    def _take(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        kept = {name: self.headers[name] for name in KEPT if name in self.headers}
        status, kind, answer = _answer(self.command, self.path, body)
        self.server.exchanges.append(
            Exchange(method=self.command, path=self.path, headers=kept, body=body, status=status, answer=answer)
        )
        self.send_response(status)
        if "Origin" in kept:
            self.send_header("Access-Control-Allow-Origin", kept["Origin"])
            self.send_header("Access-Control-Allow-Credentials", "true")
            self.send_header("Access-Control-Allow-Headers", "Content-Type, Authorization, Content-Encoding")
        if status != 204:
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_POST = do_OPTIONS = _take

    def log_message(self, *arguments: Any) -> None:
        """Say nothing."""


def _answer(method: str, path: str, body: bytes) -> tuple[int, str, bytes]:
    """Return what Mixpanel answers (contract, 1.3, 1.4, 1.8 and 5.8): status, Content-Type, body."""
    if method == "OPTIONS":
        return 204, "", b""
    address = urlsplit(path)
    parameters = {**parse_qs(address.query), **parse_qs(body.decode("utf-8", "replace"))}
    if address.path.rstrip("/").endswith("/api/2.0/engage"):
        page = {
            "page": 0,
            "page_size": 1000,
            "results": PEOPLE_ASKED_FOR,
            "session_id": "1",
            "status": "ok",
            "total": 2,
        }
        return 200, "application/json", json.dumps(page).encode()
    if parameters.get("strict") == ["1"]:
        count = len(json.loads(body))
        return 200, "application/json", b'{"code":200,"num_records_imported":%d,"status":"OK"}' % count
    if parameters.get("verbose", ["0"]) == ["0"]:
        return 200, "text/plain", b"1"
    if address.path.rstrip("/") in {"/engage", "/groups"}:
        count = _record_count(parameters["data"][0] if "data" in parameters else body.decode())
        return 200, "application/json", b'{"error":null,"num_good_events":%d,"status":1}' % count
    return 200, "application/json", b'{"error":null,"status":1}'


def _record_count(sent: str) -> int:
    # mixpanel-browser writes the two halves of an emoji as if each were a character.
    decoded = (
        sent
        if sent.startswith(("[", "{"))
        else base64.b64decode(sent.replace(" ", "+")).decode("utf-8", "surrogatepass")
    )
    records = json.loads(decoded)
    return len(records) if isinstance(records, list) else 1


def main(names: list[str]) -> None:
    """Record every part of the clients named, or of all."""
    with tempfile.TemporaryDirectory(prefix="cohortsync-clients-") as folder:
        environment = install(Path(folder))
        for client in CLIENTS:
            if names and client.name not in names:
                continue
            print(f"{client.name} {client.version}")
            parts = {part: _record(environment, client.name, part) for part in client.parts}
            text = {
                "client": client.package,
                "version": client.version,
                "recorded_at": math.ceil(time.time()),
                "target": TARGET,
                "parts": {part: [each.as_json() for each in exchanges] for part, exchanges in parts.items()},
            }
            (FOLDER / f"{client.name}.json").write_text(json.dumps(text, indent=1, ensure_ascii=False) + "\n")


def _record(environment: Environment, name: str, part: str) -> list[Exchange]:
    recorder = Recorder()
    with TlsDoor(recorder.server_port, environment.folder) as door:
        target: Target = {**TARGET, "url": recorder.url, "https_url": door.url}  # type: ignore[typeddict-item]
        calls = walk(environment, name, part, target)
    recorder.shutdown()
    for call in calls:
        print(f"  {part:10} {call.name}: {call.error or 'done'}")
    assert all(call.error is None for call in calls), "a client was not content with the recorder's answers"
    return recorder.exchanges


if __name__ == "__main__":
    main(sys.argv[1:])
