"""Who may call: the app's own key for OneSignal's endpoints, this machine's own programs for the control endpoints.

Users endpoints check no key (contract/onesignal.md, section 1, trap): their answers prove nothing about one.
"""

from __future__ import annotations

import ipaddress

from integrations.destinations.onesignal.sandbox.apps import App
from integrations.destinations.onesignal.sandbox.wire import Refusal, Request, basic_error

SCHEMES = frozenset({"key", "basic"})
# One sentence for every bad key, with two spaces after "denied." (OneSignal's Python SDK, errors.py).
DENIED = (
    "Access denied.  Please include an 'Authorization: ...' header with a valid API key "
    "(https://documentation.onesignal.com/docs/en/keys-and-ids#api-keys)."
)
NO_HEADER = "Please include a case-sensitive header of Authorization"


def given_key(request: Request) -> str:
    """Return the key of the Authorization header; empty when its scheme is none of ours. Raises Refusal without one."""
    header = request.header(b"authorization")
    if header is None:
        raise Refusal(basic_error(400, NO_HEADER))
    scheme, _, key = header.strip().partition(" ")
    return key.strip() if scheme.lower() in SCHEMES else ""


def check_key(request: Request, app: App) -> None:
    """Refuse any key but the app's own. Raises Refusal."""
    if given_key(request) != app.settings.api_key:
        raise denied()


def denied() -> Refusal:
    """Return the one refusal of every bad key."""
    return Refusal(basic_error(403, DENIED))


def check_neighbour(request: Request) -> None:
    """Refuse what a web page of somebody else makes a browser send here. Raises Refusal."""
    host, origin = request.header(b"host"), request.header(b"origin")
    is_here = host is None or _is_this_machine(host)
    if not is_here or (origin is not None and origin != f"http://{host}"):
        raise Refusal(basic_error(403, "The sandbox's control and pages answer programs of this machine only."))


def _is_this_machine(host: str) -> bool:
    """Tell whether a Host header names this machine; another name may have been made to lead here."""
    name = host if host.endswith("]") else host.rpartition(":")[0] or host
    try:
        return ipaddress.ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return name == "localhost"
