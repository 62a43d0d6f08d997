"""Users: update (the one that carries every tag), view, create or update, delete."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

from integrations.destinations.onesignal.sandbox.calls.reading import (
    MAX_PROPERTIES,
    check_subscription_count,
    check_tag_limit,
    no_user,
    path_user,
    path_user_for_write,
    read_identity,
    read_new_subscription,
    read_properties,
    read_tags,
    written_subscription,
)
from integrations.destinations.onesignal.sandbox.filters import seen_at
from integrations.destinations.onesignal.sandbox.routes import Call
from integrations.destinations.onesignal.sandbox.users import EXTERNAL_ID, ONESIGNAL_ID, Subscription, User
from integrations.destinations.onesignal.sandbox.wire import (
    Answer,
    Malformed,
    Refusal,
    json_answer,
    object_field,
    structured_error,
)


def update_user(call: Call) -> Answer:
    """Set and delete tags and properties of a user who exists; never create one."""
    body = call.request.json_object()
    tags, properties = _read_changes(body)
    deltas = _read_deltas(body)
    user = path_user_for_write(call)
    check_tag_limit(call.app, user, tags)
    changes = properties | _added_up(user, deltas)
    if call.app.dice.is_late():
        call.late.accept(call.app, user.number, tags, changes)
    else:
        if tags:
            call.record("tags", user.number, tags)
        if changes:
            call.record("properties", user.number, changes)
    answered: dict[str, object] = dict(properties)
    if tags:
        answered["tags"] = tags
    if "purchases" in deltas:
        answered["purchases"] = deltas["purchases"]
    return json_answer(202, {"properties": answered})


def view_user(call: Call) -> Answer:
    """Show a user with aliases, tags, properties and subscriptions."""
    return json_answer(200, written_user(call, path_user(call)))


def written_user(call: Call, user: User) -> dict[str, object]:
    """Return a user as the API shows them."""
    users = call.app.users
    return {
        "identity": users.identity(user),
        "properties": {
            "tags": dict(user.tags),
            "first_active": int(seen_at(user, "first_active")),
            "last_active": int(seen_at(user, "last_active")),
            **user.properties,
        },
        "subscriptions": [
            written_subscription(call.app.settings.id, subscription) for subscription in users.subscriptions_of(user)
        ],
    }


def create_user(call: Call) -> Answer:
    """Create a user, or update the one whose alias or subscription the request names."""
    body = call.request.json_object()
    identity = read_identity(body)
    tags, properties = _read_changes(body)
    users = call.app.users
    user = _named_user(call, identity)
    number = users.next_number if user is None else user.number
    subscriptions = _read_subscriptions(call, body, number)
    if not identity and not subscriptions:
        raise Malformed("A user needs at least one identifier: an alias in identity, or a subscription.")
    if user is None and not identity:
        # Only subscriptions: the user who has the first known one is meant.
        known = next((owner for each in subscriptions if (owner := _holder(call, each)) is not None), None)
        if known is not None:
            user, number = known, known.number
            subscriptions = _read_subscriptions(call, body, number)
    call.count_write(number if user is not None else tuple(sorted(identity.items())))
    check_tag_limit(call.app, user, tags)
    held = () if user is None else tuple(each.id for each in users.subscriptions_of(user))
    check_subscription_count(len({*held, *(each.id for each in subscriptions)}))
    if user is None:
        _record_new_user(call, number, identity, tags, properties)
    else:
        _record_changes(call, user, identity, tags, properties)
    for subscription in subscriptions:
        call.record("subscription", asdict(subscription))
    stored = users.get(number)
    assert stored is not None
    app_id = call.app.settings.id
    return json_answer(
        200 if user is None else 202,
        {
            "identity": users.identity(stored),
            "properties": {**properties, "tags": tags} if tags else properties,
            "subscriptions": [
                {"id": each.id, "app_id": app_id, "type": each.type, "token": each.token} for each in subscriptions
            ],
        },
    )


def delete_user(call: Call) -> Answer:
    """Delete a user with their subscriptions."""
    user = path_user_for_write(call)
    call.record("user_deleted", user.number)
    return json_answer(202, {"identity": {ONESIGNAL_ID: call.app.users.user_ids.of(user.number)}})


def _read_changes(body: Mapping[str, object]) -> tuple[dict[str, str], dict[str, object]]:
    properties = object_field(body, "properties")
    tags, others = read_tags(properties), read_properties(properties)
    if len(tags) + len(others) > MAX_PROPERTIES:
        raise Malformed("Please limit your tag updates to 100 per request")
    return tags, others


def _read_deltas(body: Mapping[str, object]) -> dict[str, object]:
    if "deltas" not in body:
        return {}
    deltas = object_field(body, "deltas")
    for name in ("session_time", "session_count"):
        value = deltas.get(name, 0)
        if not isinstance(value, int) or isinstance(value, bool):
            raise Malformed(f"deltas.{name} must be a whole number.")
    purchases = deltas.get("purchases", [])
    if not isinstance(purchases, list) or not all(isinstance(purchase, dict) for purchase in purchases):
        raise Malformed("deltas.purchases must be an array of objects.")
    return deltas


def _added_up(user: User, deltas: Mapping[str, object]) -> dict[str, object]:
    sums: dict[str, object] = {}
    for name in ("session_time", "session_count"):
        delta, before = deltas.get(name), user.properties.get(name, 0)
        if isinstance(delta, int) and isinstance(before, int):
            sums[name] = before + delta
    return sums


def _named_user(call: Call, identity: Mapping[str, str]) -> User | None:
    """Return the one user whose aliases these are. Raises Refusal when they are several users'."""
    found = {label: call.app.users.find(label, alias_id) for label, alias_id in identity.items()}
    if ONESIGNAL_ID in found and found[ONESIGNAL_ID] is None:
        raise no_user()
    owners = {user.number: user for user in found.values() if user is not None}
    if len(owners) > 1:
        conflicting = {label: identity[label] for label, user in found.items() if user is not None}
        raise Refusal(structured_error(409, "Conflict", "Conflicting aliases", {"conflicting_aliases": conflicting}))
    return next(iter(owners.values()), None)


def _read_subscriptions(call: Call, body: Mapping[str, object], owner: int) -> list[Subscription]:
    """Return the request's subscriptions as this user will have them: a known token keeps its id."""
    given = body.get("subscriptions", [])
    if not isinstance(given, list):
        raise Malformed("subscriptions must be an array.")
    by_token: dict[tuple[str, str], Subscription] = {}
    for value in given:
        subscription = read_new_subscription(value, owner=owner, now=call.now)
        known = call.app.users.subscription_by_token(subscription.type, subscription.token)
        if known is not None:
            subscription.id, subscription.created_at = known.id, known.created_at
        by_token[(subscription.type, subscription.token)] = subscription
    return list(by_token.values())


def _holder(call: Call, subscription: Subscription) -> User | None:
    known = call.app.users.subscription_by_token(subscription.type, subscription.token)
    return None if known is None else call.app.users.get(known.owner)


def _record_new_user(
    call: Call, number: int, identity: Mapping[str, str], tags: Mapping[str, str], properties: Mapping[str, object]
) -> None:
    aliases = {label: alias_id for label, alias_id in identity.items() if label != EXTERNAL_ID}
    kept = {key: value for key, value in tags.items() if value}
    row = (number, identity.get(EXTERNAL_ID), call.now, False, kept, aliases, dict(properties))
    call.record("users", [row])


def _record_changes(
    call: Call, user: User, identity: Mapping[str, str], tags: Mapping[str, str], properties: Mapping[str, object]
) -> None:
    for label, alias_id in identity.items():
        if label != ONESIGNAL_ID:
            call.record("alias", user.number, label, alias_id)
    if tags:
        call.record("tags", user.number, tags)
    if properties:
        call.record("properties", user.number, properties)
