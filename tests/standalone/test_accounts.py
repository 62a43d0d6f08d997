"""As whom the servers run."""

import os
import pwd
from pathlib import Path

import pytest

from cohortsync.standalone.accounts import choose_account, make_private_folder
from cohortsync.standalone.errors import CannotStart

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give folders away")


def pretend(monkeypatch: pytest.MonkeyPatch, *, uid: int, names: dict[str, int]) -> None:
    def entry(name: str, number: int) -> pwd.struct_passwd:
        return pwd.struct_passwd((name, "x", number, number, "", "/", "/bin/sh"))

    def by_name(name: str) -> pwd.struct_passwd:
        return entry(name, names[name])

    def by_uid(number: int) -> pwd.struct_passwd:
        return entry({value: name for name, value in names.items()}[number], number)

    monkeypatch.setattr(os, "geteuid", lambda: uid)
    monkeypatch.setattr(pwd, "getpwnam", by_name)
    monkeypatch.setattr(pwd, "getpwuid", by_uid)


@pytest.mark.parametrize(
    ("names", "chosen"),
    [({"root": 0, "postgres": 101, "nobody": 65534}, "postgres"), ({"root": 0, "nobody": 65534}, "nobody")],
)
def test_root_gives_the_servers_to_an_account_without_rights(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, names: dict[str, int], chosen: str
) -> None:
    pretend(monkeypatch, uid=0, names=names)
    account = choose_account(tmp_path / "postgres")
    assert account is not None
    assert (account.name, account.uid) == (chosen, names[chosen])


def test_root_without_such_an_account_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pretend(monkeypatch, uid=0, names={"root": 0})
    with pytest.raises(CannotStart, match="as an ordinary user, or set DATABASE_URL"):
        choose_account(tmp_path / "postgres")


def test_an_ordinary_user_runs_the_servers_as_oneself(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pretend(monkeypatch, uid=1000, names={"ada": 1000, "postgres": 101})
    assert choose_account(tmp_path / "postgres") is None


def test_a_user_without_a_name_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pretend(monkeypatch, uid=12345, names={"root": 0})
    with pytest.raises(CannotStart, match="set DATABASE_URL and REDIS_URL"):
        choose_account(tmp_path / "postgres")


def test_another_users_data_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pretend(monkeypatch, uid=1000, names={"ada": 1000, "root": tmp_path.stat().st_uid})
    with pytest.raises(CannotStart, match="belongs to root"):
        choose_account(tmp_path)


@as_root
def test_data_stays_with_its_account_when_the_system_gets_a_better_one(tmp_path: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    os.chown(tmp_path, nobody.pw_uid, nobody.pw_gid)
    account = choose_account(tmp_path)
    assert account is not None
    assert account.name == "nobody"


@as_root
def test_a_servers_folder_is_its_accounts_alone(tmp_path: Path) -> None:
    account = choose_account(tmp_path / "server")
    assert account is not None
    before = tmp_path.stat()
    make_private_folder(tmp_path / "server", account)
    made = (tmp_path / "server").stat()
    assert (made.st_uid, made.st_mode & 0o777) == (account.uid, 0o700)
    assert tmp_path.stat().st_mode == before.st_mode
