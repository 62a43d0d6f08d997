"""Ports on 127.0.0.1: which are free."""

import socket

from cohortsync.standalone.errors import CannotStart

ADDRESS = "127.0.0.1"


def is_free(port: int) -> bool:
    """Say whether a server could listen on the port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do: a port in TIME_WAIT is free, one with a listener is not.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((ADDRESS, port))
        except OSError:
            return False
    return True


def first_free(start: int, *, tries: int = 200) -> int:
    """Return the first free port from `start` on; raises CannotStart after `tries` taken ones."""
    for port in range(start, min(start + tries, 65536)):
        if is_free(port):
            return port
    raise CannotStart(
        f"No free port from {start} to {min(start + tries, 65536) - 1} on {ADDRESS}; end what listens there."
    )
