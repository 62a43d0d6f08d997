"""Start the sandbox: `python -m integrations.destinations.onesignal.sandbox --port N --state-dir DIR`."""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

from integrations.destinations.onesignal.sandbox.server import run


def main() -> int:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(prog="sandbox", description="A OneSignal to try things out on.")
    parser.add_argument("--port", type=int, required=True, help="port to listen on; 0 takes a free one")
    parser.add_argument("--state-dir", type=Path, required=True, help="folder that keeps the state")
    parser.add_argument("--host", default="127.0.0.1", help="a loopback address (default 127.0.0.1)")
    arguments = parser.parse_args()
    if not 0 <= arguments.port <= 65535:
        parser.error("--port must be a number from 0 to 65535")
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: sys.exit(0))  # until `run` serves and stops with more care
    return run(host=arguments.host, port=arguments.port, state_dir=arguments.state_dir)


if __name__ == "__main__":
    sys.exit(main())
