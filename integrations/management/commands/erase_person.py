"""`manage.py erase_person`: erase persons, and see to the tags that a dead connection leaves behind."""

from __future__ import annotations

import getpass
import json
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from cohorts.management.importing import project_of
from cohorts.models import Project
from integrations.erasing import MAX_DISTINCT_IDS, erase_people
from integrations.errors import SentenceError
from integrations.models import Connection
from integrations.removals import give_up_tags, tags_left, values_left


class Command(BaseCommand):
    """Erase persons for good."""

    help = (
        "Erase persons by their ids, one a line on standard input (so that no id stays in the shell's history or the "
        "process list) or as arguments. Everything of theirs goes: profile, all ids, events, tags at destinations. "
        "With --left the tags are listed that a connection which cannot send leaves behind, with the ids to remove "
        "them by; with --removed-by-hand they are taken as gone, and the values are erased."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("distinct_ids", nargs="*", metavar="DISTINCT_ID")
        parser.add_argument("--project", type=int, required=True, metavar="ID")
        instead = parser.add_mutually_exclusive_group()
        instead.add_argument("--left", type=int, metavar="CONNECTION_ID", help="list the tags left behind")
        instead.add_argument("--removed-by-hand", type=int, metavar="CONNECTION_ID", help="those tags are gone")

    def handle(self, *_: Any, **options: Any) -> None:
        """Do it and print one line of JSON for each thing done or found."""
        project = project_of(options)
        if options["left"] is not None:
            self._list(_connection(project, options["left"]))
        elif options["removed_by_hand"] is not None:
            connection = _connection(project, options["removed_by_hand"])
            try:
                count = give_up_tags(connection=connection, now=timezone.now())
            except SentenceError as error:
                raise CommandError(error.sentence) from error
            self.stdout.write(json.dumps({"connection_id": connection.pk, "tags_taken_as_removed": count}))
        else:
            ids = options["distinct_ids"] or [line.rstrip("\r\n") for line in sys.stdin if line.strip()]
            self._erase(project, ids)

    def _erase(self, project: Project, ids: list[str]) -> None:
        if not ids:
            raise CommandError("Name at least one id, as an argument or a line on standard input.")
        for start in range(0, len(ids), MAX_DISTINCT_IDS):
            try:
                erasure = erase_people(
                    project=project,
                    distinct_ids=ids[start : start + MAX_DISTINCT_IDS],
                    requested_by=f"manage.py by {getpass.getuser()}",
                    now=timezone.now(),
                )
            except SentenceError as error:
                raise CommandError(error.sentence) from error
            self.stdout.write(json.dumps({"erasure": str(erasure.task_id), "persons": erasure.person_count}))

    def _list(self, connection: Connection) -> None:
        for left in tags_left(connection):
            row = {"segment": left.ledger.segment_name, "tag": left.ledger.tag, "ids": values_left(left)}
            self.stdout.write(json.dumps(row, ensure_ascii=False))


def _connection(project: Project, connection_id: int) -> Connection:
    connection = Connection.objects.filter(project=project, pk=connection_id).first()
    if connection is None:
        raise CommandError(f"There is no connection {connection_id} in project {project.pk}.")
    return connection
