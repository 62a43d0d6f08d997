#!/usr/bin/env python
"""Django's command line, with one addition: a command that needs the servers says `make up` when none run."""

import os
import sys

NEED_NO_DATABASE = {
    "up",
    "check",
    "makemigrations",
    "collectstatic",
    "help",
    "--help",
    "--version",
    "version",
}


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cohortsync.settings")
    from django.conf import settings
    from django.core.management import execute_from_command_line

    from cohortsync.standalone.errors import CannotStart

    try:
        database_url = settings.DATABASE_URL
    except CannotStart as error:
        sys.exit(str(error))
    command = sys.argv[1] if len(sys.argv) > 1 else "help"
    if command not in NEED_NO_DATABASE and database_url is None:
        sys.exit(
            f"No database: DATABASE_URL is not set and nothing runs for {settings.DATA_DIR}. "
            "Run `make up` first (with the same PORT and DATA_DIR), or set DATABASE_URL and REDIS_URL."
        )
    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
