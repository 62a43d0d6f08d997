"""Aliases: show, set and take away, by an alias of the user or by one of their subscriptions."""

from __future__ import annotations

from integrations.destinations.onesignal.sandbox.calls.reading import (
    check_alias_count,
    path_subscription,
    path_subscription_for_write,
    path_user,
    path_user_for_write,
    read_identity,
)
from integrations.destinations.onesignal.sandbox.routes import Call
from integrations.destinations.onesignal.sandbox.users import ONESIGNAL_ID, User
from integrations.destinations.onesignal.sandbox.wire import (
    Answer,
    Malformed,
    Refusal,
    json_answer,
    structured_error,
)


def view_identity(call: Call) -> Answer:
    """Show the aliases of a user."""
    return _written(call, path_user(call))


def view_identity_of_subscription(call: Call) -> Answer:
    """Show the aliases of the user who has a subscription: the way from a Player ID to a user."""
    return _written(call, _owner(call, path_subscription(call).owner))


def update_identity(call: Call) -> Answer:
    """Set aliases of a user."""
    return _updated(call, path_user_for_write(call))


def update_identity_of_subscription(call: Call) -> Answer:
    """Set aliases of the user who has a subscription."""
    return _updated(call, _owner(call, path_subscription_for_write(call).owner))


def delete_alias(call: Call) -> Answer:
    """Take an alias away from a user."""
    label = call.parameters["alias_label_to_delete"]
    if label == ONESIGNAL_ID:
        raise Malformed("The onesignal_id cannot be deleted.")
    user = path_user_for_write(call)
    if label not in call.app.users.identity(user):
        raise Refusal(structured_error(404, "user-1", "Alias not found"))
    call.record("alias", user.number, label, None)
    return _written(call, user)


def _owner(call: Call, number: int) -> User:
    owner = call.app.users.get(number)
    assert owner is not None  # a subscription goes with its user
    return owner


def _updated(call: Call, user: User) -> Answer:
    identity = read_identity(call.request.json_object())
    if not identity:
        raise Malformed("identity must hold at least one alias.")
    users = call.app.users
    for label, alias_id in identity.items():
        if label == ONESIGNAL_ID:
            raise Malformed("The onesignal_id cannot be set.")
        holder = users.find(label, alias_id)
        if holder is not None and holder is not user:
            # contract/onesignal.md, 1.2: `user-2` names the alias that another user holds.
            raise Refusal(
                structured_error(409, "user-2", "One or more Aliases claimed by another User", {label: alias_id})
            )
    check_alias_count([*user.aliases, *identity])
    for label, alias_id in identity.items():
        call.record("alias", user.number, label, alias_id)
    return _written(call, user)


def _written(call: Call, user: User) -> Answer:
    return json_answer(200, {"identity": call.app.users.identity(user)})
