"""`manage.py up`, which `make up` wraps: start everything, print the address and the login, stop on Ctrl-C."""

import os
import signal
import sys
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from cohortsync.health import LIFE_SIGN_KEYS
from cohortsync.standalone.errors import CannotStart
from cohortsync.standalone.launch import Launch
from cohortsync.standalone.lifetime import die_with_parent
from cohortsync.standalone.supervisor import run


class Command(BaseCommand):
    help = "Start PostgreSQL, Valkey (where no address is set for them), web, worker, beat and the OneSignal sandbox."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--stop-with-parent", action="store_true", help="stop when the calling process ends, whatever ended it"
        )

    def handle(self, *_args: Any, stop_with_parent: bool, **_options: Any) -> None:
        # The one other reader of the environment beside settings: it makes up that of its children.
        environ = os.environ
        sandbox_port = environ.get("SANDBOX_PORT", "")
        if sandbox_port and not sandbox_port.isdecimal():
            sys.exit(f"SANDBOX_PORT is {sandbox_port!r}; it must be a port number.")
        if stop_with_parent:
            die_with_parent(signal.SIGTERM)
        launch = Launch(
            checkout=settings.BASE_DIR,
            data_dir=settings.DATA_DIR.absolute(),
            port=settings.PORT,
            sandbox_port=int(sandbox_port) if sandbox_port else None,
            database_url=environ.get("DATABASE_URL") or None,
            redis_url=environ.get("REDIS_URL") or None,
            environ=dict(environ),
            stale_keys=LIFE_SIGN_KEYS,
        )
        is_coloured = sys.stdout.isatty() and not environ.get("NO_COLOR")
        try:
            run(launch, descriptor=sys.stdout.fileno(), is_coloured=is_coloured)
        except CannotStart as error:
            sys.exit(str(error))
