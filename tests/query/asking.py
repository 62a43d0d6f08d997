"""A program that asks the Query API."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import orjson
from django.test import Client

from cohorts.models import Project
from tests.api.cast import basic, make_account

FORM = "application/x-www-form-urlencoded"


class Asker(Client):
    """A client with the credentials of one service account."""

    def ask(self, path: str = "/api/query/engage", *, method: str = "POST", **parameters: Any) -> Any:
        """Ask and return the response; what is no text goes as JSON."""
        fields = {
            name: value if isinstance(value, str | int) else orjson.dumps(value).decode()
            for name, value in parameters.items()
        }
        if method == "GET":
            return self.get(path, fields)
        return self.post(path, urlencode(fields), content_type=FORM)

    def answer(self, **parameters: Any) -> Any:
        """Return the decoded answer, which must be one."""
        response = self.ask(**parameters)
        assert response.status_code == 200, response.content
        return response.json()

    def found(self, **parameters: Any) -> list[str]:
        """Return the distinct_ids of the first page."""
        return [each["$distinct_id"] for each in self.answer(**parameters)["results"]]

    def refusal(self, *, status: int = 400, **parameters: Any) -> str:
        """Return why the query is refused."""
        response = self.ask(**parameters)
        assert response.status_code == status, response.content
        assert response.json()["status"] == "error"
        return str(response.json()["error"])


def asker_of(project: Project, *, role: str = "consumer") -> Asker:
    """Return a client of a new service account."""
    account = make_account(project, role)
    return Asker(HTTP_AUTHORIZATION=basic(account.username, account.username[::-1]))
