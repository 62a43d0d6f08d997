"""What to do about each reason for which something was refused: one sentence each, shown wherever the reason is.

The reasons are the vocabulary of `refusals.py` (steps 1 and 2) and, for identity, Mixpanel's own `$failure_reason`
words. A reason of an older version, which has no sentence, is shown as it is; a test holds that every known one has
its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cohorts.refusals import Reason


@dataclass(frozen=True, slots=True)
class Remedy:
    """A reason in words, and what the sender can do about it. About identity: the record was stored, a link was not."""

    title: str
    sentence: str
    is_about_identity: bool = False


# Mixpanel's words say nothing to who has not read its manual (original ID merge), so they get a title.
_IDENTITY: Mapping[str, tuple[str, str]] = {
    Reason.ALIAS_TAKEN: (
        "The alias belongs to somebody already",
        "An id can be an alias of one person only: send the alias once, right after signing up, and never for an id"
        " that another user has; if both are the same person, join them with $merge through /import.",
    ),
    Reason.ALIAS_TOO_MANY: (
        "A person would have more than 500 ids",
        "Something shared is used as an id, such as a test account or one device in a shop: call reset() when a"
        " user logs out, and identify() only with an id that belongs to one human.",
    ),
    Reason.ANONYMOUS_ID_NO_GUID: (
        "The anonymous id is no generated one",
        "Give $identify the anonymous id that the SDK generated, four hyphens in it (a UUID, with or without"
        " $device:); two ids that you chose yourself are joined with $create_alias or $merge.",
    ),
    Reason.ANONYMOUS_ID_TAKEN: (
        "The anonymous id belongs to another user already",
        "Two users were identified on one device without reset() between them: call reset() when a user logs out,"
        " so that the next one begins with an anonymous id of their own.",
    ),
    Reason.SAME_IDS: (
        "Both ids are the same",
        "There is nothing to link: call identify() only with the id of a user who has logged in, never with the"
        " anonymous id itself.",
    ),
    Reason.ID_UNUSABLE: (
        Reason.ID_UNUSABLE,
        "Send both ids with $identify, $create_alias and $merge, each a text that names one human: words such as"
        " null or undefined mean that a variable was empty.",
    ),
    Reason.MERGE_NOT_ALLOWED: (
        Reason.MERGE_NOT_ALLOWED,
        "Send $merge through /import with the credentials of a service account, since it joins people for ever; one"
        " can be made on the settings page.",
    ),
    Reason.ALIAS_UNUSABLE: (
        Reason.ALIAS_UNUSABLE,
        "Set $onesignal_user_id to the user's External ID at OneSignal as a text, not to an empty or reserved word;"
        " until then messages coming back from OneSignal are not attributed to this user.",
    ),
}
_RECORDS: Mapping[str, str] = {
    Reason.NOT_JSON: (
        "Send JSON, an object or a list of objects, or its base64 in the form field data, as the SDKs do."
    ),
    Reason.NOT_UTF8: (
        "Encode text as UTF-8 and leave out lone surrogates: a text was cut in the middle of a character."
    ),
    Reason.NOT_AN_OBJECT: (
        "Each record must be a JSON object in a list: look for lists in lists, texts or null among them."
    ),
    Reason.RECORD_TOO_LARGE: (
        "Keep a record under 1 MB: send an id or an address in place of documents, logs and pictures."
    ),
    Reason.TOKEN_MISSING: "Put this project's token into every record; it stands on the settings page.",
    Reason.EVENT_NAME_MISSING: "Give the event a name: the field event, a text that is not empty.",
    Reason.PROPERTIES_MALFORMED: "Send properties as a JSON object, not as a list or as text that holds JSON.",
    Reason.DISTINCT_ID_MISSING: "Send distinct_id with every record; /import takes no event without one.",
    Reason.DISTINCT_ID_UNUSABLE: (
        "Send the user's real id: words such as null, undefined or anonymous mean a variable was empty, and would"
        " make one person of all your users."
    ),
    Reason.TIME_MALFORMED: "Send time as Unix time, in seconds or milliseconds; /import needs one with every event.",
    Reason.TIME_TOO_OLD: (
        "/track takes the last five days only: send older events through /import, which takes any age from 1971 on."
    ),
    Reason.TIME_IN_FUTURE: (
        "The sender's clock is wrong, or milliseconds were sent as seconds: correct it and send again."
    ),
    Reason.INSERT_ID_MALFORMED: (
        "Give each event an $insert_id of up to 36 letters, digits and hyphens, the same one at every retry."
    ),
    Reason.TOO_MANY_PROPERTIES: (
        "Keep a record under 255 properties: put ids and names that are data into values, not into property names."
    ),
    Reason.TOO_DEEP: "Nest values at most three levels deep: flatten the object, or send its parts as properties.",
    Reason.LIST_TOO_LONG: "Keep a list under 255 elements: send a count or the newest ones.",
    Reason.VALUE_TOO_LARGE: (
        "Keep a list or an object under 8 kB in an event and 256 kB in a profile: send what cohorts ask for, and"
        " the rest as an id."
    ),
    Reason.OPERATION_MALFORMED: (
        "Send each operation ($set, $add, ...) with an object of property names and values; $unset takes a list of"
        " names, $delete anything."
    ),
    Reason.OPERATION_UNSUPPORTED: (
        "Use one of the operations that group profiles have: $set, $set_once, $unset, $remove, $union, $delete."
    ),
    Reason.TYPE_CLASH: (
        "Send $add for numbers only, $append, $union and $remove for lists only, or $unset the property first; the"
        " record was left out as a whole."
    ),
    Reason.NUMBER_TOO_LARGE: "Start the sum anew with $set, or keep it in smaller units.",
    Reason.GROUP_UNUSABLE: "Send $group_key and $group_id, both texts that are not empty, with every group update.",
    Reason.IDENTITY_EVENT: (
        "Leave $identify, $create_alias and $merge out of the file: on simplified ID merge an event with $device_id and"
        " $user_id links them."
    ),
    Reason.PROFILE_FULL: "The profile has as many properties as fit: $unset those nobody uses, then send again.",
}


def remedy_of(reason: str) -> Remedy:
    """Return a reason's words; one that is not known yet keeps its own, and says where to look."""
    if reason in _IDENTITY:
        title, sentence = _IDENTITY[reason]
        return Remedy(title, sentence, is_about_identity=True)
    # Mixpanel's words for identity all begin so.
    is_about_identity = reason.startswith("err")
    return Remedy(
        reason, _RECORDS.get(reason, "The samples say what was sent, and why it was refused."), is_about_identity
    )


def identity_reasons(reasons: list[str]) -> list[str]:
    """Return those of the reasons that are about identity."""
    return [each for each in reasons if remedy_of(each).is_about_identity]
