"""Raw records -> profile updates: what `/engage` takes (step 1; contract, 1.8).

`groups.py` reads group profiles from the same envelope; the operations of both are `operations.py`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

from cohorts.identity import is_usable, text_of_id
from cohorts.messages import ProfileUpdate
from cohorts.refusals import Reason, RecordRefused
from cohorts.times import EARLIEST, epoch_time
from cohorts.values import JsonValue, Properties
from integrations.mixpanel.body import RawRecord, Unreadable
from integrations.mixpanel.operations import PERSON_OPERATIONS, read_operations


def token_of(record: RawRecord) -> str:
    """Return the project token an update carries, readable or not. Raises RecordRefused if it has none."""
    token = record.token if isinstance(record, Unreadable) else envelope_of(record).get("$token")
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
    envelope = envelope_of(record)
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
        operations=read_operations(envelope, taken=PERSON_OPERATIONS),
        updated_at=updated_at_of(envelope, now),
        is_literal=_is_true(envelope.get("$ignore_alias")),
    )


def envelope_of(record: RawRecord) -> Properties:
    """Return the fields of a raw update. Raises RecordRefused if it is none."""
    if isinstance(record, dict):
        return record
    if isinstance(record, Unreadable):
        raise RecordRefused(record.reason, "", record.message)
    raise RecordRefused(Reason.NOT_AN_OBJECT, "", "the record is not a JSON object")


def updated_at_of(envelope: Properties, now: dt.datetime) -> dt.datetime | None:
    """Return the time of the update, `now` where it names none or a later one; None leaves "last seen" as it is."""
    if _is_true(envelope.get("$ignore_time")):
        return None
    sent_at = epoch_time(envelope.get("$time"))
    return now if sent_at is None or sent_at < EARLIEST else min(sent_at, now)


def _is_true(value: JsonValue) -> bool:
    return value is True or value == 1 or (isinstance(value, str) and value.lower() in {"true", "1"})
