"""Apps: view one, and the refusal of the list, which needs an organisation's key."""

from __future__ import annotations

from integrations.destinations.onesignal.sandbox.routes import Call
from integrations.destinations.onesignal.sandbox.wire import Answer, basic_error, json_answer, written_moment


def view_app(call: Call) -> Answer:
    """Show an app; `view=config` leaves out the counts. No push credentials: the sandbox has none."""
    settings, users = call.app.settings, call.app.users
    shown: dict[str, object] = {
        "id": settings.id,
        "name": settings.name,
        "organization_id": settings.organization_id,
        "created_at": written_moment(settings.created_at),
        "updated_at": written_moment(settings.updated_at),
        "additional_data_is_root_payload": False,
    }
    if call.request.query_values().get("view") != "config":
        shown["players"] = users.subscription_count()
        shown["messageable_players"] = users.opted_in_count(users.present)
    return json_answer(200, shown)


def list_apps(_call: Call) -> Answer:
    """Refuse: an app's key may not list the organisation's apps."""
    return basic_error(403, "Current organization permissions do not allow this action.")
