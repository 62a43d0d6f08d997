"""Which call answers which method and path. Paths are matched raw: an id may hold an encoded slash (`%2F`).

`answering.py` asks here; the calls themselves are in `calls/`.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from integrations.destinations.onesignal.sandbox.apps import App
from integrations.destinations.onesignal.sandbox.exports import Exports
from integrations.destinations.onesignal.sandbox.late import LateWrites
from integrations.destinations.onesignal.sandbox.state import State
from integrations.destinations.onesignal.sandbox.wire import (
    Answer,
    Malformed,
    Refusal,
    Request,
    structured_error,
    with_retry_after,
)


class Family(enum.Enum):
    """Endpoints that check keys and word their errors alike."""

    USERS = "users"  # no key is checked, errors are structured
    SUBSCRIPTIONS = "subscriptions"  # as users, but a malformed request gets a basic error (S1)
    SEGMENTS = "segments"
    APP = "app"
    APPS = "apps"
    EXPORTS = "exports"
    CONTROL = "control"
    PAGES = "pages"


USER_FAMILIES = frozenset({Family.USERS, Family.SUBSCRIPTIONS})


@dataclass(slots=True)
class Call:
    """One request on its way through a call. `now` is in seconds since 1970, `moment` is monotonic."""

    request: Request
    parameters: dict[str, str]
    state: State
    exports: Exports
    late: LateWrites
    now: float
    moment: float
    found_app: App | None = None

    @property
    def app(self) -> App:
        """The app of the path; only in families that have one."""
        assert self.found_app is not None
        return self.found_app

    def count_write(self, user: Hashable) -> None:
        """Count a write to one user, named by number or alias. Raises Refusal when the spacing is enforced."""
        is_too_soon = self.app.traffic.write(user, self.moment)
        if is_too_soon and self.app.faults.is_user_spacing_enforced:
            raise Refusal(too_fast())

    def record(self, change: str, *arguments: object) -> None:
        """Change this call's app."""
        self.state.record(change, self.app.settings.id, *arguments)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A method and path with the call behind it; writes and views have rate limits."""

    method: str
    pattern: str
    call: Callable[[Call], Answer]
    family: Family
    is_write: bool = False
    is_view: bool = False

    @property
    def route(self) -> str:
        """The name under which requests are counted."""
        return f"{self.method} {self.pattern}"


def too_fast() -> Answer:
    """Return the answer to a request beyond a rate limit (contract/onesignal.md, section 5)."""
    return with_retry_after(structured_error(429, "Rate Limit Exceeded", "API rate limit exceeded"), seconds=1)


class Routes:
    """The endpoints by the shape of their paths."""

    def __init__(self, endpoints: Iterable[Endpoint]) -> None:
        self._by_length: dict[int, list[_Shape]] = {}
        for endpoint in endpoints:
            parts = endpoint.pattern.split("/")[1:]
            shapes = self._by_length.setdefault(len(parts), [])
            literals = tuple((index, part.encode()) for index, part in enumerate(parts) if not part.startswith("{"))
            names = tuple((index, part[1:-1]) for index, part in enumerate(parts) if part.startswith("{"))
            known = next((shape for shape in shapes if shape.literals == literals), None)
            if known is None:
                known = _Shape(literals, names, {})
                shapes.append(known)
            known.endpoints[endpoint.method] = endpoint

    def find(self, method: str, raw_path: bytes) -> tuple[Endpoint, dict[str, str]] | list[str] | None:
        """Return the endpoint with its decoded parameters, or the methods that the path has, or None.

        Raises Malformed when a parameter is not UTF-8.
        """
        parts = raw_path.split(b"/")[1:]
        if parts[:2] == [b"api", b"v1"]:
            del parts[:2]
        for shape in self._by_length.get(len(parts), ()):
            if all(parts[index] == literal for index, literal in shape.literals):
                endpoint = shape.endpoints.get("GET" if method == "HEAD" else method)
                if endpoint is None:
                    return sorted(shape.endpoints)
                return endpoint, {name: _decoded(parts[index]) for index, name in shape.names}
        return None


@dataclass(frozen=True, slots=True)
class _Shape:
    literals: tuple[tuple[int, bytes], ...]
    names: tuple[tuple[int, str], ...]
    endpoints: dict[str, Endpoint]


def _decoded(part: bytes) -> str:
    try:
        return (unquote_to_bytes(part) if b"%" in part else part).decode()
    except UnicodeDecodeError:
        raise Malformed("The path is not UTF-8.") from None
