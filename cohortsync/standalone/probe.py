"""Asking the running product whether it is healthy, without a library and without blocking the supervisor."""

import asyncio
import contextlib
import json
from dataclasses import dataclass

from cohortsync.standalone.ports import ADDRESS

PATIENCE_SECONDS = 5.0


@dataclass(frozen=True)
class Health:
    """An answer of /healthz: all well, or the sentence of each check that is not, by its name."""

    is_well: bool
    missing: dict[str, str]


async def ask_health(port: int) -> Health:
    """Ask the web server on `port` for /healthz; no answer is an answer too."""
    try:
        status, body = await asyncio.wait_for(_get(port, "/healthz"), PATIENCE_SECONDS)
        checks = json.loads(body)["checks"]
        missing = {str(name): str(check["detail"]) for name, check in checks.items() if not check["ok"]}
    except (OSError, TimeoutError, ValueError, KeyError, TypeError, AttributeError, IndexError, EOFError):
        return Health(is_well=False, missing={"web": "The web server does not answer yet."})
    return Health(is_well=status == 200, missing=missing)


async def _get(port: int, path: str) -> tuple[int, bytes]:
    reader, writer = await asyncio.open_connection(ADDRESS, port)
    try:
        writer.write(f"GET {path} HTTP/1.0\r\nHost: {ADDRESS}:{port}\r\n\r\n".encode())
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
    return int(head.split(b" ", 2)[1]), body
