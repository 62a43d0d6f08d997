"""The control endpoints (`/_control/...`): outside OneSignal's contract, for tests, demos and benchmarks (api.md).

They need no key; `answering.py` lets only this machine's own programs in. They have no limits, and no faults.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import asdict, replace

from integrations.destinations.onesignal.sandbox.apps import PLANS, App, AppSettings, new_api_key, new_settings
from integrations.destinations.onesignal.sandbox.calls.reading import check_alias
from integrations.destinations.onesignal.sandbox.calls.users import written_user
from integrations.destinations.onesignal.sandbox.faults import read_faults, written_faults
from integrations.destinations.onesignal.sandbox.routes import Call
from integrations.destinations.onesignal.sandbox.segments import Segment
from integrations.destinations.onesignal.sandbox.users import EXTERNAL_ID, Subscription, User
from integrations.destinations.onesignal.sandbox.wire import (
    Answer,
    Malformed,
    Refusal,
    as_object,
    basic_error,
    json_answer,
    text_field,
)

MAX_KEY_CHARACTERS = 512


# --- Apps ------------------------------------------------------------------------------------------------------------


def put_app(call: Call) -> Answer:
    """Create an app, or change the one of the given id; answer with its id and key."""
    body = call.request.json_object() if call.request.body else {}
    app_id = text_field(body, "app_id") or str(uuid.uuid4())
    try:
        app_id = str(uuid.UUID(app_id))
    except ValueError:
        raise Malformed("app_id must be a UUID.") from None
    known = call.state.apps.get(app_id)
    before = known.settings if known is not None else new_settings(app_id, new_api_key(), now=call.now)
    settings = _changed_settings(call, before, {name: value for name, value in body.items() if name != "app_id"})
    call.state.record("app", app_id, asdict(settings))
    return json_answer(200, {"app_id": app_id, "api_key": settings.api_key})


def change_app(call: Call) -> Answer:
    """Change plan, key, name or limits of an app."""
    settings = _changed_settings(call, call.app.settings, call.request.json_object())
    call.record("app", asdict(settings))
    return view_app(call)


def view_app(call: Call) -> Answer:
    """Show an app with its key."""
    return json_answer(200, _written_app(call.app))


def list_apps(call: Call) -> Answer:
    """Show all apps with their keys."""
    return json_answer(200, {"apps": [_written_app(app) for app in call.state.apps.values()]})


def delete_app(call: Call) -> Answer:
    """Delete an app with all it holds."""
    app_id = call.app.settings.id
    call.record("app_deleted")
    call.exports.forget(app_id)
    return json_answer(200, {"success": True})


def _written_app(app: App) -> dict[str, object]:
    settings = app.settings
    return {
        "app_id": settings.id,
        "api_key": settings.api_key,
        "name": settings.name,
        "plan": settings.plan,
        "tag_limit": app.tag_limit,
        "segment_limit": app.segment_limit,
        "users": len(app.users.present),
        "segments": len(app.segments),
    }


def _changed_settings(call: Call, settings: AppSettings, body: Mapping[str, object]) -> AppSettings:
    changed = replace(settings, updated_at=call.now)
    for name in body:
        if name not in ("api_key", "plan", "name", "tag_limit", "segment_limit"):
            raise Malformed(f"An app has api_key, plan, name, tag_limit and segment_limit to set, not {name!r}.")
    if body.get("api_key") is not None:
        changed.api_key = _read_key(body)
    if body.get("plan") is not None:
        plan = text_field(body, "plan")
        if plan not in PLANS:
            raise Malformed(f"plan must be one of {', '.join(PLANS)}.")
        changed.plan = plan
    if body.get("name") is not None:
        changed.name = text_field(body, "name") or ""
    if "tag_limit" in body:
        changed.tag_limit = _read_limit(body, "tag_limit")
    if "segment_limit" in body:
        changed.segment_limit = _read_limit(body, "segment_limit")
    return changed


def _read_key(body: Mapping[str, object]) -> str:
    key = text_field(body, "api_key") or ""
    if not 1 <= len(key) <= MAX_KEY_CHARACTERS or not key.isascii() or not key.isprintable() or " " in key:
        raise Malformed(f"api_key must be 1 to {MAX_KEY_CHARACTERS} printable ASCII characters without spaces.")
    return key


def _read_limit(body: Mapping[str, object], name: str) -> int | None:
    """Return a limit; None goes back to the plan's."""
    value = body[name]
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 0):
        raise Malformed(f"{name} must be a whole number from 0 on, or null for the plan's.")
    return value


# --- Users -----------------------------------------------------------------------------------------------------------


def add_users(call: Call) -> Answer:
    """Make users known: `external_ids` each with one push subscription, `users` with exactly what they say."""
    body = call.request.json_object()
    for name in body:
        if name not in ("external_ids", "users"):
            raise Malformed(f"Give external_ids or users, not {name!r}.")
    external_ids = _read_external_ids(body)
    wanted = _read_users(call, body)
    before = len(call.app.users.present)
    first_number = call.app.users.next_number
    new_ids = [each for each in external_ids if call.app.users.find(EXTERNAL_ID, each) is None]
    if new_ids:
        call.record("external_ids", first_number, new_ids, call.now)
    for external_id, subscription_ids in wanted:
        _add_user(call, external_id, subscription_ids)
    created = len(call.app.users.present) - before
    return json_answer(200, {"created": created, "known": len(external_ids) + len(wanted) - created})


def view_user(call: Call) -> Answer:
    """Show a user as the API does."""
    return json_answer(200, written_user(call, _path_user(call)))


def change_tags(call: Call) -> Answer:
    """Change tags as somebody else would: no quota, nothing counted; "" or null deletes."""
    user = _path_user(call)
    body = call.request.json_object()
    tags: dict[str, str] = {}
    for key, value in (as_object(body["tags"], "tags") if set(body) == {"tags"} else body).items():
        if not key or not (value is None or isinstance(value, str)):
            raise Malformed(f"The tag {key!r} must be a string, or null to delete it.")
        tags[key] = value or ""
    call.record("tags", user.number, tags)
    return json_answer(200, {"tags": dict(user.tags)})


def _path_user(call: Call) -> User:
    user = call.app.users.find(EXTERNAL_ID, call.parameters["external_id"])
    if user is None:
        raise Refusal(basic_error(404, "No user has this external_id."))
    return user


def _read_external_ids(body: Mapping[str, object]) -> list[str]:
    """Return the external ids, each once, in their order."""
    given = body.get("external_ids", [])
    if not isinstance(given, list):
        raise Malformed("external_ids must be an array of strings.")
    for value in given:
        _check_external_id(value)
    return list(dict.fromkeys(given))


def _check_external_id(value: object) -> str:
    if not isinstance(value, str):
        raise Malformed("An external id must be a string.")
    check_alias(EXTERNAL_ID, value)
    return value


def _read_users(call: Call, body: Mapping[str, object]) -> list[tuple[str | None, list[str]]]:
    given = body.get("users", [])
    if not isinstance(given, list):
        raise Malformed("users must be an array of objects.")
    wanted = []
    for value in given:
        entry = as_object(value, "Each of users")
        external_id = entry.get("external_id")
        subscription_ids = entry.get("subscriptions", [])
        if not isinstance(subscription_ids, list):
            raise Malformed("subscriptions must be an array of UUIDs.")
        if external_id is not None:
            external_id = _check_external_id(external_id)
        wanted.append((external_id, [_check_subscription_id(call, external_id, each) for each in subscription_ids]))
    return wanted


def _check_subscription_id(call: Call, external_id: str | None, value: object) -> str:
    """Return the UUID of a subscription that nobody has, or this user already."""
    try:
        subscription_id = str(uuid.UUID(value if isinstance(value, str) else ""))
    except ValueError:
        raise Malformed("subscriptions must be an array of UUIDs.") from None
    known = call.app.users.subscription(subscription_id)
    owner = None if known is None else call.app.users.get(known.owner)
    if owner is not None and (external_id is None or owner.external_id != external_id):
        raise Refusal(basic_error(409, f"The subscription {subscription_id} is another user's."))
    return subscription_id


def _add_user(call: Call, external_id: str | None, subscription_ids: list[str]) -> None:
    users = call.app.users
    user = None if external_id is None else users.find(EXTERNAL_ID, external_id)
    number = users.next_number if user is None else user.number
    if user is None:
        call.record("users", [(number, external_id, call.now, False, {}, {}, {})])
    for subscription_id in subscription_ids:
        subscription = Subscription(
            id=subscription_id,
            owner=number,
            type="AndroidPush",
            token=f"sandbox-{subscription_id}",
            is_enabled=True,
            created_at=call.now,
        )
        call.record("subscription", asdict(subscription))


# --- Segments --------------------------------------------------------------------------------------------------------


def list_segment_users(call: Call) -> Answer:
    """Show who is in a segment, evaluated from its filters now."""
    users = call.app.users
    external_ids, onesignal_ids = [], []
    for user in users.select(call.app.members(_path_segment(call), now=call.now)):
        onesignal_ids.append(users.user_ids.of(user.number))
        if user.external_id is not None:
            external_ids.append(user.external_id)
    return json_answer(200, {"external_ids": external_ids, "onesignal_ids": onesignal_ids})


def change_segment(call: Call) -> Answer:
    """Pause a segment or let a Journey use it, which only OneSignal's dashboard can do."""
    body = call.request.json_object()
    changed = replace(_path_segment(call))
    for name, value in body.items():
        if name not in ("is_active", "used_by_journey") or not isinstance(value, bool):
            raise Malformed("A segment has is_active and used_by_journey to set, each true or false.")
        if name == "is_active":
            changed.is_active = value
        else:
            changed.is_used_by_journey = value
    call.record("segment", asdict(changed))
    return json_answer(
        200, {"id": changed.id, "is_active": changed.is_active, "used_by_journey": changed.is_used_by_journey}
    )


def _path_segment(call: Call) -> Segment:
    segment = call.app.segments.get(call.parameters["segment_id"].lower())
    if segment is None:
        raise Refusal(basic_error(404, "segment not found"))
    return segment


# --- Faults and stats ------------------------------------------------------------------------------------------------


def put_faults(call: Call) -> Answer:
    """Replace the app's faults; `{}` clears them."""
    call.record("faults", asdict(read_faults(call.request.json_object())))
    return view_faults(call)


def view_faults(call: Call) -> Answer:
    """Show the app's faults."""
    return json_answer(200, written_faults(call.app.faults))


def view_stats(call: Call) -> Answer:
    """Show what reached the app since the last reset."""
    return json_answer(200, call.app.traffic.stats())


def reset_stats(call: Call) -> Answer:
    """Set the app's counters to zero."""
    call.app.traffic.reset()
    return json_answer(200, call.app.traffic.stats())
