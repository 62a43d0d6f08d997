"""Ports for servers that a test starts, stops and starts again."""

from __future__ import annotations

import random

from cohortsync.standalone import ports

# Below the ports that systems give to outgoing connections (Linux: from 32768 on). One of those is free now and may be
# the source of somebody's connection a moment later, while the test's own server is down.
FIRST, LAST = 20_000, 32_000


def free_port() -> int:
    """Return a port whose successor is free as well (the sandbox takes it)."""
    while True:
        port = random.randrange(FIRST, LAST)
        if ports.is_free(port) and ports.is_free(port + 1):
            return port
