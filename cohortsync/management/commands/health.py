"""`manage.py health [CHECK...]`: the checks of /healthz at the terminal and for container health checks."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from cohortsync.health import run_checks


class Command(BaseCommand):
    help = "Run the health checks, or only those named; exits with 1 when one is not ok."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "names", nargs="*", metavar="CHECK", help="database, migrations, broker, worker, beat, sandbox"
        )

    def handle(self, *_args: Any, names: list[str], **_options: Any) -> None:
        checks = run_checks()
        unknown = sorted(set(names) - set(checks))
        if unknown:
            raise CommandError(f"No check is called {', '.join(unknown)}; there are {', '.join(checks)}.")
        chosen = {name: check for name, check in checks.items() if not names or name in names}
        for name, check in chosen.items():
            self.stdout.write(f"{'ok ' if check.ok else 'NOT'} {name:<10} {check.detail}")
        if not all(check.ok for check in chosen.values()):
            raise CommandError("Not every check is ok.")
