"""What was refused at the door, kept by day and reason so that a person can see it (steps 1 and 2).

The vocabulary is closed and samples are few and short: a project's token is public, so whoever has it can send any
amount of rubbish. Raised in `values.py` and the readers of `integrations/mixpanel/`, stored by `ingest/`.
"""

from __future__ import annotations

import datetime as dt
import enum
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import orjson
from django.db.backends.utils import CursorWrapper

SAMPLES_PER_DAY_AND_REASON = 20
_SAMPLE_CHARACTERS = 500


class Reason(enum.StrEnum):
    """Why a record, or a part of one, was not taken."""

    NOT_JSON = "The record is not valid JSON"
    NOT_UTF8 = "A string is not valid Unicode"
    NOT_AN_OBJECT = "The record is not a JSON object"
    RECORD_TOO_LARGE = "The record is too large"
    TOKEN_MISSING = "The project token is missing"  # noqa: S105 - words, no password
    EVENT_NAME_MISSING = "The event has no name"
    PROPERTIES_MALFORMED = "The properties are not a JSON object"
    DISTINCT_ID_MISSING = "The distinct_id is missing"
    DISTINCT_ID_UNUSABLE = "The distinct_id names nobody"
    GROUP_UNUSABLE = "The group key or the group id names nothing"
    TIME_MALFORMED = "The time is missing or is no time"
    TIME_TOO_OLD = "The time is too long ago"
    TIME_IN_FUTURE = "The time is in the future"
    INSERT_ID_MALFORMED = "The insert id is missing or malformed"
    TOO_MANY_PROPERTIES = "There are too many properties"
    TOO_DEEP = "A value is nested too deeply"
    LIST_TOO_LONG = "A list is too long"
    VALUE_TOO_LARGE = "A list or an object is too large"
    OPERATION_MALFORMED = "The profile operation is malformed"
    OPERATION_UNSUPPORTED = "Group profiles do not take this operation"
    TYPE_CLASH = "The operation does not fit the value that the property has"
    NUMBER_TOO_LARGE = "The number became too large"
    PROFILE_FULL = "The profile has no room for another property"
    ALIAS_TAKEN = "errAliasAlreadyExists"
    ALIAS_TOO_MANY = "errManyIDs"
    SAME_IDS = "errSameIDs"
    ANONYMOUS_ID_NO_GUID = "errAnonDistinctIdNonGUIDForm"
    ANONYMOUS_ID_TAKEN = "errAnonDistinctIdAssignedAlready"
    ID_UNUSABLE = "An id of an identity event is missing or names nobody"
    IDENTITY_EVENT = "The project is on simplified ID merge, which takes no identity events"
    MERGE_NOT_ALLOWED = "A $merge came without a service account"
    ALIAS_UNUSABLE = "The value of $onesignal_user_id names nobody, so no alias was made"


class RecordRefused(Exception):
    """This record cannot be taken; its neighbours can. `message` is what the sender is told, `field` a dotted path."""

    def __init__(self, reason: Reason, field: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.field = field
        self.message = message


@dataclass(frozen=True, slots=True)
class RefusedRecord:
    """One refused record: its place in the request or file, why, and the beginning of its text."""

    position: int
    reason: Reason
    field: str
    message: str
    insert_id: str = ""
    sample: str = ""


def sample_of(record: object) -> str:
    """Return the beginning of a record's JSON, short enough to keep."""
    if isinstance(record, bytes):
        text = record[: 4 * _SAMPLE_CHARACTERS].decode("utf-8", "replace")
    else:
        try:
            text = orjson.dumps(record).decode()
        except orjson.JSONEncodeError:
            # Nested more deeply than orjson writes: what it is, is all there is to say.
            text = type(record).__name__
    return _short(text)


def record_refusals(
    cursor: CursorWrapper, *, project_id: int, endpoint: str, refusals: Sequence[RefusedRecord], now: dt.datetime
) -> None:
    """Count refusals and keep the first samples of the day; the last statement of a request's transaction.

    Rows are shared by every request of the day, so they are locked last and in one order.
    """
    by_reason: dict[str, list[RefusedRecord]] = defaultdict(list)
    for refusal in refusals:
        by_reason[refusal.reason].append(refusal)
    for reason, refused in sorted(by_reason.items()):
        samples = [
            {"at": now.isoformat(), "message": _short(refusal.message), "record": refusal.sample}
            for refusal in refused[:SAMPLES_PER_DAY_AND_REASON]
        ]
        cursor.execute(
            "INSERT INTO cohorts_refusal AS kept"
            " (project_id, refused_date, endpoint, reason, count, samples, last_at)"
            " VALUES (%s, %s, %s, %s, %s, %s::jsonb, %s)"
            " ON CONFLICT (project_id, refused_date, endpoint, reason) DO UPDATE SET"
            " count = kept.count + excluded.count, last_at = excluded.last_at,"
            " samples = CASE WHEN jsonb_array_length(kept.samples) >= %s THEN kept.samples ELSE"
            " jsonb_path_query_array(kept.samples || excluded.samples, '$[0 to %s]') END",
            [
                project_id,
                now.astimezone(dt.UTC).date(),
                endpoint,
                reason,
                len(refused),
                orjson.dumps(samples).decode(),
                now,
                SAMPLES_PER_DAY_AND_REASON,
                SAMPLES_PER_DAY_AND_REASON - 1,
            ],
        )


def _short(text: str) -> str:
    return text[:_SAMPLE_CHARACTERS].replace("\0", "")
