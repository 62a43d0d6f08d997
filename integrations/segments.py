"""The life of a ledger's segment over there: made after the first accepted batch, renamed, deleted (L9, L23)."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping

from integrations.destinations.base import DestinationClient, RemoteSegment
from integrations.models import Connection, Ledger

TAG_PREFIX = "cs_"


def segment_id(*, connection: Connection, cohort_id: int) -> uuid.UUID:
    """Return the segment's id: UUIDv5 of the connection's own UUID, the App ID and the cohort."""
    return uuid.uuid5(connection.uuid, f"{connection.app.remote_id}/{cohort_id}")


def tag_of(segment: uuid.UUID) -> str:
    """Return the tag that makes a user a member: `cs_` and the first 12 hexadecimal digits of the segment's id."""
    return TAG_PREFIX + segment.hex[:12]


def full_name(*, connection: Connection, cohort_name: str) -> str:
    """Return the name the segment should have; the destination cuts it to its own limit."""
    return connection.segment_prefix + cohort_name


def ensure_segment(
    *, client: DestinationClient, ledger: Ledger, listed: Mapping[uuid.UUID, RemoteSegment], now: dt.datetime
) -> None:
    """Make the ledger's segment unless it is listed. Doing it again is harmless. Raises Permanent, Temporary."""
    remote = listed.get(ledger.segment_id)
    if remote is None:
        name = client.create_segment(
            segment_id=ledger.segment_id, name=ledger.renamed_to or ledger.segment_name, tag=ledger.tag
        )
        Ledger.objects.filter(pk=ledger.pk).update(segment_seen_at=now, segment_name=name, renamed_to="", warning="")
        ledger.segment_name, ledger.renamed_to = name, ""
    else:
        warning = "" if remote.is_active else "The segment is paused at OneSignal and cannot be used in messages there."
        Ledger.objects.filter(pk=ledger.pk).update(
            segment_seen_at=now, segment_name=remote.name, warning=warning or ledger.warning
        )
    ledger.segment_seen_at = now


def rename_segment(*, client: DestinationClient, ledger: Ledger) -> None:
    """Give the segment the name a renamed cohort asks for; a refusal is a warning. Raises Permanent, Temporary."""
    refusal = client.rename_segment(segment_id=ledger.segment_id, name=ledger.renamed_to)
    fields: dict[str, str] = {"renamed_to": "", "warning": refusal or ""}
    if refusal is None:
        fields["segment_name"] = ledger.renamed_to[:128]
    Ledger.objects.filter(pk=ledger.pk).update(**fields)
    ledger.renamed_to = ""
