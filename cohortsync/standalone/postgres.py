"""PostgreSQL of our own: a cluster in a folder, started without help from the package that carries its programs.

Neighbours: `binaries` finds the programs, `accounts` says as whom, `supervisor` and tests/servers.py start and stop it.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import psycopg2
from psycopg2 import sql

from cohortsync.standalone.accounts import Account, make_private_folder
from cohortsync.standalone.binaries import major_version
from cohortsync.standalone.errors import CannotStart
from cohortsync.standalone.lifetime import end_leftovers
from cohortsync.standalone.ports import ADDRESS
from cohortsync.standalone.programs import Program

FIRST_PORT = 54329
ROLE = "cohortsync"
# PostgreSQL writes relative to its working directory. Named this way, its data may lie below folders that its account
# cannot enter (a root-owned 0700 DATA_DIR), and no folder has to be opened for it.
CURRENT_FOLDER = "/proc/self/cwd"


@dataclass(frozen=True)
class Postgres:
    """A cluster: `folder` holds it, `binaries` is the folder of the programs, `account` None means oneself."""

    folder: Path
    binaries: Path
    account: Account | None
    password: str
    options: Mapping[str, str] = field(default_factory=dict)

    def prepare(self) -> None:
        """Make the cluster if there is none, and clear away what a killed start left.

        Raises CannotStart for data of another major version and when `initdb` refuses.
        """
        version = self._data_version()
        if version is None:
            self._initialise()
            return
        major = str(major_version(self.binaries / "postgres"))
        if version != major:
            raise CannotStart(
                f"{self.folder} holds data of PostgreSQL {version}, and the programs at hand are version {major}: "
                "dump it with the old programs (`pg_dumpall`), move the folder away, start again and restore the dump "
                "with `psql`."
            )
        end_leftovers(self.folder, "postgres")
        if sys.platform == "linux":
            # Nobody lives in the folder any more. PostgreSQL would still refuse it when the process id recorded there
            # has meanwhile gone to another process of the same user.
            (self.folder / "postmaster.pid").unlink(missing_ok=True)

    def program(self, port: int) -> Program:
        """Return the server as a program that listens on 127.0.0.1:`port` only."""
        options = {
            "listen_addresses": ADDRESS,
            "port": str(port),
            "unix_socket_directories": "",
            "shared_buffers": "256MB",
            "max_connections": "60",
            "log_checkpoints": "off",
            # A cohort counted right after an import must not be planned on the statistics of an empty table.
            "autovacuum_naptime": "5s",
            **self.options,
        }
        settings = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        return Program(
            name="postgres",
            argv=(str(self.binaries / "postgres"), "-D", self._data_argument(self.folder), *settings),
            environ=_environ(),
            cwd=self.folder,
            account=self.account,
            stop_signal=signal.SIGINT,  # "fast": ends the sessions, writes a checkpoint
            kill_signal=signal.SIGQUIT,  # "immediate": at once, recovers at the next start
            orphan_signal=signal.SIGINT,
            grace_seconds=4.0,
        )

    def url(self, port: int, database: str = ROLE) -> str:
        """Return the address in the form of DATABASE_URL."""
        return f"postgres://{ROLE}:{self.password}@{ADDRESS}:{port}/{database}"

    def refusal(self, port: int) -> str | None:
        """Ask the server for an answer: None when it gave one, else why not."""
        try:
            psycopg2.connect(self.url(port, "postgres"), connect_timeout=5).close()
        except psycopg2.OperationalError as error:
            if "password authentication failed" in str(error):
                raise CannotStart(
                    f"PostgreSQL in {self.folder} does not take the password of secrets.json beside it; "
                    "put back the secrets.json that belongs to this data."
                ) from error
            return str(error).strip()
        return None

    def create_database(self, port: int, name: str = ROLE) -> None:
        """Make the database unless it is there."""
        with closing(psycopg2.connect(self.url(port, "postgres"), connect_timeout=5)) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name])
                if cursor.fetchone() is None:
                    cursor.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))

    def _data_version(self) -> str | None:
        try:
            return (self.folder / "PG_VERSION").read_text().strip()
        except FileNotFoundError:
            return None

    def _data_argument(self, folder: Path) -> str:
        return CURRENT_FOLDER if self.account is not None and sys.platform == "linux" else str(folder)

    def _initialise(self) -> None:
        """Run `initdb` in a folder beside the final one and rename it: a killed start leaves no half cluster."""
        unfinished = self.folder.with_name(f".{self.folder.name}.unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        make_private_folder(unfinished, self.account)
        major = major_version(self.binaries / "postgres")
        # Sorting by code point, the same on every system; the provider exists from version 17 on.
        collation = (
            ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
            if major >= 17
            else ["--locale=C.UTF-8"]
        )
        with tempfile.TemporaryFile() as password_file:
            password_file.write(self.password.encode() + b"\n")
            password_file.seek(0)
            if self.account is not None:
                os.fchown(password_file.fileno(), self.account.uid, self.account.gid)
            answer = subprocess.run(
                [
                    self.binaries / "initdb",
                    f"--pgdata={self._data_argument(unfinished)}",
                    f"--username={ROLE}",
                    "--auth=scram-sha-256",
                    "--pwfile=/dev/stdin",
                    "--encoding=UTF8",
                    "--data-checksums",
                    "--no-instructions",
                    *collation,
                ],
                env=_environ(),
                cwd=unfinished,
                stdin=password_file,
                capture_output=True,
                text=True,
                check=False,
                user=self.account.uid if self.account else None,
                group=self.account.gid if self.account else None,
                extra_groups=[] if self.account else None,
            )
        if answer.returncode != 0:
            raise CannotStart(f"PostgreSQL could not make its data folder {self.folder}: {_last_line(answer.stderr)}.")
        if self.folder.exists():
            self.folder.rmdir()  # an empty one; anything else in it is not ours to remove
        unfinished.rename(self.folder)


def _environ() -> dict[str, str]:
    """The servers get nothing of the caller's environment: a PGDATA or LC_ALL there would reach into them."""
    return {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else "it gave no reason"
