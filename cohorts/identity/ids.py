"""What can name somebody: a distinct_id as text, and the values that are none (step 3; contract, 1.5)."""

from __future__ import annotations

import re

from cohorts.values import JsonValue, clean_text

# Mixpanel: what broken code sends instead of an id, for distinct_id and $insert_id alike (contract, 1.5).
DENYLIST = frozenset(
    {
        "00000000-0000-0000-0000-000000000000",
        "anon",
        "anonymous",
        "nil",
        "none",
        "null",
        "n/a",
        "na",
        "undefined",
        "unknown",
        "<nil>",
        "0",
        "-1",
        "true",
        "false",
        "[]",
        "{}",
    }
)
# Mixpanel: original ID merge.
MAX_IDS_PER_PERSON = 500
# The property whose value becomes an alias, so that messages coming back from OneSignal belong to the right person.
ALIAS_PROPERTY = "$onesignal_user_id"

# Original ID merge's verbs: events that link ids, stored like others and nobody's behaviour (contract, 3.2 and 4.3).
IDENTITY_EVENTS = ("$identify", "$create_alias", "$merge")

# The form of ids that devices give themselves, of a UUID and of older browser SDKs (contract, 3.2).
_GUID_FORM = re.compile(r"(\$device:)?[A-Za-z0-9]*(-[A-Za-z0-9]*){4}")
_LARGEST_EXACT = 2**53


def is_usable(distinct_id: str) -> bool:
    """Return whether the id can name somebody."""
    return bool(distinct_id) and distinct_id.lower() not in DENYLIST


def text_of_id(value: JsonValue) -> str | None:
    """Return an id as text: any scalar is one (Mixpanel); None for what names nothing exactly."""
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float) and abs(value) <= _LARGEST_EXACT:
        # A number beyond that may have lost digits on the way, and so name somebody else.
        return str(int(value)) if value.is_integer() else repr(value)
    return None


def has_guid_form(distinct_id: str) -> bool:
    """Return whether the id has the form that anonymous ids have."""
    return _GUID_FORM.fullmatch(distinct_id) is not None
