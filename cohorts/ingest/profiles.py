"""Profile updates, their persons, match keys and aliases (steps 2 and 3; laws.md, L4 to L6).

The order of locks is the law's: distinct_ids (`cohorts/identity.py`), persons by id, match keys
(`cohorts/match_keys.py`), then the refusals of the day. Whom an update addresses is `ingest/addresses.py`, what its
operations do `ingest/fold.py`.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import orjson
from django.db import connection
from django.db.backends.utils import CursorWrapper

from cohorts.arrays import by_key, json_array, number_array, time_array
from cohorts.identity import ALIAS_PROPERTY, MAX_IDS_PER_PERSON, AddressPlan, NewPerson, add_persons, find_persons
from cohorts.ingest.addresses import id_counts, plan_request
from cohorts.ingest.fold import Folded, fold_updates
from cohorts.match_keys import maintain_keys, match_properties
from cohorts.messages import Applied, ProfileUpdate
from cohorts.models import Project
from cohorts.refusals import RefusedRecord, record_refusals, sample_of
from cohorts.transactions import Overtaken, hold_project, in_one_transaction
from cohorts.values import Properties

_Updates = dict[int, list[ProfileUpdate]]


@dataclass(frozen=True, slots=True)
class _Person:
    """A locked person: the profile as stored, and what the request makes of it."""

    stored: Properties
    stored_updated_at: dt.datetime | None
    folded: Folded

    @property
    def has_changed(self) -> bool:
        """Return whether the profile has to be written; compared as JSON, where 1 and true are not equal."""
        return orjson.dumps(self.stored) != orjson.dumps(self.folded.profile)


def apply_profile_updates(
    *,
    project: Project,
    updates: Sequence[ProfileUpdate],
    now: dt.datetime,
    endpoint: str = "",
    refusals: Sequence[RefusedRecord] = (),
) -> Applied:
    """Apply updates in their order, in one transaction; what the endpoint refused is counted with them.

    Requests on one profile take turns. Setting `$onesignal_user_id` makes its value an alias in projects on original ID
    merge; an alias that cannot be is recorded, and the property is set all the same. Raises ProjectGone.
    """

    def store() -> Applied:
        with connection.cursor() as cursor:
            return _store(cursor, project.pk, updates, now, endpoint, refusals)

    return in_one_transaction(store)


def _store(
    cursor: CursorWrapper,
    project_id: int,
    updates: Sequence[ProfileUpdate],
    now: dt.datetime,
    endpoint: str,
    refusals: Sequence[RefusedRecord],
) -> Applied:
    is_original = hold_project(cursor, project_id=project_id, is_writing_keys=True)
    properties = match_properties(cursor, project_id=project_id)
    plan, holders = plan_request(cursor, project_id=project_id, updates=updates, is_aliasing=is_original, now=now)
    by_person: _Updates = defaultdict(list)
    for update, addressee in zip(updates, plan.addressees, strict=True):
        if addressee is not None:
            by_person[addressee].append(update)
    added = _add_new(cursor, project_id, plan, by_person, now)
    known = _locked(cursor, project_id, by_person)
    _check_unmoved(cursor, project_id, plan, known, holders)
    changed = _write(cursor, project_id, known)
    profiles = {person_id: folded.profile for person_id, folded in added.items()}
    for person_id, person in known.items():
        stored, profile = person.stored, person.folded.profile
        if any(stored.get(name) != profile.get(name) for name in properties.values()):
            profiles[person_id] = profile
    maintain_keys(cursor, project_id=project_id, properties=properties, profiles=profiles, new_persons=added.keys())
    folds = [*added.values(), *(person.folded for person in known.values())]
    ignored = tuple(refusal for folded in folds for refusal in folded.ignored)
    overflowing = [refusal for folded in folds for refusal in folded.overflowing]
    all_refusals = [*refusals, *_alias_refusals(plan), *ignored, *overflowing]
    record_refusals(cursor, project_id=project_id, endpoint=endpoint, refusals=all_refusals, now=now)
    return Applied(created=len(added), changed=changed, ignored=ignored)


def _add_new(
    cursor: CursorWrapper, project_id: int, plan: AddressPlan, by_person: _Updates, now: dt.datetime
) -> dict[int, Folded]:
    """Store the new persons with the profiles they end up with, and the new aliases; return the persons.

    The updates of an id that somebody else stored meanwhile go to their person in `by_person`.
    """
    if not plan.new_persons and not plan.new_aliases:
        return {}
    first_ids = {placeholder: distinct_id for distinct_id, placeholder in plan.new_persons.items()}
    updates = {distinct_id: by_person.pop(placeholder) for distinct_id, placeholder in plan.new_persons.items()}
    folds = {distinct_id: fold_updates({}, None, each) for distinct_id, each in updates.items()}
    added = add_persons(
        cursor,
        project_id=project_id,
        persons=[
            NewPerson(distinct_id, orjson.dumps(folded.profile).decode(), folded.updated_at)
            for distinct_id, folded in folds.items()
        ],
        aliases={alias: first_ids.get(owner, owner) for alias, owner in plan.new_aliases.items()},
        now=now,
    )
    overtaken = folds.keys() - added.keys()
    if overtaken:
        persons = find_persons(cursor, project_id=project_id, distinct_ids=overtaken)
        if len(persons) < len(overtaken):
            raise Overtaken
        for distinct_id, person_id in persons.items():
            by_person[person_id] += updates[distinct_id]
            plan.owners[distinct_id] = person_id
    return {added[distinct_id]: folded for distinct_id, folded in folds.items() if distinct_id in added}


def _locked(cursor: CursorWrapper, project_id: int, by_person: _Updates) -> dict[int, _Person]:
    if not by_person:
        return {}
    cursor.execute(
        "SELECT sent.id, person.properties, person.profile_updated_at"
        " FROM unnest(%s::bigint[], %s::bigint[]) AS sent (project_id, id)"
        " CROSS JOIN LATERAL (SELECT properties, profile_updated_at FROM cohorts_person AS person"
        " WHERE person.project_id = sent.project_id AND person.id = sent.id LIMIT 1 FOR NO KEY UPDATE) AS person",
        # One after the other in this order; not against another request that gives one of them a new id.
        [number_array([project_id] * len(by_person)), number_array(sorted(by_person))],
    )
    known = {}
    for person_id, document, updated_at in cursor.fetchall():
        stored = orjson.loads(document)
        updates = sorted(by_person[person_id], key=lambda update: update.position)
        known[person_id] = _Person(stored, updated_at, fold_updates(stored, updated_at, updates))
    if len(known) < len(by_person):
        raise Overtaken
    return known


def _check_unmoved(
    cursor: CursorWrapper,
    project_id: int,
    plan: AddressPlan,
    known: Mapping[int, _Person],
    holders: Mapping[int, bool],
) -> None:
    """Raise Overtaken if what the plan was made from changed before the persons were locked (laws.md, L4)."""
    for person_id, is_set in holders.items():
        if person_id in known and (ALIAS_PROPERTY in known[person_id].stored) != is_set:
            raise Overtaken
    expected = {distinct_id: owner for distinct_id, owner in plan.owners.items() if owner in known}
    if find_persons(cursor, project_id=project_id, distinct_ids=expected) != expected:
        raise Overtaken
    # Another request may have given them ids as well.
    grown = [owner for owner in plan.new_aliases.values() if owner in known]
    if grown and max(id_counts(cursor, project_id, grown).values()) > MAX_IDS_PER_PERSON:
        raise Overtaken


def _write(cursor: CursorWrapper, project_id: int, known: Mapping[int, _Person]) -> int:
    """Write the profiles that changed and return how many did; of the others only when they were last updated."""
    changed = {person_id: person for person_id, person in known.items() if person.has_changed}
    if changed:
        cursor.execute(
            by_key(
                "UPDATE cohorts_person AS person"
                " SET properties = folded.properties, profile_updated_at = folded.updated_at"
                " FROM unnest(%s::bigint[], %s::bigint[], %s::jsonb[], %s::timestamptz[])"
                " AS folded (project_id, id, properties, updated_at)"
                " WHERE person.project_id = folded.project_id AND person.id = folded.id"
            ),
            [
                number_array([project_id] * len(changed)),
                number_array(list(changed)),
                json_array([orjson.dumps(person.folded.profile).decode() for person in changed.values()]),
                time_array([person.folded.updated_at for person in changed.values()]),
            ],
        )
    touched = {
        person_id: person.folded.updated_at
        for person_id, person in known.items()
        if person_id not in changed and person.folded.updated_at != person.stored_updated_at
    }
    if touched:
        cursor.execute(
            by_key(
                "UPDATE cohorts_person AS person SET profile_updated_at = folded.updated_at"
                " FROM unnest(%s::bigint[], %s::bigint[], %s::timestamptz[]) AS folded (project_id, id, updated_at)"
                " WHERE person.project_id = folded.project_id AND person.id = folded.id"
            ),
            [
                number_array([project_id] * len(touched)),
                number_array(list(touched)),
                time_array(list(touched.values())),
            ],
        )
    return len(changed)


def _alias_refusals(plan: AddressPlan) -> list[RefusedRecord]:
    return [
        RefusedRecord(
            position=update.position,
            reason=reason,
            field=ALIAS_PROPERTY,
            message=message,
            sample=sample_of(update.address),
        )
        for update, reason, message in plan.refusals
    ]
