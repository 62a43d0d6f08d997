"""The demo project and its login: made once by `manage.py bootstrap`, kept so that every start can show it.

What the project is filled with is `cohortsync/demo/`.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from cohortsync.standalone.state import write_private

DEMO_FILE = "demo.json"
DEMO_EMAIL = "demo@example.com"
DEMO_PROJECT = "Demo"


@dataclass(frozen=True)
class Demo:
    """The login and the project; `password` is None when it was shown before and its file is gone."""

    email: str
    password: str | None
    project_id: int | None


def keep_demo(data_dir: Path, answer: str) -> Demo:
    """Read the line that `bootstrap` printed; when it holds a password, keep the whole line (0600) for later starts.

    Raises ValueError when the answer is not what `bootstrap` prints.
    """
    fields = json.loads(answer)
    login = fields["login"] if isinstance(fields, dict) else None
    if not isinstance(login, dict):
        raise ValueError(answer)
    project_id = int(fields["project_id"])
    if login.get("password"):
        write_private(data_dir / DEMO_FILE, fields)
        return Demo(email=str(login["email"]), password=str(login["password"]), project_id=project_id)
    try:
        kept = json.loads((data_dir / DEMO_FILE).read_bytes())["login"]
        return Demo(email=str(kept["email"]), password=str(kept["password"]), project_id=project_id)
    except (OSError, ValueError, KeyError, TypeError):
        return Demo(email=str(login.get("email", DEMO_EMAIL)), password=None, project_id=project_id)
