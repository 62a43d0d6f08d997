"""Valkey (or Redis) of our own: the broker and cache, with an append-only file so that queued work survives a kill."""

import signal
from dataclasses import dataclass
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from cohortsync.standalone.accounts import Account, make_private_folder
from cohortsync.standalone.errors import CannotStart
from cohortsync.standalone.lifetime import end_leftovers
from cohortsync.standalone.ports import ADDRESS
from cohortsync.standalone.programs import Program

FIRST_PORT = 63799
# The client would by itself ask three times more, with pauses of seconds; the caller asks again at once.
NO_RETRY = Retry(NoBackoff(), 0)


@dataclass(frozen=True)
class Valkey:
    """A server that keeps its data in `folder`; `account` None means oneself."""

    folder: Path
    binary: Path
    account: Account | None
    password: str

    def prepare(self) -> None:
        """Make the folder if there is none, and wait for what a killed start left."""
        make_private_folder(self.folder, self.account)
        end_leftovers(self.folder, self.binary.name)

    def program(self, port: int) -> Program:
        """Return the server as a program that listens on 127.0.0.1:`port` only; its password goes in by stdin."""
        configuration = {
            "bind": ADDRESS,
            "port": port,
            "requirepass": self.password,
            "daemonize": "no",
            "appendonly": "yes",
            "save": '""',
            "loglevel": "warning",
            # A queue must never lose entries for want of memory.
            "maxmemory-policy": "noeviction",
        }
        return Program(
            name="redis",
            argv=(str(self.binary), "-"),
            environ={"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"},
            # It writes to its working directory, which is entered before the change of account (see `postgres`).
            cwd=self.folder,
            account=self.account,
            stdin="".join(f"{name} {value}\n" for name, value in configuration.items()).encode(),
            stop_signal=signal.SIGTERM,
            orphan_signal=signal.SIGTERM,
            grace_seconds=2.0,
        )

    def url(self, port: int) -> str:
        """Return the address in the form of REDIS_URL."""
        return f"redis://:{self.password}@{ADDRESS}:{port}/0"

    def refusal(self, port: int) -> str | None:
        """Ask the server for an answer: None when it gave one, else why not (it may still be loading)."""
        try:
            with redis.Redis.from_url(self.url(port), socket_timeout=5, retry=NO_RETRY) as client:
                client.ping()
        except redis.AuthenticationError as error:
            raise CannotStart(
                f"Another server answered on port {port} while Valkey was starting; start again, or set REDIS_URL."
            ) from error
        except redis.RedisError as error:
            return str(error)
        return None
