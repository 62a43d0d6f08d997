"""Profile operations applied to a profile: a pure decision, apart from the queries that feed it (step 2)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass

from cohorts.messages import Delete, Operation, ProfileUpdate, Set, SetOnce
from cohorts.values import JsonValue, Properties

MAX_PROFILE_PROPERTIES = 2000
# Mixpanel: the identity is no property that $set could change.
_READ_ONLY = {"$distinct_id"}


@dataclass(frozen=True, slots=True)
class Folded:
    """A profile after its updates, when it was last updated, and the updates of which a property found no room."""

    profile: Properties
    updated_at: dt.datetime | None
    overflowing: tuple[ProfileUpdate, ...]


def fold_updates(profile: Properties, updated_at: dt.datetime | None, updates: Iterable[ProfileUpdate]) -> Folded:
    """Return what becomes of a profile by these updates in their order.

    "Last updated" never goes back, whatever time an update names, and a deleted profile has none.
    """
    overflowing = []
    for update in updates:
        profile, has_overflow = _fold(profile, update.operations)
        if has_overflow:
            overflowing.append(update)
        if update.operations and isinstance(update.operations[-1], Delete):
            updated_at = None
        elif update.updated_at is not None and (updated_at is None or update.updated_at > updated_at):
            updated_at = update.updated_at
    return Folded(profile, updated_at, tuple(overflowing))


def _fold(profile: Properties, operations: Iterable[Operation]) -> tuple[Properties, bool]:
    """Return the profile after the operations, and whether a property found no room.

    A profile has at most 2,000 properties; what exceeds them is left out and the rest applies (Mixpanel). A null leaves
    its property not set, so it is not kept.
    """
    result = dict(profile)
    has_overflow = False
    for operation in operations:
        if isinstance(operation, Set):
            for name, value in operation.properties.items():
                has_overflow |= not _put(result, name, value)
        elif isinstance(operation, SetOnce):
            for name, value in operation.properties.items():
                if name not in result:
                    has_overflow |= not _put(result, name, value)
        elif isinstance(operation, Delete):
            result.clear()
        else:
            for name in operation.names:
                result.pop(name, None)
    return result, has_overflow


def _put(profile: Properties, name: str, value: JsonValue) -> bool:
    if name in _READ_ONLY:
        return True
    if value is None:
        profile.pop(name, None)
    elif name in profile or len(profile) < MAX_PROFILE_PROPERTIES:
        profile[name] = value
    else:
        return False
    return True
