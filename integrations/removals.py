"""Removing the tags of erased persons everywhere, whatever became of the syncs (laws.md, L8).

What is due comes from the core (`cohorts/erasing/keys.py`); which ledgers hold it is read here and marked on them, for
one-time, paused, held and archived exports alike. A pass removes the tags (`integrations/connection_pass.py`), and when
no ledger can hold a key any more its value is erased. All of it is derived from rows, again and again, so nothing is
lost with a task.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass

from django.db import connection as database
from django.db import transaction
from django.db.models import QuerySet
from pyroaring import BitMap

from cohorts.erasing.keys import bury_keys, due_keys, due_properties
from cohorts.models import ErasedKey, MatchKey, MatchProperty
from integrations.errors import Conflict
from integrations.ledger import Entry, Kind, append, fold, read_states
from integrations.models import Connection, DestinationApp, Ledger, RejectedRecipient, UnmatchedRecipient

# A key that was set again and let go of in between may be in ledgers that are not marked.
LOOK_AGAIN_AFTER = dt.timedelta(minutes=10)


@dataclass(frozen=True)
class LeftTag:
    """A segment and tag that erased persons still carry, or may carry, and how many those are."""

    ledger: Ledger
    people: BitMap

    @property
    def count(self) -> int:
        """How many erased persons' ids."""
        return len(self.people)


def advance_removals(*, now: dt.datetime) -> list[int]:
    """Mark the ledgers that hold erased keys, erase the values nobody holds; return the apps with something to send."""
    apps: set[int] = set()
    for match_property in due_properties():
        apps |= _advance(match_property, now)
    return sorted(apps)


def due_recipients(match_property: MatchProperty) -> BitMap:
    """Return the keys whose tags are to be removed now."""
    return BitMap(due_keys(project_id=match_property.project_id, match_property_id=match_property.pk))


def tags_left(connection: Connection) -> list[LeftTag]:
    """Return the connection's tags under which erased persons are still known over there, by segment."""
    due = due_recipients(connection.match_property)
    if not due:
        return []
    with transaction.atomic():
        found = [LeftTag(ledger, held) for ledger, held in _holding(connection.ledgers.order_by("pk"), due)]
    return [left for left in found if left.people]


def values_left(left: LeftTag) -> list[str]:
    """Return the ids over there that still carry the tag: what removing it by hand takes. For operators only."""
    keys = MatchKey.objects.filter(project_id=left.ledger.project_id, pk__in=list(left.people), value__isnull=False)
    return sorted(str(value) for value in keys.values_list("value", flat=True))


def give_up_tags(*, connection: Connection, now: dt.datetime) -> int:
    """Take a person's word that the tags left are gone (removed by hand, or with their app); return how many.

    The ledgers then hold them no more, and the values are erased at the next tick. Whoever sends for the app is fenced
    out first. Raises Conflict when the connection can still remove them itself.
    """
    with transaction.atomic():
        _lock_apps([connection.app_id])
        connection = Connection.objects.select_related("match_property").get(pk=connection.pk)
        if connection.status == Connection.Status.CONNECTED or connection.is_draining:
            raise Conflict(f"The connection “{connection.name}” works: its tags of erased people are being removed.")
        left = tags_left(connection)
        with database.cursor() as cursor:
            cursor.execute(
                "UPDATE integrations_destinationapp SET lease_token = lease_token + 1 WHERE id = %s"
                " RETURNING lease_token",
                [connection.app_id],
            )
            row = cursor.fetchone()
        assert row is not None
        entries = [Entry(each.ledger.pk, Kind.ABSENT, False, each.people) for each in left]
        append(token=row[0], batch_number=0, entries=entries, at=now)
        for each in left:
            fold(ledger=each.ledger, now=now, is_forced=True)
        Ledger.objects.filter(pk__in=[each.ledger.pk for each in left]).update(is_erasing=False)
    return sum(each.count for each in left)


def _advance(match_property: MatchProperty, now: dt.datetime) -> set[int]:
    """Do it for one match property, whose keys are in the ledgers of its connections only; return the apps to wake."""
    due = due_recipients(match_property)
    if not due:
        return set()
    ledgers = Ledger.objects.filter(connection__match_property=match_property).order_by("pk")
    if _was_looked_at(match_property, due, now):
        # Usually a dead connection keeps them due: passes must not wait for a look through every ledger then.
        left = due.copy()
        apps = set()
        for ledger, held in _holding(ledgers.filter(is_erasing=True), due):
            left -= held
            if held:
                apps.add(ledger.app_id)
        if not left:
            return apps
    with transaction.atomic():
        # Intents are written under the same locks (laws.md, L12), so none can come between the look and the burial.
        _lock_apps(sorted(set(ledgers.values_list("app_id", flat=True))))
        due = due_recipients(match_property)
        holding = [(ledger, held) for ledger, held in _holding(ledgers, due) if held]
        Ledger.objects.filter(pk__in=[ledger.pk for ledger, _ in holding]).update(is_erasing=True)
        ErasedKey.objects.filter(project_id=match_property.project_id, match_key_id__in=list(due)).update(looked_at=now)
        free = due - BitMap.union(BitMap(), *(held for _, held in holding))
        buried = bury_keys(project_id=match_property.project_id, key_ids=list(free), now=now)
        # What a destination said of them goes with the values.
        for rows in (UnmatchedRecipient.objects.all(), RejectedRecipient.objects.all()):
            rows.filter(project_id=match_property.project_id, match_key_id__in=buried).delete()
    return {ledger.app_id for ledger, _ in holding}


def _was_looked_at(match_property: MatchProperty, due: BitMap, now: dt.datetime) -> bool:
    """Tell whether the ledgers that hold these keys are marked: a key that is due gets into no further ledger."""
    looked = ErasedKey.objects.filter(
        project_id=match_property.project_id, match_key_id__in=list(due), looked_at__gt=now - LOOK_AGAIN_AFTER
    )
    return looked.count() == len(due)


def _holding(ledgers: QuerySet[Ledger], due: BitMap) -> Iterator[tuple[Ledger, BitMap]]:
    """Yield each ledger with the due keys it holds or may hold; one ledger's bitmaps at a time (laws.md, L25)."""
    for ledger in ledgers:
        state = read_states(ledgers=[ledger])[ledger.pk]
        yield ledger, state.possible & due


def _lock_apps(app_ids: list[int]) -> None:
    """Lock the rows under which passes write, one after the other in this order."""
    for app_id in app_ids:
        DestinationApp.objects.select_for_update().get(pk=app_id)
