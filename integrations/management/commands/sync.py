"""`sync run`: run one sync now and wait for what it comes to. Queued by `integrations/syncs.py`, worked by a worker."""

from __future__ import annotations

import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from integrations.errors import Conflict
from integrations.models import Run, Sync
from integrations.syncs import run_now

POLL_SECONDS = 0.5
OPEN = (Run.Status.QUEUED, Run.Status.RUNNING)


class Command(BaseCommand):
    help = "Work with a sync by hand."

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        run = actions.add_parser("run", help="run a sync now; the exit code is 0 only when the run succeeded")
        run.add_argument("sync_id", type=int, metavar="SYNC_ID")
        run.add_argument("--retry", action="store_true", help="also try unmatched and rejected members now")
        run.add_argument(
            "--wait",
            type=float,
            default=3600.0,
            metavar="SECONDS",
            help="how long to wait for the end of the run (default 3600; 0 only queues it)",
        )

    def handle(self, *_: Any, **options: Any) -> None:
        sync = Sync.objects.filter(pk=options["sync_id"]).first()
        if sync is None:
            raise CommandError(f"There is no sync {options['sync_id']}.")
        try:
            run = run_now(sync=sync, is_retry=options["retry"], now=timezone.now())
        except Conflict as error:
            raise CommandError(error.sentence) from error
        self.stdout.write(f"Run {run.pk} of sync {sync.pk} is {run.status}.")
        if options["wait"] > 0:
            self._wait(run, seconds=options["wait"])

    def _wait(self, run: Run, *, seconds: float) -> None:
        """Print how the run ends. Raises CommandError unless it succeeded: anything else must not read as success."""
        ends_at = time.monotonic() + seconds
        while run.status in OPEN:
            if time.monotonic() > ends_at:
                raise CommandError(
                    f"Run {run.pk} is still {run.status} after {seconds:g} s; it goes on by itself once a worker is "
                    "free. Is one running?"
                )
            time.sleep(POLL_SECONDS)
            run.refresh_from_db()
        self.stdout.write(
            f"{run.added} added, {run.removed} removed, {run.unchanged} unchanged, {run.unmatched} unmatched, "
            f"{run.rejected} rejected, {run.left_to_add + run.left_to_remove} left; {run.requests} requests."
        )
        if run.status != Run.Status.SUCCEEDED:
            raise CommandError(f"Run {run.pk} ended as {run.status}. {run.error or ''}".rstrip())
        self.stdout.write(f"Run {run.pk} succeeded.")
