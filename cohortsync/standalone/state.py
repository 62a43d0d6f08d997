"""What `up` leaves in DATA_DIR for everything else: state.json, secrets.json and the lock that proves it runs.

`cohortsync.settings` reads this module, so that `manage.py` commands find the running servers and the generated
secrets. The lock, not the recorded process ids, says whether `up` runs: the kernel lets go of it however it ends.
"""

import base64
import fcntl
import hashlib
import json
import os
import pwd
import secrets
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from cohortsync.standalone.errors import CannotStart

STATE_FILE = "state.json"
SECRETS_FILE = "secrets.json"
LOCK_FILE = "up.lock"
LOCK_PATIENCE_SECONDS = 1.0


@dataclass(frozen=True)
class State:
    """The running servers; `pids` has a key for each process that this `up` started."""

    port: int
    sandbox_port: int
    database_url: str
    redis_url: str
    pids: dict[str, int]


@dataclass(frozen=True)
class Secrets:
    """Generated once per DATA_DIR; the first credential key encrypts, all of them decrypt."""

    secret_key: str
    credential_keys: list[str]
    postgres_password: str
    valkey_password: str


def default_data_dir(checkout: Path, port: int, environ: Mapping[str, str]) -> Path:
    """Say where this checkout keeps its data on this port: two copies side by side share nothing."""
    key = hashlib.sha256(f"{checkout.resolve()}:{port}".encode()).hexdigest()[:8]
    if os.geteuid() == 0:
        return Path("/var/lib/cohortsync") / key
    data_home = environ.get("XDG_DATA_HOME", "")
    if not os.path.isabs(data_home):  # the XDG specification: a relative path is to be ignored
        data_home = os.path.join(environ.get("HOME") or _home_of_account(), ".local", "share")
    return Path(data_home) / "cohortsync" / key


def _home_of_account() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_dir
    except KeyError:
        return tempfile.gettempdir()


def read_state(data_dir: Path) -> State | None:
    """Return what runs for DATA_DIR, or None: nothing does, or it is not this user's to know."""
    return recorded_state(data_dir) if is_running(data_dir) else None


def recorded_state(data_dir: Path) -> State | None:
    """Return the last written state, even that of an `up` which was killed."""
    try:
        fields = json.loads((data_dir / STATE_FILE).read_bytes())
        return State(
            port=int(fields["port"]),
            sandbox_port=int(fields["sandbox_port"]),
            database_url=str(fields["database_url"]),
            redis_url=str(fields["redis_url"]),
            pids={str(name): int(pid) for name, pid in fields["pids"].items()},
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def write_state(data_dir: Path, state: State) -> None:
    """Replace state.json in one step; a reader sees the old one or the new one."""
    write_private(data_dir / STATE_FILE, asdict(state))


def forget_state(data_dir: Path) -> None:
    """Remove state.json after an orderly stop."""
    (data_dir / STATE_FILE).unlink(missing_ok=True)


def read_secrets(data_dir: Path) -> Secrets | None:
    """Return the secrets of DATA_DIR, or None when there are none or they are another user's.

    Raises CannotStart when the file is damaged: made anew, it would lock the owner out of the stored credentials.
    """
    path = data_dir / SECRETS_FILE
    try:
        fields = json.loads(path.read_bytes())
        return Secrets(
            secret_key=str(fields["secret_key"]),
            credential_keys=[str(key) for key in fields["credential_keys"]],
            postgres_password=str(fields["postgres_password"]),
            valkey_password=str(fields["valkey_password"]),
        )
    except OSError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise CannotStart(f"{path} is damaged; put it back from a backup: it holds the keys to the data.") from error


def read_or_create_secrets(data_dir: Path) -> Secrets:
    """Return the secrets of DATA_DIR and make them on the first start. Call it under `hold_lock`."""
    known = read_secrets(data_dir)
    if known is not None:
        return known
    made = Secrets(
        secret_key=secrets.token_urlsafe(50),
        # The form of a Fernet key: 32 random bytes in URL-safe base64.
        credential_keys=[base64.urlsafe_b64encode(os.urandom(32)).decode()],
        postgres_password=secrets.token_urlsafe(24),
        valkey_password=secrets.token_urlsafe(24),
    )
    write_private(data_dir / SECRETS_FILE, asdict(made))
    return made


def write_private(path: Path, fields: Mapping[str, object]) -> None:
    """Write JSON that only its owner may read (0600), durably and in one step."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(descriptor, "w") as file:
        json.dump(fields, file, indent=2)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def is_running(data_dir: Path) -> bool:
    """Say whether an `up` holds DATA_DIR, without disturbing it."""
    try:
        with open(data_dir / LOCK_FILE, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


@contextmanager
def hold_lock(data_dir: Path) -> Iterator[None]:
    """Make DATA_DIR if need be and hold it for this process alone.

    Raises CannotStart when another `up` holds it, or when it cannot be made or written.
    """
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(data_dir / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise CannotStart(
            f"DATA_DIR {data_dir} cannot be used ({error.strerror}); name a folder of your own in DATA_DIR."
        ) from error
    with os.fdopen(descriptor, "rb+") as file:
        deadline = time.monotonic() + LOCK_PATIENCE_SECONDS  # `is_running` of another process holds it for an instant
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise CannotStart(_already_runs(data_dir)) from None
                time.sleep(0.05)
        yield


def _already_runs(data_dir: Path) -> str:
    state = recorded_state(data_dir)
    where = f" at http://127.0.0.1:{state.port}" if state else ""
    return (
        f"CohortSync already runs for {data_dir}{where}; stop it with Ctrl-C there, "
        "or start this one with another PORT (and DATA_DIR, if you set it)."
    )
