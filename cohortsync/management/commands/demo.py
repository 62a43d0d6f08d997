"""`manage.py demo`: fill a project with the demo; `up` runs it once everything answers (cohortsync/demo/)."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import OperationalError
from django.utils import timezone

from cohorts.models import Project
from cohortsync.demo.filling import CannotFill, Filled, fill_project
from integrations.errors import SentenceError


class Command(BaseCommand):
    help = (
        "Fill an empty project with a small shop's people, events and cohorts, and connect it to an app in the "
        "OneSignal sandbox. Doing it again adds nothing, but gives the sandbox back what it lost."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--project", type=int, required=True, metavar="ID")

    def handle(self, *_: Any, **options: Any) -> None:
        project = Project.objects.filter(pk=options["project"]).first()
        if project is None:
            raise CommandError(f"There is no project {options['project']}; make one with `manage.py bootstrap`.")
        try:
            filled = fill_project(project=project, now=timezone.now())
        except CannotFill as error:
            raise CommandError(str(error)) from error
        except SentenceError as error:
            raise CommandError(error.sentence) from error
        except OperationalError as error:
            raise CommandError(f"The database went away while the demo was made: {error}".strip()) from error
        self.stdout.write(_sentence(project, filled))


def _sentence(project: Project, filled: Filled) -> str:
    named = f"Project {project.pk} ({project.name})"
    if filled.people:
        return (
            f"{named} has a demo now: {filled.people:,} people, {filled.events:,} events, {filled.cohorts} cohorts "
            "and a connection to the sandbox."
        )
    if filled.is_connection_new:
        return f"{named} had the demo, and is connected to the sandbox now."
    if filled.is_app_new:
        return (
            f"{named} has the demo already. The sandbox had lost its app, and has it again with its users; "
            "what was exported to it is gone there."
        )
    return f"{named} has the demo already; nothing was added."
