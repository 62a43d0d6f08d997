"""PyPI `mixpanel-utils`, call by call. Run by `tests/clients/walking.py`.

It prints a server's refusals and goes on, so every answer is looked at on its way through.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path

from mixpanel_utils import MixpanelUtils

from tests.clients.walks.target import TARGET, run, tell


class Utils(MixpanelUtils):  # type: ignore[misc]
    """Sends to the target and keeps the answers."""

    def __init__(self) -> None:
        super().__init__(
            TARGET["password"],
            token=TARGET["token"],
            service_account_username=TARGET["username"],
            project_id=int(TARGET["project_id"]),
            pool_size=1,
            max_retries=2,
        )
        self.import_api, self.formatted_api = TARGET["url"], TARGET["url"] + "/api"
        self.answers: list[str] = []

    def request(self, *arguments: object, **wishes: object) -> str:
        answer: str = super().request(*arguments, **wishes)
        self.answers.append(answer or "")
        return answer

    def tell(self, name: str, call: Callable[[], object], *, status: object) -> None:
        """Make a call and say how it ended: with success if every answer it got had the status."""

        def checked() -> None:
            self.answers = []
            call()
            if not self.answers or any(json.loads(answer)["status"] != status for answer in self.answers):
                raise AssertionError(f"answered {self.answers}")

        tell(name, checked)


def events() -> None:
    utils = Utils()
    rows = [
        {
            "event": "Order",
            "properties": {
                "time": 852_076_800 + number,
                "distinct_id": "ann",
                "$insert_id": f"utils-{number}",
                "n": number,
            },
        }
        for number in range(3)
    ]
    utils.tell("import_events", lambda: utils.import_events(rows, timezone_offset=0), status="OK")


def profiles() -> None:
    utils = Utils()
    people = [
        {"$distinct_id": name, "$properties": {"$name": name.title(), "plan": "pro" if number % 2 else "free"}}
        for number, name in enumerate(("ann", "bob", "cleo"))
    ]
    utils.tell("import_people", lambda: utils.import_people(people), status=1)
    ann, cleo = [people[0]], [people[2]]
    utils.tell("people_set", lambda: utils.people_set({"city": "Köln"}, profiles=ann, backup=False), status=1)
    utils.tell("people_append", lambda: utils.people_append({"seen": "a"}, profiles=ann, backup=False), status=1)
    utils.tell("people_delete", lambda: utils.people_delete(profiles=cleo, backup=False), status=1)


def export() -> None:
    utils = Utils()
    folder = Path(tempfile.mkdtemp(prefix="mixpanel-utils-"))

    def export_people(params: dict[str, str]) -> None:
        file = folder / "people.json"
        utils.export_people(str(file), params)
        exported = sorted(row["$distinct_id"] for row in json.loads(file.read_text()))
        if exported != TARGET["cohort_people"].split(","):
            raise AssertionError(f"exported {exported}")

    cohort = json.dumps({"id": int(TARGET["cohort_id"])})
    utils.tell("export_people of a cohort", lambda: export_people({"filter_by_cohort": cohort}), status="ok")
    where = 'properties["plan"] == "pro"'
    utils.tell("export_people by an expression", lambda: export_people({"where": where}), status="ok")


run({"events": events, "profiles": profiles, "export": export})
