"""Where a walk sends to, and what it says of each call: one line, `{"call", "error"}` (`tests/clients/walking.py`)."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import Any

# "url", "https_url", "token", "secret" (an API secret), "project_id", "username", "password" (of a service account).
TARGET: dict[str, str] = json.loads(os.environ["TARGET"])


def tell(name: str, call: Callable[[], Any]) -> None:
    """Make one call of the client and say how it ended, as the client sees it."""
    try:
        call()
        error = None
    except Exception as raised:  # noqa: BLE001  (whatever the client throws is what it has to say)
        error = f"{type(raised).__name__}: {raised}"
    print(json.dumps({"call": name, "error": error}), flush=True)


def run(parts: dict[str, Callable[[], None]]) -> None:
    """Walk the part that the command line names."""
    parts[sys.argv[1]]()
