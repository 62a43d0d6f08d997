"""`bootstrap`: the way in on a fresh installation, a project with an owner's login and a program's credentials.

The work is `cohorts/projects.py`; with `--json` stdout is one line that scripts read (docs/api.md).
"""

from __future__ import annotations

import json
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from cohorts.models import Project
from cohorts.projects import Bootstrapped, InvalidProject, bootstrap


class Command(BaseCommand):
    help = (
        "Make a project that E-MAIL owns, with a service account, and print how to enter. Doing it again changes "
        "nothing and shows no secret again, unless --rotate renews the account's secret and the login's password."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--email", required=True, help="who owns the project and logs in")
        parser.add_argument("--project", required=True, metavar="NAME", help="the project's name")
        parser.add_argument("--timezone", metavar="TZ", help="IANA timezone of a new project (default UTC)")
        parser.add_argument(
            "--id-merge", choices=Project.IdMerge.values, help="ID merge of a new project (default original)"
        )
        parser.add_argument("--rotate", action="store_true", help="renew the secret and the password, and show them")
        parser.add_argument("--staff", action="store_true", help="let the login operate this installation in /admin/")
        parser.add_argument("--json", action="store_true", help="print exactly one line of JSON")

    def handle(self, *_: Any, **options: Any) -> None:
        try:
            made = bootstrap(
                email=options["email"],
                project_name=options["project"],
                timezone=options["timezone"],
                id_merge=options["id_merge"],
                is_staff=options["staff"],
                is_rotating=options["rotate"],
                now=timezone.now(),
            )
        except InvalidProject as error:
            raise CommandError(str(error)) from error
        self.stdout.write(json.dumps(_answer(made)) if options["json"] else _sentences(made))


def _api_url(project: Project) -> str:
    return f"http://127.0.0.1:{settings.PORT}/api/v1/projects/{project.pk}/"


def _answer(made: Bootstrapped) -> dict[str, object]:
    return {
        "project_id": made.project.pk,
        "token": made.project.token,
        "service_account": {"username": made.account.username, "secret": made.secret},
        "login": {"email": made.login.email, "password": made.password},
        "api_url": _api_url(made.project),
    }


def _sentences(made: Bootstrapped) -> str:
    kept = "(set before; --rotate renews it)"
    return "\n".join(
        [
            f"Project {made.project.pk}: {made.project.name}",
            f"  token            {made.project.token}",
            f"  API              {_api_url(made.project)}",
            f"  service account  {made.account.username}",
            f"  secret           {made.secret or kept}",
            f"  login            {made.login.email}",
            f"  password         {made.password or kept}",
        ]
    )
