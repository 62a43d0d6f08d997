"""Refusals that come before a call: no such app, no content type, a fault on purpose (`answering.py`).

Each is worded as its family of endpoints words it (contract/onesignal.md, 1.1 and 1.2).
"""

from __future__ import annotations

import uuid

from integrations.destinations.onesignal.sandbox.calls.reading import no_user
from integrations.destinations.onesignal.sandbox.keys import denied, given_key
from integrations.destinations.onesignal.sandbox.routes import USER_FAMILIES, Call, Endpoint, Family, too_fast
from integrations.destinations.onesignal.sandbox.wire import (
    Answer,
    Malformed,
    Refusal,
    Request,
    basic_error,
    structured_error,
)

NO_APP_ID = "app_id not found. You may be missing a Content-Type: application/json header."
KEYS_REFERENCE = ["/docs/accounts-and-keys#section-keys-ids"]
UNPARSED_APP_ID = "Request is malformed: Failed to parse app_id from request"


def no_app_answer(call: Call, endpoint: Endpoint) -> Answer:
    """Answer a call to an app that does not exist (contract/onesignal.md, 1.1)."""
    app_id, family = call.parameters["app_id"], endpoint.family
    try:
        uuid.UUID(app_id)
        is_uuid = True
    except ValueError:
        is_uuid = False
    if family in USER_FAMILIES:
        if not is_uuid:
            raise Malformed("Invalid UUID", code="request-1", meta={"app_id": app_id})
        # Ours, after what the view of an app says: the users endpoints' own words are not published.
        return structured_error(404, "app-0", f"Couldn't find app with id = {app_id}")
    given_key(call.request)
    if not is_uuid:
        if family is Family.EXPORTS:
            return basic_error(400, UNPARSED_APP_ID)
        return basic_error(400, NO_APP_ID, reference=KEYS_REFERENCE)
    if family is Family.APP:
        return basic_error(404, f"Couldn't find app with id = {app_id}")
    raise denied()


def check_content_type(request: Request, family: Family) -> None:
    """Refuse a body that does not say it is JSON. Raises Malformed, Refusal."""
    if not request.body or request.method not in ("POST", "PATCH"):
        return
    if (request.header(b"content-type") or "").lower().startswith("application/json"):
        return
    if family in USER_FAMILIES:
        raise Malformed(NO_APP_ID)
    raise Refusal(basic_error(400, NO_APP_ID, reference=KEYS_REFERENCE))


def fault_answer(family: Family, status: int) -> Answer:
    """Return the answer of the fault `rate`; nothing is stored with it, whatever its status says."""
    if status == 429:
        return too_fast()
    if status == 404 and family in USER_FAMILIES:
        return no_user().answer
    if status < 400:
        return Answer(status, b"{}")
    return basic_error(status, "Service temporarily unavailable" if status >= 500 else "The sandbox fails on purpose.")
