"""The aliases that setting `$onesignal_user_id` makes, and whom profile updates address: a pure decision (step 3).

`ingest/addresses.py` reads what it decides from, `ingest/profiles.py` carries it out.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from cohorts.identity.ids import ALIAS_PROPERTY, MAX_IDS_PER_PERSON, is_usable
from cohorts.messages import Add, Append, Delete, ProfileUpdate, Set, SetOnce, Union, Unset
from cohorts.refusals import Reason
from cohorts.values import JsonValue


@dataclass(slots=True)
class AddressPlan:
    """Which person each update addresses, and which ids are new.

    A person not stored yet is a negative number, the same wherever they appear. `owners` holds every id looked at,
    `new_persons` the ids whose person is new, `new_aliases` those that are added to a person.
    """

    addressees: list[int | None] = field(default_factory=list)
    owners: dict[str, int] = field(default_factory=dict)
    new_persons: dict[str, int] = field(default_factory=dict)
    new_aliases: dict[str, int] = field(default_factory=dict)
    refusals: list[tuple[ProfileUpdate, Reason, str]] = field(default_factory=list)


def plan_addresses(
    *,
    updates: Iterable[ProfileUpdate],
    found: Mapping[str, int],
    holders: Collection[int],
    sizes: Mapping[int, int],
    literal: Mapping[str, int | None],
    is_aliasing: bool,
) -> AddressPlan:
    """Decide in the order of the request whom each update addresses and which aliases it makes.

    `found` is who owns the known ids, `holders` the persons whose `$onesignal_user_id` is set, `sizes` how many ids
    persons have, `literal` the person of each alias that is addressed literally. An id taken by one update of the
    request is taken for the next one. (Contract, 3.4; aliases only in projects on original ID merge.)
    """
    plan = AddressPlan(owners=dict(found))
    is_set = dict.fromkeys(holders, True)
    counts = dict(sizes)
    for update in updates:
        if update.is_literal and update.distinct_id in literal:
            # Nobody is addressed by it, so it gets no aliases.
            plan.addressees.append(literal[update.distinct_id])
            continue
        person = plan.owners.get(update.distinct_id)
        if person is None and update.is_creating:
            person = -(len(plan.new_persons) + 1)
            plan.owners[update.distinct_id] = plan.new_persons[update.distinct_id] = person
            counts[person] = 1
        plan.addressees.append(person)
        if person is None or not is_aliasing:
            continue
        for value in _values_taken(update, person, is_set):
            owner = plan.owners.get(value) if isinstance(value, str) else None
            if not isinstance(value, str) or not is_usable(value):
                plan.refusals.append((update, Reason.ALIAS_UNUSABLE, "the value names nobody: no alias was made"))
            elif owner is not None and owner != person:
                plan.refusals.append((update, Reason.ALIAS_TAKEN, "the value is an id of another person: no alias"))
            elif owner is None and counts.get(person, 1) >= MAX_IDS_PER_PERSON:
                plan.refusals.append((update, Reason.ALIAS_TOO_MANY, f"a person has at most {MAX_IDS_PER_PERSON} ids"))
            elif owner is None:
                plan.owners[value] = plan.new_aliases[value] = person
                counts[person] = counts.get(person, 1) + 1
    return plan


def wished_aliases(updates: Iterable[ProfileUpdate]) -> set[str]:
    """Return the values of `$onesignal_user_id` in these updates that could become aliases."""
    return {
        value
        for update in updates
        for operation in update.operations
        if isinstance(operation, Set | SetOnce)
        and isinstance(value := operation.properties.get(ALIAS_PROPERTY), str)
        and is_usable(value)
    }


def _values_taken(update: ProfileUpdate, person: int, is_set: dict[int, bool]) -> list[JsonValue]:
    """Return the values that the person's `$onesignal_user_id` takes by this update; note whether it is set then."""
    taken: list[JsonValue] = []
    for operation in update.operations:
        if isinstance(operation, Set) and ALIAS_PROPERTY in operation.properties:
            value = operation.properties[ALIAS_PROPERTY]
            is_set[person] = value is not None
            if value is not None:
                taken.append(value)
        elif isinstance(operation, SetOnce):
            value = operation.properties.get(ALIAS_PROPERTY)
            if value is not None and not is_set.get(person, False):
                is_set[person] = True
                taken.append(value)
        elif isinstance(operation, Add | Append | Union):
            # A number or a list names nobody, but it keeps $set_once from setting.
            is_set[person] = is_set.get(person, False) or ALIAS_PROPERTY in operation.properties
        elif isinstance(operation, Delete) or (isinstance(operation, Unset) and ALIAS_PROPERTY in operation.names):
            is_set[person] = False
    return taken
