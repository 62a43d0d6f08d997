"""As whom the servers run: PostgreSQL refuses to run as root, so root's servers run as an account without rights."""

import os
import pwd
from dataclasses import dataclass
from pathlib import Path

from cohortsync.standalone.errors import CannotStart

UNPRIVILEGED = ("postgres", "nobody")


@dataclass(frozen=True)
class Account:
    """An entry of the system's user table."""

    name: str
    uid: int
    gid: int


def choose_account(server_folder: Path) -> Account | None:
    """Say which account PostgreSQL and Valkey take; None means the one that called.

    As root it is the owner of the data when there is some (the system may have got an account `postgres` since), else
    `postgres`, else `nobody`. Raises CannotStart where no account will do.
    """
    if os.geteuid() != 0:
        _check_oneself(server_folder)
        return None
    owner = _owner(server_folder)
    if owner is not None and owner.uid != 0:
        return owner
    for name in UNPRIVILEGED:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)
    raise CannotStart(
        "PostgreSQL refuses to run as root and this system has neither an account `postgres` nor `nobody`; "
        "run `make up` as an ordinary user, or set DATABASE_URL and REDIS_URL."
    )


def _check_oneself(server_folder: Path) -> None:
    try:
        pwd.getpwuid(os.geteuid())
    except KeyError:
        raise CannotStart(
            f"User id {os.geteuid()} has no entry in the system's user table and PostgreSQL refuses to run as it; "
            "set DATABASE_URL and REDIS_URL, or run `make up` as a named user."
        ) from None
    owner = _owner(server_folder)
    if owner is not None and owner.uid != os.geteuid():
        raise CannotStart(
            f"{server_folder} belongs to {owner.name}; run `make up` as root or as its owner, "
            "or choose another DATA_DIR."
        )


def _owner(folder: Path) -> Account | None:
    try:
        uid = folder.stat().st_uid
        entry = pwd.getpwuid(uid)
    except (FileNotFoundError, KeyError):
        return None
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def make_private_folder(folder: Path, account: Account | None) -> None:
    """Make a folder that only `account` may enter (0700). Its parents are left as they are."""
    folder.mkdir(mode=0o700, exist_ok=True)
    if account is not None:
        os.chown(folder, account.uid, account.gid)
