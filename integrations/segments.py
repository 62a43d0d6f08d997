"""The life of a ledger's segment over there: made after the first accepted batch, renamed, deleted (L9, L23)."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping

from integrations.destinations.base import DestinationClient, RemoteSegment
from integrations.errors import CredentialRefused, Permanent, SegmentGone, SegmentIdTaken
from integrations.models import Connection, Ledger

TAG_PREFIX = "cs_"
PAUSED_OVER_THERE = "The segment is paused at OneSignal and cannot be used in messages there."


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
    """Make the ledger's segment unless it is listed; note what a listed one tells. Raises Permanent, Temporary."""
    remote = listed.get(ledger.segment_id)
    if remote is not None:
        warning = "" if remote.is_active else PAUSED_OVER_THERE
        if ledger.segment_seen_at and ledger.warning in ("", PAUSED_OVER_THERE) and ledger.warning != warning:
            Ledger.objects.filter(pk=ledger.pk).update(warning=warning)
            ledger.warning = warning
        if ledger.segment_seen_at is None:
            _note(ledger, now=now, segment_name=remote.name, warning=warning)
        return
    try:
        name = _create(client, ledger)
    except SegmentIdTaken:
        if ledger.segment_id in {segment.id for segment in client.segments()}:
            # An earlier request of ours made it, and its answer was lost.
            name = ledger.renamed_to or ledger.segment_name
        else:
            # Deleted over there, and its id stays reserved (laws.md, L23).
            ledger.segment_id = uuid.uuid4()
            Ledger.objects.filter(pk=ledger.pk).update(segment_id=ledger.segment_id)
            name = _create(client, ledger)
    _note(ledger, now=now, segment_name=name[:128], renamed_to="", warning="")


def _create(client: DestinationClient, ledger: Ledger) -> str:
    name = ledger.renamed_to or ledger.segment_name
    return client.create_segment(segment_id=ledger.segment_id, name=name, tag=ledger.tag)


def _note(ledger: Ledger, *, now: dt.datetime, **fields: str) -> None:
    Ledger.objects.filter(pk=ledger.pk).update(segment_seen_at=now, **fields)
    ledger.segment_seen_at = now
    for name, value in fields.items():
        setattr(ledger, name, value)


def rename_segment(*, client: DestinationClient, ledger: Ledger) -> None:
    """Give the segment the name a renamed cohort asks for; a refusal is a warning. Raises CredentialRefused, Temporary.

    One that is gone over there gets its new name when it is made again.
    """
    name = ledger.renamed_to
    fields: dict[str, object]
    try:
        refusal = client.rename_segment(segment_id=ledger.segment_id, name=name)
    except CredentialRefused:
        raise
    except SegmentGone:
        fields = {"segment_seen_at": None}
    except Permanent as error:
        fields = {"renamed_to": "", "warning": error.sentence}
    else:
        fields = {"renamed_to": "", "warning": refusal or ""}
        if refusal is None:
            fields["segment_name"] = name[:128]
    # Unless the cohort was renamed once more meanwhile.
    Ledger.objects.filter(pk=ledger.pk, renamed_to=name).update(**fields)
    for field, value in fields.items():
        setattr(ledger, field, value)
