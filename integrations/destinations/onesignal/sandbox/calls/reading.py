"""What users endpoints have in common: reading aliases, tags, properties and subscriptions from a request.

Every rule names where it comes from in contract/onesignal.md, section 3; the wording of the refusals is ours.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping

from integrations.destinations.onesignal.sandbox.apps import App
from integrations.destinations.onesignal.sandbox.routes import Call
from integrations.destinations.onesignal.sandbox.users import EXTERNAL_ID, ONESIGNAL_ID, Subscription, User
from integrations.destinations.onesignal.sandbox.wire import (
    Malformed,
    Refusal,
    as_object,
    object_field,
    structured_error,
    text_field,
)

MAX_ALIAS_CHARACTERS = 128
MAX_CUSTOM_ALIASES = 20
MAX_SUBSCRIPTIONS = 20
MAX_PROPERTIES = 100
MAX_TAG_KEY_CHARACTERS = 255
MAX_TAG_VALUE_CHARACTERS = 1024
MAX_TOKEN_CHARACTERS = 4096
NO_EXTERNAL_IDS = frozenset({"NA", "NULL", "0", "1", "-1", "all", "00000000-0000-0000-0000-000000000000"})
PATH_DOTS = frozenset({".", ".."})
RESERVED_TAG_KEYS = frozenset(
    {
        *("message", "notification", "subscription", "user", "template", "app", "org", "dynamic_content"),
        *("data_feed", "journey", "custom_data"),
    }
)
SUBSCRIPTION_TYPES = frozenset(
    {
        *("Email", "SMS", "iOSPush", "AndroidPush", "HuaweiPush", "FireOSPush", "WindowsPush", "macOSPush"),
        *("ChromeExtensionPush", "ChromePush", "SafariLegacyPush", "FirefoxPush", "SafariPush"),
    }
)
_PROPERTY_TYPES: dict[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("language", "timezone_id", "country", "ip", "test_user_name"), str),
    **dict.fromkeys(("first_active", "last_active"), int),
    **dict.fromkeys(("lat", "long"), (int, float)),
}
_DETAIL_TYPES: dict[str, type] = {
    **dict.fromkeys(("notification_types", "session_time", "session_count", "test_type"), int),
    **dict.fromkeys(("app_version", "device_model", "device_os", "sdk", "web_auth", "web_p256"), str),
}


# --- Aliases ---------------------------------------------------------------------------------------------------------


def check_alias(label: str, alias_id: str) -> None:
    """Refuse a label or id that no user can have. Raises Malformed."""
    if label == ONESIGNAL_ID:
        try:
            uuid.UUID(alias_id)
        except ValueError:
            raise Malformed("Invalid UUID", code="request-1", meta={ONESIGNAL_ID: alias_id}) from None
        return
    for name, text in (("The alias label", label), (label, alias_id)):
        if not 1 <= len(text) <= MAX_ALIAS_CHARACTERS:
            raise Malformed(f"{name} must have 1 to {MAX_ALIAS_CHARACTERS} characters.")
        if "\0" in text or text in PATH_DOTS:
            raise Malformed(f"{name} must not be {text!r}.")
    if label == EXTERNAL_ID and alias_id in NO_EXTERNAL_IDS:
        raise Malformed(f"external_id must not be {alias_id!r}.")


def read_identity(body: Mapping[str, object]) -> dict[str, str]:
    """Return the aliases of a request's `identity`. Raises Malformed."""
    identity: dict[str, str] = {}
    for label, alias_id in object_field(body, "identity").items():
        if not isinstance(alias_id, str):
            raise Malformed(f"identity.{label} must be a string.")
        check_alias(label, alias_id)
        identity[label] = alias_id
    check_alias_count(identity)
    return identity


def check_alias_count(labels: Iterable[str]) -> None:
    """Refuse more custom aliases than a user may have. Raises Malformed."""
    if len(set(labels) - {EXTERNAL_ID, ONESIGNAL_ID}) > MAX_CUSTOM_ALIASES:
        raise Malformed(f"A user has at most {MAX_CUSTOM_ALIASES} custom aliases.")


def no_user() -> Refusal:
    """Return the 404 of an unknown user (its body is unpublished; code and title are ours)."""
    return Refusal(structured_error(404, "user-0", "User not found"))


def no_subscription() -> Refusal:
    """Return the 404 of an unknown subscription."""
    return Refusal(structured_error(404, "subscription-0", "Subscription not found"))


def path_user(call: Call) -> User:
    """Return the user whose alias the path names. Raises Malformed, Refusal."""
    label, alias_id = call.parameters["alias_label"], call.parameters["alias_id"]
    check_alias(label, alias_id)
    user = call.app.users.find(label, alias_id)
    if user is None:
        raise no_user()
    return user


def path_user_for_write(call: Call) -> User:
    """Return the user whose alias the path names and count the write, to an unknown one too."""
    label, alias_id = call.parameters["alias_label"], call.parameters["alias_id"]
    check_alias(label, alias_id)
    user = call.app.users.find(label, alias_id)
    call.count_write(user.number if user is not None else (label, alias_id))
    if user is None:
        raise no_user()
    return user


def path_subscription(call: Call) -> Subscription:
    """Return the subscription that the path names. Raises Malformed, Refusal."""
    subscription_id = call.parameters["subscription_id"]
    try:
        uuid.UUID(subscription_id)
    except ValueError:
        raise Malformed("Invalid UUID", code="request-1", meta={"subscription_id": subscription_id}) from None
    subscription = call.app.users.subscription(subscription_id)
    if subscription is None:
        raise no_subscription()
    return subscription


def path_subscription_for_write(call: Call) -> Subscription:
    """Return the subscription that the path names and count the write to its owner."""
    subscription = path_subscription(call)
    call.count_write(subscription.owner)
    return subscription


# --- Tags and properties ---------------------------------------------------------------------------------------------


def read_tags(properties: Mapping[str, object]) -> dict[str, str]:
    """Return the tags to set and (empty string) to delete. Raises Malformed."""
    tags = object_field(properties, "tags")
    for key, value in tags.items():
        if not isinstance(value, str):
            raise Malformed(f"The tag {key!r} must be a string.")
        if not 1 <= len(key) <= MAX_TAG_KEY_CHARACTERS or len(value) > MAX_TAG_VALUE_CHARACTERS:
            raise Malformed(
                f"A tag's key has 1 to {MAX_TAG_KEY_CHARACTERS} characters, "
                f"its value at most {MAX_TAG_VALUE_CHARACTERS}."
            )
        if key in RESERVED_TAG_KEYS:
            raise Malformed(f"The tag key {key!r} is reserved.")
        if "\0" in key or "\0" in value:
            raise Malformed("A tag must not hold a NUL character.")
    return tags  # type: ignore[return-value]  # every value was just seen to be a string


def read_properties(properties: Mapping[str, object]) -> dict[str, object]:
    """Return the known properties other than tags; unknown ones are passed over. Raises Malformed."""
    found: dict[str, object] = {}
    for name, value in properties.items():
        wanted = _PROPERTY_TYPES.get(name)
        if wanted is not None:
            if not isinstance(value, wanted) or isinstance(value, bool):
                raise Malformed(f"properties.{name} has the wrong type.")
            found[name] = value
    return found


def check_tag_limit(app: App, user: User | None, tags: Mapping[str, str]) -> None:
    """Refuse tags beyond the plan's quota; what the same request deletes makes no room. Raises Refusal."""
    limit = app.tag_limit
    if limit is None:
        return
    held: Mapping[str, str] = {} if user is None else user.tags
    new_count = sum(1 for key, value in tags.items() if value and key not in held)
    if new_count and len(held) + new_count > limit:
        raise Refusal(
            structured_error(
                409,
                "entitlements-tag-limit",
                "The tags for this user exceed the limit for this organization's plan.",
            )
        )


# --- Subscriptions ---------------------------------------------------------------------------------------------------


def read_subscription(value: object) -> tuple[str, str, bool | None, dict[str, object]]:
    """Return type, token, enabled (None when not given) and details of a subscription. Raises Malformed."""
    fields = as_object(value, "subscription")
    type_, token, is_enabled = text_field(fields, "type"), text_field(fields, "token"), fields.get("enabled")
    if type_ is not None and type_ not in SUBSCRIPTION_TYPES:
        raise Malformed(f"subscription.type must be one of {', '.join(sorted(SUBSCRIPTION_TYPES))}.")
    if token is not None and len(token) > MAX_TOKEN_CHARACTERS:
        raise Malformed(f"subscription.token must have at most {MAX_TOKEN_CHARACTERS} characters.")
    if is_enabled is not None and not isinstance(is_enabled, bool):
        raise Malformed("subscription.enabled must be true or false.")
    details: dict[str, object] = {}
    for name, wanted in _DETAIL_TYPES.items():
        if name in fields:
            if not isinstance(fields[name], wanted) or isinstance(fields[name], bool):
                raise Malformed(f"subscription.{name} has the wrong type.")
            details[name] = fields[name]
    return type_ or "", token or "", is_enabled, details


def read_new_subscription(value: object, *, owner: int, now: float) -> Subscription:
    """Return a subscription to create, which needs a type and a token. Raises Malformed."""
    type_, token, is_enabled, details = read_subscription(value)
    if not type_ or not token:
        raise Malformed("A subscription needs type and token.")
    return Subscription(str(uuid.uuid4()), owner, type_, token, is_enabled is not False, now, details)


def check_subscription_count(count: int) -> None:
    """Refuse more subscriptions than a user may have. Raises Refusal."""
    if count > MAX_SUBSCRIPTIONS:
        raise Refusal(
            structured_error(
                409,
                "subscription-1",
                "Operation is not permitted due to user having the maximum number of subscriptions assigned",
            )
        )


def written_subscription(app_id: str, subscription: Subscription) -> dict[str, object]:
    """Return a subscription as the API shows it."""
    return {
        "id": subscription.id,
        "app_id": app_id,
        "type": subscription.type,
        "token": subscription.token,
        "enabled": subscription.is_enabled,
        "notification_types": 1 if subscription.is_enabled else -2,
        "session_time": 0,
        "session_count": 1,
        "sdk": "",
        "device_model": "",
        "device_os": "",
        "rooted": False,
        "test_type": 0,
        "app_version": "",
        "net_type": 0,
        "carrier": "",
        "web_auth": "",
        "web_p256": "",
        **subscription.details,
    }
