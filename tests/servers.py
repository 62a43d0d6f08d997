"""A pytest plugin: PostgreSQL and Valkey of the tests' own, before Django's settings are read.

Loaded by `-p tests.servers` (pyproject.toml). The process that starts the tests starts the servers; the workers of
pytest-xdist find the addresses in their environment, each with a key prefix of its own. An address that is set already
is used: in `test_*` databases, under a random key prefix, never flushing. However pytest ends, the servers end with it.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import Generator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis
from cryptography.fernet import Fernet

from cohortsync.standalone import ports
from cohortsync.standalone.accounts import choose_account
from cohortsync.standalone.binaries import runnable_postgres, runnable_valkey
from cohortsync.standalone.postgres import FIRST_PORT as FIRST_POSTGRES_PORT
from cohortsync.standalone.postgres import Postgres
from cohortsync.standalone.programs import spawn
from cohortsync.standalone.state import LOCK_FILE, hold_lock, is_running
from cohortsync.standalone.valkey import FIRST_PORT as FIRST_VALKEY_PORT
from cohortsync.standalone.valkey import Valkey

FOLDER_PREFIX = "cohortsync-tests-"
# A crash of the tests' database costs nothing, so it need not wait for the disk.
FAST = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off", "max_connections": "150"}
# What a developer's shell may hold must not change what the tests see.
UNSET = (
    *("ALLOWED_HOSTS", "DEBUG", "DYNAMIC_SYNC_TICK_SECONDS", "ONESIGNAL_API_URL", "PORT", "SANDBOX_PORT"),
    *(
        "STATIC_ROOT",
        "SYNC_INTERVAL_MINUTES",
        "LOG_TEXT",
        "API_MAX_REQUESTS_PER_MINUTE",
        "API_MAX_FAILED_LOGINS_PER_MINUTE",
        "INGEST_TRACK_MAX_AGE_DAYS",
        "INGEST_MAX_EVENTS_PER_MINUTE",
        "INGEST_MAX_BYTES_PER_MINUTE",
    ),
)


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> Generator[None]:
    """Come before pytest-django, which reads the settings in the same hook."""
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if worker is not None:
        os.environ["KEY_PREFIX"] = f"{os.environ['KEY_PREFIX']}{worker}:"
    else:
        running = ExitStack()
        early_config.add_cleanup(running.close)
        set_up(running)
    return (yield)


def set_up(running: ExitStack, *, postgres_settings: Mapping[str, str] = FAST) -> None:
    """Start what has no address, put everything into the environment, and leave the way back in `running`."""
    remove_abandoned_folders()
    folder = Path(tempfile.mkdtemp(prefix=FOLDER_PREFIX))
    running.callback(shutil.rmtree, folder, ignore_errors=True)
    running.enter_context(hold_lock(folder))
    for name in UNSET:
        os.environ.pop(name, None)
    (folder / "data/static").mkdir(parents=True)  # WhiteNoise warns when STATIC_ROOT is not there
    key_prefix = f"test-{secrets.token_hex(4)}:"
    if not os.environ.get("DATABASE_URL"):
        os.environ["DATABASE_URL"] = start_postgres(folder, running, postgres_settings)
    if os.environ.get("REDIS_URL"):
        running.callback(remove_keys, os.environ["REDIS_URL"], key_prefix)
    else:
        os.environ["REDIS_URL"] = start_valkey(folder, running)
    os.environ.update(
        {
            "KEY_PREFIX": key_prefix,
            "DATA_DIR": str(folder / "data"),
            "SECRET_KEY": secrets.token_urlsafe(50),
            "CREDENTIAL_KEYS": Fernet.generate_key().decode(),
            "HTTPS_ONLY": "false",
        }
    )


def start_postgres(folder: Path, running: ExitStack, settings: Mapping[str, str] = FAST) -> str:
    """Start PostgreSQL in `folder`/postgres and return its address."""
    account = choose_account(folder / "postgres")
    server = Postgres(folder / "postgres", runnable_postgres(account), account, secrets.token_hex(12), settings)
    return server.url(start_server(server, FIRST_POSTGRES_PORT, running).port)


def start_valkey(folder: Path, running: ExitStack) -> str:
    """Start Valkey in `folder`/valkey and return its address."""
    account = choose_account(folder / "valkey")
    server = Valkey(folder / "valkey", runnable_valkey(account), account, secrets.token_hex(12))
    return server.url(start_server(server, FIRST_VALKEY_PORT, running).port)


@dataclass(frozen=True)
class Running:
    """A server that answers."""

    process: subprocess.Popen[bytes]
    port: int


def start_server(server: Postgres | Valkey, first_port: int, running: ExitStack) -> Running:
    """Start a server on the first free port and wait until it answers; `running` stops it."""
    server.prepare()
    port = ports.first_free(first_port)
    while True:
        program = server.program(port)
        log = server.folder.with_suffix(".log")
        with open(log, "ab") as output:
            process = spawn(program, stdout=output, stderr=output)
        while process.poll() is None:
            if server.refusal(port) is None:
                running.callback(stop_server, process, program.stop_signal)
                return Running(process, port)
            time.sleep(0.02)
        if ports.is_free(port):
            raise pytest.UsageError(f"The tests' own {program.name} did not start:\n{log.read_text()}")
        port = ports.first_free(port + 1)


def stop_server(process: subprocess.Popen[bytes], number: int) -> None:
    """Ask a server to stop, and make it."""
    process.send_signal(number)  # nothing happens when it has ended
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def remove_keys(url: str, prefix: str) -> None:
    """Remove the tests' keys from a Redis that is not theirs."""
    with redis.Redis.from_url(url) as client:
        for key in client.scan_iter(match=f"{prefix}*", count=1000):
            client.delete(key)


def remove_abandoned_folders() -> None:
    """Remove what tests that were killed could not: folders whose lock nobody holds."""
    for folder in Path(tempfile.gettempdir()).glob(f"{FOLDER_PREFIX}*"):
        try:
            is_old = time.time() - (folder / LOCK_FILE).stat().st_mtime > 60
        except OSError:
            continue
        if is_old and not is_running(folder):
            shutil.rmtree(folder, ignore_errors=True)
