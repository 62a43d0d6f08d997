"""`up`: starts the servers, then the product, says where it is, and stops all of it when asked.

One thread and one event loop: the kernel's parent-death signal, which ends every child when this process is killed,
follows the thread that started the child. `keeper` watches over the processes.
"""

import asyncio
import sys
import tempfile
import time
from dataclasses import replace

import redis

from cohortsync.standalone import commands, ports
from cohortsync.standalone.accounts import choose_account
from cohortsync.standalone.binaries import runnable_postgres, runnable_valkey
from cohortsync.standalone.children import Child
from cohortsync.standalone.demo import DEMO_EMAIL, DEMO_PROJECT, Demo, keep_demo
from cohortsync.standalone.errors import CannotStart
from cohortsync.standalone.keeper import Keeper
from cohortsync.standalone.launch import Launch, child_environ, product_programs
from cohortsync.standalone.log import LogStream
from cohortsync.standalone.postgres import FIRST_PORT as FIRST_POSTGRES_PORT
from cohortsync.standalone.postgres import Postgres
from cohortsync.standalone.probe import ask_health
from cohortsync.standalone.programs import Program
from cohortsync.standalone.state import (
    State,
    forget_state,
    hold_lock,
    read_or_create_secrets,
    recorded_state,
    write_state,
)
from cohortsync.standalone.valkey import FIRST_PORT as FIRST_VALKEY_PORT
from cohortsync.standalone.valkey import Valkey

# The broker goes after the worker and the web server: without it Celery's orderly shutdown waits in vain.
STOP_ORDER = ("beat", "worker", "web", "sandbox", "redis", "postgres")
GIVE_UP_AFTER_RESTARTS = 5
REMIND_SECONDS = 15.0
PORT_PATIENCE_SECONDS = 3.0


class Supervisor:
    """One `up`, from the first child to the last."""

    def __init__(self, launch: Launch, log: LogStream) -> None:
        self._launch = launch
        self._log = log
        self._keeper = Keeper(log, stop_order=STOP_ORDER, on_change=self._record)
        self._state: State | None = None

    async def run(self) -> None:
        """Run until SIGINT, SIGTERM or SIGHUP. Raises CannotStart, with everything stopped again."""
        self._keeper.watch_signals()
        with hold_lock(self._launch.data_dir):
            starting = asyncio.create_task(self._start())
            asked = asyncio.create_task(self._keeper.stop_asked.wait())
            try:
                await asyncio.wait({starting, asked}, return_when=asyncio.FIRST_COMPLETED)
                if starting.done():
                    starting.result()
                    await asked
            finally:
                starting.cancel()
                asked.cancel()
                await asyncio.gather(starting, asked, return_exceptions=True)
                await self._keeper.stop()
                forget_state(self._launch.data_dir)
                self._say("stopped")

    async def _start(self) -> None:
        launch = self._launch
        await self._free_port()
        sandbox_port = launch.choose_sandbox_port()
        secrets = read_or_create_secrets(launch.data_dir)
        database_url = launch.database_url or await self._start_postgres(secrets.postgres_password)
        redis_url = launch.redis_url or await self._start_valkey(secrets.valkey_password)
        self._state = State(launch.port, sandbox_port, database_url, redis_url, pids={})
        self._record()
        environ = child_environ(
            launch, secrets=secrets, database_url=database_url, redis_url=redis_url, sandbox_port=sandbox_port
        )
        await asyncio.gather(
            self._complete("migrate", commands.migrate_command(python=sys.executable), environ),
            self._complete("static", commands.collectstatic_command(python=sys.executable), environ),
        )
        self._forget_life_signs(redis_url)
        for program in product_programs(launch, environ, sandbox_port=sandbox_port):
            self._keeper.keep(self._keeper.begin(program))
        demo, _ = await asyncio.gather(self._make_demo(environ), self._until_healthy())
        self._announce(demo, sandbox_port)
        if launch.has_demo and demo.project_id is not None:
            # Only now: it takes a core for some seconds, and nobody should wait for it.
            await self._fill_demo(demo.project_id, environ)

    async def _free_port(self) -> None:
        """Wait for the port while what a killed `up` left is still ending; then insist."""
        deadline = time.monotonic() + PORT_PATIENCE_SECONDS
        while recorded_state(self._launch.data_dir) is not None and time.monotonic() < deadline:
            if ports.is_free(self._launch.port):
                break
            await asyncio.sleep(0.1)
        self._launch.check_port()

    async def _start_postgres(self, password: str) -> str:
        """Start PostgreSQL, make the database if need be, and return DATABASE_URL."""
        folder = self._launch.data_dir / "postgres"
        account = choose_account(folder)
        server = Postgres(folder, runnable_postgres(account), account, password)
        port = await self._start_server(server, FIRST_POSTGRES_PORT)
        server.create_database(port)
        return server.url(port)

    async def _start_valkey(self, password: str) -> str:
        """Start Valkey and return REDIS_URL."""
        folder = self._launch.data_dir / "valkey"
        account = choose_account(folder)
        server = Valkey(folder, runnable_valkey(account), account, password)
        return server.url(await self._start_server(server, FIRST_VALKEY_PORT))

    async def _start_server(self, server: Postgres | Valkey, first_port: int) -> int:
        """Start a server on the first free port and wait until it answers; return the port."""
        server.prepare()
        port = ports.first_free(first_port)
        while True:
            child = self._keeper.begin(server.program(port))
            if await self._answers(server, child, port):
                self._keeper.keep(child, prepare=server.prepare)
                return port
            if ports.is_free(port):
                raise CannotStart(f"{child.name} {child.ending()} while starting; its last line was: {child.last_line}")
            port = ports.first_free(port + 1)  # another program was quicker

    async def _answers(self, server: Postgres | Valkey, child: Child, port: int) -> bool:
        reminded_at = time.monotonic()
        while not child.has_ended.is_set():
            refusal = server.refusal(port)
            await asyncio.sleep(0.02)
            if refusal is None:
                return not child.has_ended.is_set()
            if time.monotonic() - reminded_at > REMIND_SECONDS:
                self._say(f"waiting for {child.name}: {refusal}")
                reminded_at = time.monotonic()
        return False

    async def _complete(self, name: str, argv: tuple[str, ...], environ: dict[str, str]) -> None:
        """Run a command to its end; raises CannotStart when it fails."""
        child = self._keeper.begin(Program(name, argv, environ, self._launch.checkout))
        await child.has_ended.wait()
        if child.exit_code != 0:
            raise CannotStart(f"`{' '.join(argv[1:])}` {child.ending()}; the log above says why.")

    async def _make_demo(self, environ: dict[str, str]) -> Demo:
        """Make the demo project and login. A failure is said and stops nothing else."""
        argv = commands.bootstrap_command(python=sys.executable, email=DEMO_EMAIL, project=DEMO_PROJECT)
        with tempfile.TemporaryFile() as answer:
            child = self._keeper.begin(Program("demo", argv, environ, self._launch.checkout), stdout=answer)
            await child.has_ended.wait()
            answer.seek(0)
            try:
                return keep_demo(self._launch.data_dir, answer.read().decode())
            except (ValueError, KeyError):
                self._say(f"the demo login could not be made: bootstrap {child.ending()}")
                return Demo(DEMO_EMAIL, None, None)

    async def _fill_demo(self, project_id: int, environ: dict[str, str]) -> None:
        """Fill the demo project unless it is filled. The command says what it did, or why not, in a line of its own."""
        argv = commands.demo_command(python=sys.executable, project_id=project_id)
        try:
            child = self._keeper.begin(Program("demo", argv, environ, self._launch.checkout))
        except CannotStart as error:
            self._say(f"the demo project was not filled: {error}")
            return
        await child.has_ended.wait()
        if child.exit_code not in {0, 1}:  # with 1 it said why
            self._say(f"the demo project was not filled: the command {child.ending()}")

    def _forget_life_signs(self, redis_url: str) -> None:
        """The broker keeps what was written before the stop; /healthz would take it for signs of this start."""
        with redis.Redis.from_url(redis_url, socket_timeout=5) as client:
            client.delete(*self._launch.stale_keys)

    async def _until_healthy(self) -> None:
        """Wait for /healthz; raises CannotStart when a process ends again and again."""
        reminded_at = time.monotonic()
        while True:
            health = await ask_health(self._launch.port)
            if health.is_well:
                return
            for child in self._keeper.kept:
                if child.restarts >= GIVE_UP_AFTER_RESTARTS:
                    raise CannotStart(
                        f"{child.name} {child.ending()} {child.restarts} times while starting; "
                        f"its last line was: {child.last_line}"
                    )
            if time.monotonic() - reminded_at > REMIND_SECONDS:
                self._say("waiting for " + "; ".join(f"{name}: {why}" for name, why in health.missing.items()))
                reminded_at = time.monotonic()
            await asyncio.sleep(0.2)

    def _announce(self, demo: Demo, sandbox_port: int) -> None:
        password = demo.password or "(shown at the first start; for a new one: manage.py bootstrap ... --rotate)"
        for line in (
            "",
            f"CohortSync runs at  {self._launch.url}",
            f"Login               {demo.email}  {password}",
            f"OneSignal sandbox   http://{ports.ADDRESS}:{sandbox_port}",
            f"Data                {self._launch.data_dir}",
            "Ctrl-C stops it all.",
            "",
        ):
            self._say(line)

    def _record(self) -> None:
        """Bring state.json up to date; before the servers answer there is nothing to find."""
        if self._state is not None:
            write_state(self._launch.data_dir, replace(self._state, pids=self._keeper.pids))

    def _say(self, text: str) -> None:
        self._log.line("up", text)


def run(launch: Launch, *, descriptor: int, is_coloured: bool) -> None:
    """Run the product until it is asked to stop, logging to a file descriptor. Raises CannotStart."""
    log = LogStream(descriptor, is_coloured=is_coloured)

    async def supervise() -> None:
        log.attach(asyncio.get_running_loop())
        await Supervisor(launch, log).run()

    try:
        asyncio.run(supervise())
    finally:
        log.flush()
