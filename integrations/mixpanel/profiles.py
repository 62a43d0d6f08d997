"""Raw records -> profile updates: what `/engage` takes (step 1; contract, 1.8)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

from cohorts.identity import is_usable, text_of_id
from cohorts.messages import Delete, Operation, ProfileUpdate, Set, SetOnce, Unset
from cohorts.refusals import Reason, RecordRefused
from cohorts.times import EARLIEST, epoch_time
from cohorts.values import MAX_PROFILE_VALUE_BYTES, JsonValue, Properties, clean_properties, clean_text
from integrations.mixpanel.body import RawRecord, Unreadable

# Mixpanel applies several operations of one record in this order.
_SUPPORTED = ("$set", "$set_once", "$unset", "$delete")
_UNSUPPORTED = ("$add", "$append", "$union", "$remove")


def token_of(record: RawRecord) -> str:
    """Return the project token an update carries, readable or not. Raises RecordRefused if it has none."""
    token = record.token if isinstance(record, Unreadable) else _envelope(record).get("$token")
    if isinstance(record, Unreadable) and not token:
        raise RecordRefused(record.reason, "", record.message)
    if isinstance(token, str) and token:
        return token
    raise RecordRefused(Reason.TOKEN_MISSING, "$token", "$token, missing or empty")


def reader(now: dt.datetime) -> Callable[[int, RawRecord], ProfileUpdate | None]:
    """Return what reads a request's records as of `now`."""
    return lambda position, record: read_update(record, position=position, now=now)


def read_update(record: RawRecord, *, position: int, now: dt.datetime) -> ProfileUpdate:
    """Return the profile update. Raises RecordRefused."""
    envelope = _envelope(record)
    value = envelope.get("$distinct_id")
    if value is None:
        raise RecordRefused(
            Reason.DISTINCT_ID_MISSING, "$distinct_id", "'$distinct_id' is invalid: must not be missing"
        )
    distinct_id = text_of_id(value)
    if distinct_id is None or not is_usable(distinct_id):
        raise RecordRefused(
            Reason.DISTINCT_ID_UNUSABLE, "$distinct_id", "'$distinct_id' is invalid: must name somebody"
        )
    return ProfileUpdate(
        position=position,
        distinct_id=distinct_id,
        operations=_operations(envelope),
        updated_at=None if _is_true(envelope.get("$ignore_time")) else _updated_at(envelope, now),
        is_literal=_is_true(envelope.get("$ignore_alias")),
    )


def _envelope(record: RawRecord) -> Properties:
    if isinstance(record, dict):
        return record
    if isinstance(record, Unreadable):
        raise RecordRefused(record.reason, "", record.message)
    raise RecordRefused(Reason.NOT_AN_OBJECT, "", "the record is not a JSON object")


def _operations(envelope: Properties) -> tuple[Operation, ...]:
    for name in _UNSUPPORTED:
        if name in envelope:
            raise RecordRefused(
                Reason.OPERATION_UNSUPPORTED,
                name,
                f"{name} is not supported yet; this server takes {', '.join(_SUPPORTED)}",
            )
    operations: list[Operation] = []
    if "$set" in envelope:
        operations.append(Set(_properties(envelope, "$set")))
    if "$set_once" in envelope:
        operations.append(SetOnce(_properties(envelope, "$set_once")))
    if "$unset" in envelope:
        operations.append(Unset(_names(envelope["$unset"])))
    if "$delete" in envelope:
        operations.append(Delete())
    if not operations:
        raise RecordRefused(
            Reason.OPERATION_MALFORMED, "", f"the record holds no operation: one of {', '.join(_SUPPORTED)}"
        )
    return tuple(operations)


def _properties(envelope: Properties, operation: str) -> Properties:
    value = envelope[operation]
    if not isinstance(value, dict):
        raise RecordRefused(
            Reason.OPERATION_MALFORMED, operation, f"'{operation}' is invalid: must be an object of properties"
        )
    return clean_properties(value, field=operation, max_value_bytes=MAX_PROFILE_VALUE_BYTES)


def _names(value: JsonValue) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise RecordRefused(
            Reason.OPERATION_MALFORMED, "$unset", "'$unset' is invalid: must be a list of property names"
        )
    return tuple(clean_text(str(name)) for name in value)


def _updated_at(envelope: Properties, now: dt.datetime) -> dt.datetime:
    sent_at = epoch_time(envelope.get("$time"))
    return now if sent_at is None or sent_at < EARLIEST else min(sent_at, now)


def _is_true(value: JsonValue) -> bool:
    return value is True or value == 1 or (isinstance(value, str) and value.lower() in {"true", "1"})
