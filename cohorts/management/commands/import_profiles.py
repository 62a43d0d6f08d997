"""`manage.py import_profiles`: a file of profiles into a project. `cohorts/imports.py` decides what a line becomes."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.utils import timezone

from cohorts.imports import Tally, Watcher, import_profiles
from cohorts.management.importing import VALUES_HELP, add_arguments, inspected, project_of, run_import


class Command(BaseCommand):
    """Import profiles from CSV or JSON lines."""

    help = (
        "Import profiles from a CSV or JSON-lines file: each line sets the other columns as properties of the person "
        "with that id, who is made if there is none. Columns that name people at a destination, such as "
        "$onesignal_user_id, stay text. JSON lines of Mixpanel's export are taken as they are "
        "(--distinct-id '$distinct_id'). " + VALUES_HELP
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        add_arguments(parser)

    def handle(self, *_: Any, **options: Any) -> None:
        """Import and say what became of the lines."""
        project = project_of(options)
        source = inspected(options, options["distinct_id"])

        def run(watcher: Watcher) -> Tally:
            return import_profiles(
                project=project,
                source=source,
                distinct_id_column=options["distinct_id"],
                text_columns=frozenset(options["text_column"]),
                now=timezone.now(),
                is_dry_run=options["dry_run"],
                watcher=watcher,
            )

        run_import(run, source=source, options=options, noun="persons", out=self.stdout)
