"""Subscriptions: create, update, delete, hand over to another user."""

from __future__ import annotations

from dataclasses import asdict, replace

from integrations.destinations.onesignal.sandbox.calls.reading import (
    check_subscription_count,
    no_user,
    path_subscription_for_write,
    path_user_for_write,
    read_identity,
    read_new_subscription,
    read_subscription,
    written_subscription,
)
from integrations.destinations.onesignal.sandbox.routes import Call
from integrations.destinations.onesignal.sandbox.wire import Answer, Malformed, json_answer


def create_subscription(call: Call) -> Answer:
    """Give a user a subscription; one that another user has by this token is transferred."""
    body = call.request.json_object()
    user = path_user_for_write(call)
    users = call.app.users
    wanted = read_new_subscription(body.get("subscription"), owner=user.number, now=call.now)
    known = users.subscription_by_token(wanted.type, wanted.token)
    if known is not None:
        wanted = replace(wanted, id=known.id, created_at=known.created_at)
    check_subscription_count(len({*(each.id for each in users.subscriptions_of(user)), wanted.id}))
    call.record("subscription", asdict(wanted))
    if known is None:
        return json_answer(200, {})
    return json_answer(202, {"subscription": written_subscription(call.app.settings.id, wanted)})


def update_subscription(call: Call) -> Answer:
    """Change what is given of a subscription."""
    type_, token, is_enabled, details = read_subscription(call.request.json_object().get("subscription"))
    subscription = path_subscription_for_write(call)
    changed = replace(
        subscription,
        type=type_ or subscription.type,
        token=token or subscription.token,
        is_enabled=subscription.is_enabled if is_enabled is None else is_enabled,
        details={**subscription.details, **details},
    )
    holder = call.app.users.subscription_by_token(changed.type, changed.token)
    if holder is not None and holder.id != changed.id:
        raise Malformed("Another subscription has this type and token.")
    call.record("subscription", asdict(changed))
    return json_answer(200, {"subscription": written_subscription(call.app.settings.id, changed)})


def delete_subscription(call: Call) -> Answer:
    """Delete a subscription; its user stays."""
    call.record("subscription_deleted", path_subscription_for_write(call).id)
    return json_answer(202, {})


def transfer_subscription(call: Call) -> Answer:
    """Hand a subscription over to the user whom one alias names."""
    identity = read_identity(call.request.json_object())
    if len(identity) != 1:
        raise Malformed("identity must hold exactly one alias.")
    subscription = path_subscription_for_write(call)
    users = call.app.users
    ((label, alias_id),) = identity.items()
    owner = users.find(label, alias_id)
    if owner is None:
        raise no_user()
    if owner.number != subscription.owner:
        call.count_write(owner.number)
        check_subscription_count(len(users.subscriptions_of(owner)) + 1)
        call.record("subscription", asdict(replace(subscription, owner=owner.number)))
    return json_answer(200, {"identity": users.identity(owner)})
