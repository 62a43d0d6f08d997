"""`manage.py import_events`: a file of events into a project. `cohorts/imports.py` decides what a line becomes."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from cohorts.files import FileRefused
from cohorts.imports import EventColumns, Tally, Watcher, import_events
from cohorts.management.importing import VALUES_HELP, add_arguments, inspected, project_of, run_import

_DEFAULT_EVENT_COLUMN = "event"


class Command(BaseCommand):
    """Import events from CSV or JSON lines."""

    help = (
        "Import events from a CSV or JSON-lines file. Columns that are no part of the event become its properties. "
        "Times are ISO 8601 or seconds or milliseconds since 1970; without a zone they are UTC. Importing a file again "
        "adds nothing: without --insert-id an event is known by the file's content and its line. JSON lines of "
        "Mixpanel's export are taken as they are (--event-column event --distinct-id distinct_id --time time "
        "--insert-id '$insert_id'). " + VALUES_HELP
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        add_arguments(parser)
        name = parser.add_mutually_exclusive_group()
        name.add_argument("--event", default="", metavar="NAME", help="the name of all events in the file")
        name.add_argument(
            "--event-column",
            default=_DEFAULT_EVENT_COLUMN,
            metavar="COLUMN",
            help=f"the column with each event's name (default: {_DEFAULT_EVENT_COLUMN})",
        )
        parser.add_argument("--time", required=True, metavar="COLUMN", help="the column with the event's time")
        parser.add_argument(
            "--insert-id", default="", metavar="COLUMN", help="the column with an id that no two events share"
        )

    def handle(self, *_: Any, **options: Any) -> None:
        """Import and say what became of the lines."""
        project = project_of(options)
        columns = EventColumns(
            name=options["event"],
            name_column="" if options["event"] else options["event_column"],
            distinct_id=options["distinct_id"],
            time=options["time"],
            insert_id=options["insert_id"],
        )
        source = inspected(options, columns.distinct_id, columns.time, columns.insert_id)
        try:
            if columns.name_column:
                source.check_column(columns.name_column)
        except FileRefused as error:
            raise CommandError(
                f"{error} Say with --event NAME or --event-column COLUMN what the events are."
            ) from error

        def run(watcher: Watcher) -> Tally:
            return import_events(
                project=project,
                source=source,
                columns=columns,
                text_columns=frozenset(options["text_column"]),
                now=timezone.now(),
                is_dry_run=options["dry_run"],
                watcher=watcher,
            )

        run_import(run, source=source, options=options, noun="events", out=self.stdout)
