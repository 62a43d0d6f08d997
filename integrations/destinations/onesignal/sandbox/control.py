"""A client of the sandbox's control endpoints, for demos: makes an app and the users it knows (calls/control.py).

Nothing that a sync does goes this way; syncs know the sandbox by OneSignal's API only (`onesignal/client.py`).
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import requests

from integrations.errors import Temporary, Unreachable

_TIMEOUT_SECONDS = 20.0


@dataclass(frozen=True)
class SandboxApp:
    """An app in the sandbox, its key and how many users it has."""

    app_id: str
    api_key: str
    users: int


class SandboxControl:
    """The sandbox at an address. Every call raises Unreachable when nobody answers, Temporary when it is refused."""

    def __init__(self, base_url: str) -> None:
        self._url = f"{base_url}/_control/apps"
        self._session = requests.Session()
        self._session.trust_env = False  # a proxy would not reach loopback

    def __enter__(self) -> SandboxControl:
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()

    def find_app(self, app_id: uuid.UUID) -> SandboxApp | None:
        """Return the app, None where the sandbox has none of this id."""
        body = self._call("GET", f"/{app_id}")
        if body is None:
            return None
        return SandboxApp(str(body["app_id"]), str(body["api_key"]), int(str(body["users"])))

    def make_app(self, app_id: uuid.UUID, *, name: str, plan: str, api_key: str | None) -> SandboxApp:
        """Make the app, with a new key unless one is given; of one that is there, change what is given."""
        given = {"app_id": str(app_id), "name": name, "plan": plan, "api_key": api_key}
        self._call("POST", "", {field: value for field, value in given.items() if value is not None})
        made = self.find_app(app_id)
        if made is None:
            raise Temporary(f"The sandbox at {self._url} lost the app it just made; look at its log.")
        return made

    def add_users(self, app_id: uuid.UUID, external_ids: Sequence[str]) -> None:
        """Make users known, each with a push subscription; those who are known stay as they are."""
        self._call("POST", f"/{app_id}/users", {"external_ids": list(external_ids)})

    def _call(self, method: str, path: str, body: Mapping[str, object] | None = None) -> dict[str, object] | None:
        """Return the answer's object; None for 404."""
        try:
            reply = self._session.request(method, self._url + path, json=body, timeout=_TIMEOUT_SECONDS)
            if reply.status_code == 404:
                return None
            answer = reply.json()
        except requests.RequestException as error:
            raise Unreachable(
                f"The sandbox does not answer at {self._url} ({type(error).__name__}); start it with `make up`."
            ) from error
        if reply.status_code != 200 or not isinstance(answer, dict):
            raise Temporary(f"The sandbox answered {method} {self._url}{path} with {reply.status_code}; see its log.")
        return answer
