"""Valkey of our own: what it survives and what it keeps to itself."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import redis

from cohortsync.standalone.accounts import choose_account
from cohortsync.standalone.binaries import runnable_valkey
from cohortsync.standalone.valkey import FIRST_PORT, NO_RETRY, Valkey
from tests.servers import start_server


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def server(tmp_path: Path) -> Valkey:
    account = choose_account(tmp_path / "valkey")
    return Valkey(tmp_path / "valkey", runnable_valkey(account), account, "a-password")


def test_queued_work_survives_a_kill(server: Valkey, stack: ExitStack) -> None:
    running = start_server(server, FIRST_PORT, stack)
    with redis.Redis.from_url(server.url(running.port)) as client:
        client.rpush("queue", *range(100))
    running.process.kill()
    running.process.wait()
    running = start_server(server, FIRST_PORT, stack)
    with redis.Redis.from_url(server.url(running.port)) as client:
        assert client.llen("queue") == 100
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        assert client.config_get("bind") == {"bind": "127.0.0.1"}


def test_the_password_is_asked_for_and_not_seen_in_the_command(server: Valkey, stack: ExitStack) -> None:
    running = start_server(server, FIRST_PORT, stack)
    assert b"a-password" not in Path(f"/proc/{running.process.pid}/cmdline").read_bytes()
    assert b"a-password" not in Path(f"/proc/{running.process.pid}/environ").read_bytes()
    with redis.Redis("127.0.0.1", running.port, retry=NO_RETRY) as client, pytest.raises(redis.AuthenticationError):
        client.ping()
