"""What one `up` is asked for, and the processes that follow from it."""

import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from cohortsync.standalone import commands, ports
from cohortsync.standalone.errors import CannotStart
from cohortsync.standalone.programs import Program
from cohortsync.standalone.state import Secrets


@dataclass(frozen=True)
class Launch:
    """The request: where an address is given, no server is started; `sandbox_port` None means the next free one.

    `environ` is what the children inherit; `stale_keys` are Redis keys of an earlier run that would pass for life
    signs.
    """

    checkout: Path
    data_dir: Path
    port: int
    sandbox_port: int | None
    database_url: str | None
    redis_url: str | None
    environ: Mapping[str, str]
    stale_keys: tuple[str, ...] = ()

    @property
    def url(self) -> str:
        return f"http://{ports.ADDRESS}:{self.port}"

    @property
    def has_demo(self) -> bool:
        """Whether the demo project is to be filled; DEMO=0 leaves it empty."""
        return self.environ.get("DEMO", "").strip().lower() not in {"0", "false", "no", "off"}

    def choose_sandbox_port(self) -> int:
        """Return the sandbox's port; raises CannotStart when the one asked for is taken."""
        if self.sandbox_port is None:
            return ports.first_free(self.port + 1)
        if not ports.is_free(self.sandbox_port):
            raise CannotStart(_taken(self.sandbox_port, "SANDBOX_PORT"))
        return self.sandbox_port

    def check_port(self) -> None:
        """Raise CannotStart when the web server could not listen."""
        if not 1 <= self.port <= 65535:
            raise CannotStart(f"PORT is {self.port}; a port lies between 1 and 65535.")
        if not ports.is_free(self.port):
            raise CannotStart(_taken(self.port, "PORT"))


def child_environ(
    launch: Launch, *, secrets: Secrets, database_url: str, redis_url: str, sandbox_port: int
) -> dict[str, str]:
    """Return the environment by which every child finds the same settings; what the caller set wins over ours."""
    hosts = launch.environ.get("ALLOWED_HOSTS")
    return {
        "SECRET_KEY": secrets.secret_key,
        "CREDENTIAL_KEYS": ",".join(secrets.credential_keys),
        # Plain HTTP on loopback; readable lines in the shared log; lines as they are printed.
        "HTTPS_ONLY": "false",
        "LOG_TEXT": "true",
        "PYTHONUNBUFFERED": "1",
        # Root is who starts it on a fresh machine; Celery's seven lines about that at each start help nobody.
        "PYTHONWARNINGS": "ignore:You're running the worker with superuser privileges",
        **{name: value for name, value in launch.environ.items() if value},
        # This process asks for /healthz by the address.
        **({"ALLOWED_HOSTS": f"{hosts},{ports.ADDRESS}"} if hosts else {}),
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "PORT": str(launch.port),
        "SANDBOX_PORT": str(sandbox_port),
        "DATA_DIR": str(launch.data_dir),
    }


def product_programs(launch: Launch, environ: Mapping[str, str], *, sandbox_port: int) -> list[Program]:
    """Return worker, beat, web and sandbox in the order in which they start; the sandbox gets its folder."""

    program = partial(Program, environ=environ, cwd=launch.checkout)
    bind = f"{ports.ADDRESS}:{launch.port}"
    state_dir = launch.data_dir / "sandbox"
    state_dir.mkdir(mode=0o700, exist_ok=True)
    return [
        program(name="worker", argv=commands.worker_command(python=sys.executable), grace_seconds=4.0),
        program(name="beat", argv=commands.beat_command(python=sys.executable), grace_seconds=1.5),
        program(name="web", argv=commands.web_command(python=sys.executable, bind=bind)),
        program(
            name="sandbox",
            argv=commands.sandbox_command(python=sys.executable, port=sandbox_port, state_dir=state_dir),
            orphan_signal=signal.SIGTERM,
        ),
    ]


def _taken(port: int, variable: str) -> str:
    return (
        f"Port {port} on {ports.ADDRESS} is taken by another program; end it, or choose another port: "
        f"make up {variable}=..."
    )
