"""Raw records -> events: what `/track` and `/import` take, under which rules (step 1; contract, 1.3 to 1.6)."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from cohorts.identity import DENYLIST, IDENTITY_EVENTS, claim_of, is_usable, text_of_id
from cohorts.identity.claims import DEVICE_PREFIX, device_id_of
from cohorts.messages import IncomingEvent
from cohorts.refusals import Reason, RecordRefused
from cohorts.times import EARLIEST, epoch_time
from cohorts.values import MAX_EVENT_VALUE_BYTES, JsonValue, Properties, clean_properties, clean_text
from integrations.mixpanel.body import RawRecord, Unreadable

# Mixpanel: what may lie ahead is a clock that goes fast; what lies further ahead is a mistake.
MAX_AHEAD = dt.timedelta(hours=1)
MAX_INSERT_ID_CHARACTERS = 36
# They name the ids they are about in properties of their own.
_WITHOUT_DISTINCT_ID = ("$identify", "$merge")

_INSERT_ID = re.compile(rf"[A-Za-z0-9-]{{1,{MAX_INSERT_ID_CHARACTERS}}}")
# Read into columns, or never stored (contract, 2.2). Without a database of addresses, an IP is only dropped.
_NOT_STORED = ("token", "time", "$time", "distinct_id", "$insert_id", "ip")


@dataclass(frozen=True, slots=True)
class EventRules:
    """How one request's events are read.

    `earliest_at` is the first moment taken; `latest_at` the last one, None takes any and counts it as now. Strict mode
    refuses what is otherwise put right. `address_id` stands in for a missing distinct_id. `may_merge`: the sender has
    proved who they are, so `$merge` is taken. An import marks its events so (Mixpanel: `$import`).
    """

    now: dt.datetime
    earliest_at: dt.datetime
    latest_at: dt.datetime | None = None
    is_strict: bool = False
    is_simplified: bool = False
    address_id: str = ""
    may_merge: bool = False
    is_import: bool = False


def token_of(record: RawRecord) -> str:
    """Return the project token an event carries, readable or not. Raises RecordRefused if it has none."""
    token = record.token if isinstance(record, Unreadable) else properties_of(record).get("token")
    if isinstance(record, Unreadable) and not token:
        raise RecordRefused(record.reason, "", record.message)
    if isinstance(token, str) and token:
        return token
    raise RecordRefused(Reason.TOKEN_MISSING, "properties.token", "token, missing or empty")


def properties_of(record: RawRecord) -> Properties:
    """Return the properties of a raw event. Raises RecordRefused if it is none."""
    if isinstance(record, dict):
        properties = record.get("properties")
        if isinstance(properties, dict):
            return properties
        if properties is None:
            return {}
        raise RecordRefused(Reason.PROPERTIES_MALFORMED, "properties", "'properties' is invalid: must be a JSON object")
    if isinstance(record, Unreadable):
        raise RecordRefused(record.reason, "", record.message)
    raise RecordRefused(Reason.NOT_AN_OBJECT, "", "the record is not a JSON object")


def insert_id_of(record: RawRecord) -> str:
    """Return what a record names itself by, for messages about it."""
    properties = record.get("properties") if isinstance(record, dict) else None
    insert_id = properties.get("$insert_id") if isinstance(properties, dict) else None
    return clean_text(insert_id) if isinstance(insert_id, str) else ""


def has_identity_event(records: Iterable[RawRecord]) -> bool:
    """Return whether one of the records is a verb of original ID merge."""
    return any(isinstance(record, dict) and record.get("event") in IDENTITY_EVENTS for record in records)


def reader(rules: EventRules) -> Callable[[int, RawRecord], IncomingEvent | None]:
    """Return what reads a request's records by these rules."""
    return lambda _, record: read_event(record, rules)


def read_event(record: RawRecord, rules: EventRules) -> IncomingEvent | None:
    """Return the event, or None for one to accept and drop. Raises RecordRefused."""
    raw = properties_of(record)
    assert isinstance(record, dict)
    name = record.get("event")
    if not isinstance(name, str) or not (name := clean_text(name)).strip():
        raise RecordRefused(Reason.EVENT_NAME_MISSING, "event", "'event' must not be missing or blank")
    # Projects on simplified ID merge refuse identity events (/import) or drop them (/track).
    if _is_ignored(raw) or (rules.is_simplified and name in IDENTITY_EVENTS):
        return None
    if name == "$merge" and rules.is_strict:
        # Mixpanel: a merge has no time and no insert id.
        rules = replace(rules, is_strict=False)
    sent_at, occurred_at = _times(raw, rules)
    distinct_id = _distinct_id(name, raw, rules)
    insert_id = _insert_id(record, raw, rules)
    properties = clean_properties(
        {key: value for key, value in raw.items() if key not in _NOT_STORED},
        field="properties",
        max_value_bytes=MAX_EVENT_VALUE_BYTES,
        is_strict=rules.is_strict,
    )
    sent_id = text_of_id(raw.get("distinct_id"))
    if rules.is_simplified and sent_id and sent_id != distinct_id:
        properties["$distinct_id_before_identity"] = sent_id
    if rules.is_import:
        # Of what Mixpanel's servers add, this alone is the same whenever the event is sent again.
        properties["$import"] = True
    return IncomingEvent(
        name=name,
        distinct_id=distinct_id,
        sent_at=sent_at,
        occurred_at=occurred_at,
        insert_id=insert_id,
        properties=properties,
        claim=claim_of(name, raw, is_simplified=rules.is_simplified, may_merge=rules.may_merge),
    )


def _is_ignored(properties: Properties) -> bool:
    """Return whether the sender wants the event accepted and dropped (Mixpanel: `$ignore`)."""
    mark = properties.get("$ignore")
    return mark is True or (isinstance(mark, str) and mark != "")


def _times(raw: Properties, rules: EventRules) -> tuple[dt.datetime | None, dt.datetime]:
    """Return the time as sent, None for none, and the time the event counts for."""
    value = raw.get("time")
    if value is None:
        value = raw.get("$time")
    sent_at = epoch_time(value)
    if sent_at is None:
        if rules.is_strict:
            raise RecordRefused(
                Reason.TIME_MALFORMED,
                "properties.time",
                "'properties.time' is invalid: must be specified as seconds since epoch",
            )
        return None, rules.now
    if sent_at < rules.earliest_at:
        if rules.earliest_at > EARLIEST:
            raise RecordRefused(
                Reason.TIME_TOO_OLD,
                "properties.time",
                f"'properties.time' is invalid: must be within the last {(rules.now - rules.earliest_at).days} days; "
                "send older events to /import",
            )
        raise RecordRefused(
            Reason.TIME_TOO_OLD,
            "properties.time",
            "'properties.time' is invalid: must be specified as seconds since epoch",
        )
    if sent_at <= rules.now:
        return sent_at, sent_at
    if rules.latest_at is not None and sent_at > rules.latest_at:
        raise RecordRefused(
            Reason.TIME_IN_FUTURE, "properties.time", "'properties.time' is invalid: must not be in the future"
        )
    return sent_at, rules.now


def _distinct_id(name: str, raw: Properties, rules: EventRules) -> str:
    value = _simplified_id(raw) if rules.is_simplified else _original_id(name, raw)
    if value is None:
        if rules.is_strict:
            raise RecordRefused(
                Reason.DISTINCT_ID_MISSING,
                "properties.distinct_id",
                "'properties.distinct_id' is invalid: must not be missing",
            )
        return rules.address_id
    text = text_of_id(value)
    if rules.is_strict and (text is None or text.lower() in DENYLIST):
        raise RecordRefused(
            Reason.DISTINCT_ID_UNUSABLE,
            "properties.distinct_id",
            "'properties.distinct_id' is invalid: must name somebody",
        )
    return text or ""


def _original_id(name: str, raw: Properties) -> JsonValue:
    """Return who an event belongs to in a project on original ID merge; an identity event, to whom it names first."""
    value = raw.get("distinct_id")
    if value is None and name in _WITHOUT_DISTINCT_ID:
        ids = raw.get("$distinct_ids")
        value = raw.get("$identified_id") or (ids[0] if isinstance(ids, list) and ids else None)
    return value


def _simplified_id(raw: Properties) -> JsonValue:
    """Return who an event belongs to in a project on simplified ID merge (contract, 3.3).

    The user before the device, both before a distinct_id; an id that names nobody is none.
    """
    user = text_of_id(raw.get("$user_id"))
    if user is not None and is_usable(user):
        return user
    value = raw.get("distinct_id")
    if device := device_id_of(raw.get("$device_id")):
        return device
    # Such a distinct_id is a device's id, which may name nobody.
    return device_id_of(value) if isinstance(value, str) and value.startswith(DEVICE_PREFIX) else value


def _insert_id(record: dict[str, JsonValue], raw: Properties, rules: EventRules) -> str:
    value = raw.get("$insert_id")
    if value is None:
        # Mixpanel's mobile SDKs send no insert id, but name the event here.
        metadata = record.get("$mp_metadata")
        value = metadata.get("$mp_event_id") if isinstance(metadata, dict) else None
    text = "" if value is None else text_of_id(value) or ""
    if rules.is_strict:
        if not text:
            raise RecordRefused(
                Reason.INSERT_ID_MALFORMED, "$insert_id", "'$insert_id' is invalid: must not be missing or empty"
            )
        if not _INSERT_ID.fullmatch(text):
            message = (
                f"must be at most {MAX_INSERT_ID_CHARACTERS} characters"
                if len(text) > MAX_INSERT_ID_CHARACTERS
                else "must only contain alphanumeric or hyphen '-' characters"
            )
            raise RecordRefused(Reason.INSERT_ID_MALFORMED, "$insert_id", f"'$insert_id' is invalid: {message}")
        if text.lower() in DENYLIST:
            raise RecordRefused(
                Reason.INSERT_ID_MALFORMED, "$insert_id", f"'$insert_id' is invalid: {text} is no identifier"
            )
    # `null`, `undefined` and the like are what broken code sends with every event: they tell no two apart.
    return "" if text.lower() in DENYLIST else text
