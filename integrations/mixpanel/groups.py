"""Raw records -> updates of group profiles: what `/groups` takes (step 1; contract, 1.8)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

from cohorts.identity import text_of_id
from cohorts.messages import GroupUpdate
from cohorts.refusals import Reason, RecordRefused
from cohorts.values import clean_text
from integrations.mixpanel.body import RawRecord
from integrations.mixpanel.operations import GROUP_OPERATIONS, read_operations
from integrations.mixpanel.profiles import envelope_of, updated_at_of


def reader(now: dt.datetime) -> Callable[[int, RawRecord], GroupUpdate | None]:
    """Return what reads a request's records as of `now`."""
    return lambda position, record: read_update(record, position=position, now=now)


def read_update(record: RawRecord, *, position: int, now: dt.datetime) -> GroupUpdate:
    """Return the update of a group profile. Raises RecordRefused."""
    envelope = envelope_of(record)
    group_key = envelope.get("$group_key")
    if not isinstance(group_key, str) or not (group_key := clean_text(group_key)):
        raise RecordRefused(
            Reason.GROUP_UNUSABLE, "$group_key", "'$group_key' is invalid: must name a property such as company"
        )
    group_id = text_of_id(envelope.get("$group_id"))
    if not group_id:
        raise RecordRefused(Reason.GROUP_UNUSABLE, "$group_id", "'$group_id' is invalid: must name a group")
    return GroupUpdate(
        position=position,
        group_key=group_key,
        group_id=group_id,
        operations=read_operations(envelope, taken=GROUP_OPERATIONS),
        updated_at=updated_at_of(envelope, now),
    )
