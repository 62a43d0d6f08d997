"""`up` as a whole: from nothing to a healthy product, through kills, to nothing left running."""

import os
import signal
import socket
import time
from contextlib import closing
from functools import partial
from pathlib import Path

import psycopg2
import pytest
from psycopg2 import sql

from cohortsync.standalone import ports
from tests.free_ports import free_port
from tests.standalone.running import Up, processes_of

PROCESSES = {"web", "worker", "beat", "sandbox", "postgres", "redis"}


def has_another_process(up: Up, name: str, than: int) -> bool:
    return up.state()["pids"].get(name) not in {None, than}


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """As a careful administrator makes it: owned by the caller, closed to everybody else."""
    folder = tmp_path / "data"
    folder.mkdir(mode=0o700)
    return folder


def test_everything_starts_heals_and_stops_with_one_command(data_dir: Path) -> None:
    with Up(data_dir, free_port()) as up:
        login = up.wait_until_announced()
        assert "demo@example.com" in login
        assert up.health() == 200
        assert data_dir.stat().st_mode & 0o777 == 0o700

        state = up.state()
        assert (data_dir / "state.json").stat().st_mode & 0o777 == 0o600
        assert (state["port"], state["sandbox_port"]) == (up.port, up.port + 1)
        assert set(state["pids"]) == PROCESSES

        beside = up.manage("health")
        assert beside.returncode == 0, beside.stderr

        with Up(data_dir, free_port()) as second:
            assert second.process.wait(20) == 1
        assert f"already runs for {data_dir} at http://127.0.0.1:{up.port}" in second.lines[-1]

        for name in ("worker", "beat", "redis", "postgres", "web", "sandbox"):
            killed = up.state()["pids"][name]
            os.kill(killed, signal.SIGKILL)
            up.wait_for(partial(has_another_process, up, name, killed))
        up.wait_for(lambda: up.health() == 200)

        asked_at = time.monotonic()
        up.process.send_signal(signal.SIGINT)
        assert up.process.wait(20) == 0
        assert time.monotonic() - asked_at < 12
    assert processes_of(data_dir) == {}
    assert not (data_dir / "state.json").exists()

    without = up.manage("migrate")
    assert without.returncode == 1
    assert "Run `make up` first" in without.stderr


def test_killing_it_leaves_no_process_and_loses_no_data(data_dir: Path) -> None:
    port = free_port()
    with Up(data_dir, port) as up:
        login = up.wait_until_announced()
        redis_url = up.state()["redis_url"]
        up.process.kill()
        up.process.wait()
        up.wait_for(lambda: processes_of(data_dir) == {}, 10)
    assert (data_dir / "state.json").exists()
    with Up(data_dir, port) as again:
        assert again.wait_until_announced() == login
        assert again.state()["redis_url"].split("@")[0] == redis_url.split("@")[0]
        assert "No migrations to apply" in "\n".join(again.lines)
        os.kill(again.process.pid, signal.SIGTERM)
        assert again.process.wait(20) == 0
    assert processes_of(data_dir) == {}


def test_with_both_addresses_set_it_starts_neither_server(data_dir: Path) -> None:
    url, _, _ = os.environ["DATABASE_URL"].rpartition("/")
    name = f"up_{os.getpid()}"
    with closing(psycopg2.connect(f"{url}/postgres")) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        environ = {"DATABASE_URL": f"{url}/{name}", "REDIS_URL": os.environ["REDIS_URL"]}
        try:
            with Up(data_dir, free_port(), KEY_PREFIX=f"{os.environ['KEY_PREFIX']}up:", **environ) as up:
                up.wait_until_announced()
                assert set(up.state()["pids"]) == PROCESSES - {"postgres", "redis"}
                assert up.state()["database_url"] == environ["DATABASE_URL"]
                assert not {"postgres", "valkey"} & {path.name for path in data_dir.iterdir()}
        finally:
            with connection.cursor() as cursor:
                cursor.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.mark.parametrize("variable", ["PORT", "SANDBOX_PORT"])
def test_a_taken_port_is_said_and_nothing_starts(data_dir: Path, variable: str) -> None:
    port = free_port()
    with socket.create_server((ports.ADDRESS, 0)) as taken:
        number = taken.getsockname()[1]
        environ = {"SANDBOX_PORT": str(number)} if variable == "SANDBOX_PORT" else {}
        with Up(data_dir, number if variable == "PORT" else port, **environ) as up:
            assert up.process.wait(20) == 1
    assert up.lines[-1].startswith(f"Port {number} on 127.0.0.1 is taken by another program; end it, or choose another")
    assert processes_of(data_dir) == {}
    assert not (data_dir / "postgres").exists()
