"""The process: a journal, a port on this machine, uvicorn in front of `answering.py`.

One process on one core; state is in memory, so a second worker would be a second OneSignal.
"""

from __future__ import annotations

import gc
import ipaddress
import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn, cast

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from integrations.destinations.onesignal.sandbox.answering import Sandbox, written_origin
from integrations.destinations.onesignal.sandbox.exports import Exports
from integrations.destinations.onesignal.sandbox.journal import Journal, JournalError
from integrations.destinations.onesignal.sandbox.state import State

# Longer than any client keeps a connection between two batches: closing one just as it is used again would be a fault.
KEEP_ALIVE_SECONDS = 75
GRACEFUL_SECONDS = 1


class ClosableProtocol(HttpToolsProtocol):
    """HTTP whose requests carry a way to close their connection: ASGI has none."""

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        self.scope["state"]["close"] = self.transport.close


class Server(uvicorn.Server):
    """uvicorn that ends on SIGTERM and SIGINT without raising them again, so that a stop is no crash."""

    exit_code = 0

    def stop(self, exit_code: int = 0) -> None:
        """End after the requests in flight."""
        self.exit_code = max(self.exit_code, exit_code)
        self.should_exit = True

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to `_serve`, which takes them before this server says that it is there."""
        yield


def run(*, host: str, port: int, state_dir: Path) -> int:
    """Serve until a signal comes and end the process; return an exit code if that cannot begin.

    `port` 0 takes a free one, which the first line of the output names.
    """
    problem = _host_problem(host)
    if problem is not None:
        return _fail(problem)
    try:
        listener = _listener(host, port)
    except OSError as error:
        return _fail(f"The sandbox cannot listen on {host}:{port} ({error.strerror}); choose another port.")
    with listener:
        try:
            state = _loaded_state(state_dir)
        except JournalError as error:
            return _fail(str(error))
        return _serve(state, Exports(state_dir / "exports"), listener)


def _listener(host: str, port: int) -> socket.socket:
    # asyncio sets TCP_NODELAY only where the protocol is named; without it every answer waits 40 ms for an ACK.
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(2048)
    except OSError:
        listener.close()
        raise
    return listener


def _loaded_state(state_dir: Path) -> State:
    # What is loaded stays: the collector need not walk through a million users again and again.
    journal = Journal(state_dir)
    gc.disable()
    try:
        state = State(journal)
    except JournalError:
        journal.close()
        raise
    finally:
        gc.enable()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    return state


def _serve(state: State, exports: Exports, listener: socket.socket) -> NoReturn:
    server: Server

    def stop(exit_code: int) -> None:
        server.stop(exit_code)

    application = Sandbox(state=state, exports=exports, stop=stop)
    server = Server(
        uvicorn.Config(
            cast(Any, application),
            http=ClosableProtocol,
            ws="none",
            loop="asyncio",
            lifespan="on",
            log_config=None,
            access_log=False,
            log_level="warning",
            server_header=False,
            date_header=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=GRACEFUL_SECONDS,
        )
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: server.stop())
    host, port = listener.getsockname()[:2]
    sys.stdout.write(f"Sandbox OneSignal at {written_origin(host, port)}\n")
    sys.stdout.flush()
    server.run(sockets=[listener])
    exit_code = server.exit_code
    try:
        state.close()
    except JournalError as error:
        exit_code = _fail(str(error))
    # At once: freeing a million users one by one takes longer than a stop may.
    os._exit(exit_code)


def _host_problem(host: str) -> str | None:
    try:
        is_loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        return f"--host {host!r} is no IP address; use 127.0.0.1."
    if not is_loopback:
        return f"The sandbox has no protection and listens on this machine only: use 127.0.0.1 instead of {host}."
    return None


def _fail(sentence: str) -> int:
    sys.stderr.write(f"{sentence}\n")
    return 1
