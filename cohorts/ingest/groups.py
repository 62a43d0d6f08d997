"""Updates of group profiles (step 2; laws.md, L4): a table of their own, of no consequence to persons or cohorts.

The order of locks is the law's: stored groups sorted, then new ones sorted, then the refusals of the day. What the
operations do is `ingest/fold.py`.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import orjson
from django.db import connection
from django.db.backends.utils import CursorWrapper

from cohorts.arrays import by_key, json_array, number_array, text_array, time_array
from cohorts.ingest.fold import Folded, fold_updates
from cohorts.messages import Applied, GroupUpdate
from cohorts.models import Project
from cohorts.refusals import RefusedRecord, record_refusals
from cohorts.transactions import Overtaken, hold_project, in_one_transaction
from cohorts.values import Properties

# A group's key and its id.
_Address: TypeAlias = tuple[str, str]
_Updates: TypeAlias = Mapping[_Address, Sequence[GroupUpdate]]


@dataclass(frozen=True, slots=True)
class _Group:
    """A locked group: the profile as stored, and what the request makes of it."""

    stored: Properties
    stored_updated_at: dt.datetime | None
    folded: Folded

    @property
    def has_changed(self) -> bool:
        """Return whether it has to be written; compared as JSON, where 1 and true are not equal."""
        return self.folded.updated_at != self.stored_updated_at or orjson.dumps(self.stored) != orjson.dumps(
            self.folded.profile
        )


def apply_group_updates(
    *,
    project: Project,
    updates: Sequence[GroupUpdate],
    now: dt.datetime,
    endpoint: str = "",
    refusals: Sequence[RefusedRecord] = (),
) -> Applied:
    """Apply updates in their order, in one transaction; what the endpoint refused is counted with them.

    Requests on one group take turns. A deleted group profile is gone with its row. Raises ProjectGone.
    """
    by_address: dict[_Address, list[GroupUpdate]] = defaultdict(list)
    for update in updates:
        by_address[update.group_key, update.group_id].append(update)

    def store() -> Applied:
        with connection.cursor() as cursor:
            hold_project(cursor, project_id=project.pk, is_writing_keys=False)
            known = _locked(cursor, project.pk, by_address)
            added = {
                address: folded
                for address in sorted(by_address.keys() - known.keys())
                if (folded := fold_updates({}, None, by_address[address], is_there=False)).is_there
            }
            _insert(cursor, project.pk, added, now)
            changed = {
                address: group.folded for address, group in known.items() if group.folded.is_there and group.has_changed
            }
            _update(cursor, project.pk, changed)
            _delete(cursor, project.pk, [address for address, group in known.items() if not group.folded.is_there])
            folds = [*added.values(), *(group.folded for group in known.values())]
            ignored = tuple(refusal for folded in folds for refusal in folded.ignored)
            overflowing = [refusal for folded in folds for refusal in folded.overflowing]
            record_refusals(
                cursor,
                project_id=project.pk,
                endpoint=endpoint,
                refusals=[*refusals, *ignored, *overflowing],
                now=now,
            )
        return Applied(created=len(added), changed=len(changed), ignored=ignored)

    return in_one_transaction(store)


def _locked(cursor: CursorWrapper, project_id: int, by_address: _Updates) -> dict[_Address, _Group]:
    if not by_address:
        return {}
    cursor.execute(
        "SELECT sent.group_key, sent.group_id, stored.properties, stored.profile_updated_at"
        " FROM unnest(%s::bigint[], %s::text[], %s::text[]) AS sent (project_id, group_key, group_id)"
        " CROSS JOIN LATERAL (SELECT properties, profile_updated_at FROM cohorts_groupprofile AS stored"
        " WHERE stored.project_id = sent.project_id AND stored.group_key = sent.group_key"
        " AND stored.group_id = sent.group_id LIMIT 1 FOR UPDATE) AS stored",
        # One after the other in this order.
        _address_arrays(project_id, sorted(by_address)),
    )
    known = {}
    for group_key, group_id, document, updated_at in cursor.fetchall():
        stored = orjson.loads(document)
        folded = fold_updates(stored, updated_at, by_address[group_key, group_id])
        known[group_key, group_id] = _Group(stored, updated_at, folded)
    return known


def _insert(cursor: CursorWrapper, project_id: int, added: Mapping[_Address, Folded], now: dt.datetime) -> None:
    """Store new group profiles. Raises Overtaken if somebody else stored one of them meanwhile."""
    if not added:
        return
    cursor.execute(
        "INSERT INTO cohorts_groupprofile"
        " (project_id, group_key, group_id, properties, profile_updated_at, created_at)"
        " SELECT *, %s FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::jsonb[], %s::timestamptz[])"
        " ON CONFLICT DO NOTHING",
        [now, *_address_arrays(project_id, list(added)), *_content_arrays(list(added.values()))],
    )
    if cursor.rowcount < len(added):
        raise Overtaken


def _update(cursor: CursorWrapper, project_id: int, changed: Mapping[_Address, Folded]) -> None:
    if not changed:
        return
    cursor.execute(
        by_key(
            "UPDATE cohorts_groupprofile AS stored"
            " SET properties = folded.properties, profile_updated_at = folded.updated_at"
            " FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::jsonb[], %s::timestamptz[])"
            " AS folded (project_id, group_key, group_id, properties, updated_at)"
            " WHERE stored.project_id = folded.project_id AND stored.group_key = folded.group_key"
            " AND stored.group_id = folded.group_id"
        ),
        [*_address_arrays(project_id, list(changed)), *_content_arrays(list(changed.values()))],
    )


def _delete(cursor: CursorWrapper, project_id: int, gone: Sequence[_Address]) -> None:
    if not gone:
        return
    cursor.execute(
        by_key(
            "DELETE FROM cohorts_groupprofile AS stored"
            " USING unnest(%s::bigint[], %s::text[], %s::text[]) AS gone (project_id, group_key, group_id)"
            " WHERE stored.project_id = gone.project_id AND stored.group_key = gone.group_key"
            " AND stored.group_id = gone.group_id"
        ),
        _address_arrays(project_id, gone),
    )


def _address_arrays(project_id: int, addresses: Sequence[_Address]) -> list[str]:
    return [
        number_array([project_id] * len(addresses)),
        text_array([group_key for group_key, _ in addresses]),
        text_array([group_id for _, group_id in addresses]),
    ]


def _content_arrays(folds: Sequence[Folded]) -> list[str]:
    return [
        json_array([orjson.dumps(folded.profile).decode() for folded in folds]),
        time_array([folded.updated_at for folded in folds]),
    ]
