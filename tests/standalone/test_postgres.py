"""PostgreSQL of our own: what it survives and what it refuses."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from cohortsync.standalone.accounts import choose_account
from cohortsync.standalone.binaries import runnable_postgres
from cohortsync.standalone.errors import CannotStart
from cohortsync.standalone.lifetime import end_leftovers, leftovers
from cohortsync.standalone.postgres import FIRST_PORT, Postgres
from cohortsync.standalone.programs import Program, spawn
from tests.servers import Running, start_server


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def cluster(tmp_path: Path) -> Postgres:
    account = choose_account(tmp_path / "postgres")
    return Postgres(tmp_path / "postgres", runnable_postgres(account), account, "a-password", {"shared_buffers": "8MB"})


def ask(cluster: Postgres, running: Running, statement: str) -> list[tuple[Any, ...]]:
    with closing(psycopg2.connect(cluster.url(running.port))) as connection, connection, connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall() if cursor.description else []


def test_data_survives_a_stop_and_a_kill(cluster: Postgres, stack: ExitStack) -> None:
    running = start_server(cluster, FIRST_PORT, stack)
    cluster.create_database(running.port)
    cluster.create_database(running.port)
    ask(cluster, running, "CREATE TABLE kept (number int)")
    ask(cluster, running, "INSERT INTO kept VALUES (1)")
    running.process.send_signal(cluster.program(0).stop_signal)
    assert running.process.wait(10) == 0

    running = start_server(cluster, FIRST_PORT, stack)
    ask(cluster, running, "INSERT INTO kept VALUES (2)")
    running.process.kill()
    running.process.wait()
    assert (cluster.folder / "postmaster.pid").exists()

    running = start_server(cluster, FIRST_PORT, stack)
    assert ask(cluster, running, "SELECT number FROM kept ORDER BY 1") == [(1,), (2,)]


def test_a_recorded_process_id_that_went_to_another_program_stands_in_no_way(
    cluster: Postgres, stack: ExitStack
) -> None:
    running = start_server(cluster, FIRST_PORT, stack)
    running.process.kill()
    running.process.wait()
    other = spawn(
        Program("sleep", ("sleep", "60"), {"PATH": os.environ["PATH"]}, Path("/"), cluster.account),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    stack.callback(other.wait)
    stack.callback(other.kill)
    recorded = cluster.folder / "postmaster.pid"
    recorded.write_text(recorded.read_text().replace(str(running.process.pid), str(other.pid), 1))
    start_server(cluster, FIRST_PORT, stack)
    assert other.poll() is None


def test_a_server_left_behind_is_ended_before_the_next_one_starts(cluster: Postgres, stack: ExitStack) -> None:
    first = start_server(cluster, FIRST_PORT, stack)
    assert first.process.pid in leftovers(cluster.folder, "postgres")
    ended_at = time.monotonic() + 0.5
    threading.Timer(0.5, first.process.send_signal, [signal.SIGINT]).start()  # what the kernel sent has its time
    second = start_server(cluster, FIRST_PORT, stack)
    assert time.monotonic() > ended_at
    assert first.process.wait(1) == 0
    assert second.process.pid in leftovers(cluster.folder, "postgres")
    end_leftovers(cluster.folder, "postgres", patience_seconds=0.1)  # nothing has been sent to this one
    assert leftovers(cluster.folder, "postgres") == []


def test_a_start_killed_while_making_the_cluster_leaves_no_half_one(cluster: Postgres, stack: ExitStack) -> None:
    unfinished = cluster.folder.with_name(".postgres.unfinished")
    unfinished.mkdir()
    (unfinished / "PG_VERSION").write_text("18\n")
    start_server(cluster, FIRST_PORT, stack)
    assert not unfinished.exists()


def test_data_of_another_major_version_is_refused_with_what_to_do(cluster: Postgres) -> None:
    cluster.folder.mkdir()
    (cluster.folder / "PG_VERSION").write_text("17\n")
    with pytest.raises(CannotStart, match=r"data of PostgreSQL 17, .* version 18: dump it .*pg_dumpall.* restore"):
        cluster.prepare()


def test_a_lost_password_is_said(cluster: Postgres, stack: ExitStack) -> None:
    running = start_server(cluster, FIRST_PORT, stack)
    with pytest.raises(CannotStart, match=r"put back the secrets\.json"):
        replace(cluster, password="another").refusal(running.port)


def test_it_listens_on_loopback_only_and_sorts_the_same_everywhere(cluster: Postgres, stack: ExitStack) -> None:
    running = start_server(cluster, FIRST_PORT, stack)
    cluster.create_database(running.port)
    for setting, value in {
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": "",
        "password_encryption": "scram-sha-256",
        "data_checksums": "on",
        "server_encoding": "UTF8",
        "max_connections": "60",
    }.items():
        assert ask(cluster, running, f"SHOW {setting}") == [(value,)]
    assert ask(cluster, running, "SELECT DISTINCT datlocprovider, datlocale FROM pg_database") == [("b", "C.UTF-8")]
    assert ask(cluster, running, "SELECT DISTINCT auth_method FROM pg_hba_file_rules") == [("scram-sha-256",)]
    assert "a-password" not in " ".join(cluster.program(running.port).argv)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to own the folder while PostgreSQL runs as another")
def test_folders_closed_to_its_account_stay_closed(cluster: Postgres, stack: ExitStack) -> None:
    parents = list(cluster.folder.parents)
    cluster.folder.parent.chmod(0o700)
    before = [parent.stat().st_mode for parent in parents]
    start_server(cluster, FIRST_PORT, stack)
    assert [parent.stat().st_mode for parent in parents] == before
    assert cluster.folder.stat().st_mode & 0o777 == 0o700
    assert cluster.folder.stat().st_uid != 0
