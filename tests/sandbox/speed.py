"""How fast the sandbox answers: `python -m tests.sandbox.speed` prints PATCHes a second and a bare uvicorn's answers.

Each server has the first core to itself and the client the second, where there are two. Both are measured in turns, so
that what else the machine does touches both; the best turn counts.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, MutableMapping
from pathlib import Path
from typing import Any

from tests.sandbox.cast import App, SandboxProcess, wait_until

CONNECTIONS = 32
SECONDS = 3.0
TURNS = 3
USERS = 50_000


async def hello(scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
    """The least ASGI application there is."""
    await receive()
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"5")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"hello"})


class Client(asyncio.Protocol):
    """One connection that sends the next request as soon as an answer is there."""

    def __init__(self, next_request: Callable[[], bytes]) -> None:
        self._next_request = next_request
        self.answers = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._received = b""
        transport.write(self._next_request())

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, separator, body = self._received.partition(b"\r\n\r\n")
        if not separator or len(body) < int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0]):
            return
        assert head.startswith((b"HTTP/1.1 200", b"HTTP/1.1 202")), head
        self._received = b""
        self.answers += 1
        self._transport.write(self._next_request())


async def answers_per_second(port: int, next_request: Callable[[], bytes]) -> float:
    """Send requests on all connections for some seconds."""
    loop = asyncio.get_running_loop()
    clients = [Client(next_request) for _ in range(CONNECTIONS)]
    links = [await loop.create_connection(lambda each=each: each, "127.0.0.1", port) for each in clients]  # type: ignore[misc]
    started_at = time.monotonic()
    await asyncio.sleep(SECONDS)
    rate = sum(client.answers for client in clients) / (time.monotonic() - started_at)
    for transport, _ in links:
        transport.abort()
    return rate


def requests_to(app: App) -> Callable[[], bytes]:
    """Return PATCHes of one user after the other, which add and take away a tag."""
    number = 0

    def next_request() -> bytes:
        nonlocal number
        number += 1
        body = b'{"properties":{"tags":{"cs_0123456789ab":"%s"}}}' % (b"1" if number % 2 else b"")
        return (
            b"PATCH /apps/%s/users/by/external_id/user-%d HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Key x\r\n"
            b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
            % (app.app_id.encode(), number % USERS, len(body), body)
        )

    return next_request


def is_open(port: int) -> bool:
    """Tell whether somebody listens on a port."""
    with socket.socket() as link:
        return link.connect_ex(("127.0.0.1", port)) == 0


def main() -> None:
    """Measure both and print one line of JSON."""
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, cores[:1])  # the servers inherit it
    with tempfile.TemporaryDirectory() as folder:
        sandbox = SandboxProcess(Path(folder))
        bare_port = sandbox.port + 1
        bare = subprocess.Popen(
            [
                *(sys.executable, "-m", "uvicorn", "tests.sandbox.speed:hello", "--port", str(bare_port)),
                *("--http", "httptools", "--loop", "asyncio", "--lifespan", "off", "--no-access-log"),
                *("--log-level", "warning", "--no-server-header", "--no-date-header"),
            ]
        )
        os.sched_setaffinity(0, cores[1:] or cores)
        try:
            app = App(sandbox.url, plan="enterprise")
            app.add_users(*[f"user-{number}" for number in range(USERS)])
            app.control("PUT", "/faults", {"limit_per_second": 1_000_000})
            wait_until(lambda: is_open(bare_port))
            patch, plain = requests_to(app), b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
            patches, hellos = [], []
            for _ in range(TURNS):
                hellos.append(asyncio.run(answers_per_second(bare_port, lambda: plain)))
                patches.append(asyncio.run(answers_per_second(sandbox.port, patch)))
        finally:
            bare.terminate()
            bare.wait()
            sandbox.stop()
    figures = {"patch_per_second": round(max(patches)), "bare_per_second": round(max(hellos))}
    print(json.dumps({**figures, "ratio": round(max(patches) / max(hellos), 2)}))


if __name__ == "__main__":
    main()
