"""Operations applied to the profile of a person or a group: a pure decision, apart from its queries (step 2).

An update that does not fit the profile is ignored as a whole, with its reason: its neighbours apply. Called by
`ingest/profiles.py` and `ingest/groups.py`, which hold the profile locked.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import orjson

from cohorts.messages import Add, Append, Delete, GroupUpdate, Operation, ProfileUpdate, Remove, Set, SetOnce, Union
from cohorts.refusals import Reason, RecordRefused, RefusedRecord, sample_of
from cohorts.values import MAX_PROFILE_PROPERTIES, MAX_PROFILE_VALUE_BYTES, JsonValue, Properties

# A profile is read and written as a whole with every change; PostgreSQL would refuse one of 256 MB.
MAX_PROFILE_BYTES = 8 * 1024 * 1024
# Mixpanel: the identity is no property that $set could change.
_READ_ONLY = {"$distinct_id"}
_FULL = f"a profile has at most {MAX_PROFILE_PROPERTIES} properties; the others of this update were applied"
# The integers that orjson writes and reads exactly.
_SMALLEST_INTEGER, _LARGEST_INTEGER = -(2**63), 2**64 - 1

_Update: TypeAlias = ProfileUpdate | GroupUpdate


@dataclass(frozen=True, slots=True)
class Folded:
    """A profile after its updates, and when it was last updated.

    `is_there` tells whether there is a profile at all: not after a deletion, until something is set again. `ignored`
    are the updates that did not fit and changed nothing, `overflowing` those of which only some properties found room.
    """

    profile: Properties
    updated_at: dt.datetime | None
    is_there: bool
    ignored: tuple[RefusedRecord, ...]
    overflowing: tuple[RefusedRecord, ...]


def fold_updates(
    profile: Properties, updated_at: dt.datetime | None, updates: Iterable[_Update], *, is_there: bool = True
) -> Folded:
    """Return what becomes of a profile by these updates in their order.

    "Last updated" never goes back, whatever time an update names, and a deleted profile has none.
    """
    ignored, overflowing = [], []
    draft = _Draft(profile, len(orjson.dumps(profile)), {})
    for update in updates:
        attempt = _Draft(dict(draft.properties), draft.size, draft.lists)
        try:
            has_overflow = _apply(attempt, update.operations)
            if attempt.size > max(MAX_PROFILE_BYTES, draft.size):
                raise RecordRefused(Reason.PROFILE_FULL, "", f"a profile has at most {MAX_PROFILE_BYTES} bytes as JSON")
        except RecordRefused as refused:
            ignored.append(_refusal(update, refused.reason, refused.field, refused.message))
            continue
        draft = attempt
        if has_overflow:
            overflowing.append(_refusal(update, Reason.PROFILE_FULL, "", _FULL))
        if update.operations and isinstance(update.operations[-1], Delete):
            is_there = False
            updated_at = None
        else:
            is_there |= update.is_creating
            if update.updated_at is not None and (updated_at is None or update.updated_at > updated_at):
                updated_at = update.updated_at
    return Folded(draft.properties, updated_at, is_there, tuple(ignored), tuple(overflowing))


@dataclass(slots=True)
class _Measured:
    """A list with its size as JSON and, once somebody asked, what it holds.

    It is kept from one update to the next: a list that a thousand updates work on is gone through once.
    """

    values: list[JsonValue]
    size: int
    held: set[Hashable] | None = None

    def holds(self, value: JsonValue) -> bool:
        """Return whether a value is in the list."""
        if self.held is None:
            self.held = {_comparable(each) for each in self.values}
        return _comparable(value) in self.held


@dataclass(slots=True)
class _Draft:
    """A profile in the making. Values are replaced and never changed in place: the profile as it was is still needed.

    `size` is that of the properties as JSON; `lists` is what is known of lists by property, if it still has that one.
    """

    properties: Properties
    size: int
    lists: dict[str, _Measured]

    def put(self, name: str, value: JsonValue, *, measured: _Measured | None = None) -> bool:
        """Set a property, null unsets it; return False if there is no room for another one.

        `measured` is what is known of the value already, if it is a list.
        """
        if name in _READ_ONLY:
            return True
        if value is None:
            self.drop(name)
            return True
        if name in self.properties:
            self.size -= self._size_of(name)
        elif len(self.properties) >= MAX_PROFILE_PROPERTIES:
            return False
        else:
            self.size += len(orjson.dumps(name)) + 2
        self.properties[name] = value
        if measured is not None:
            self.lists[name] = measured
        self.size += self._size_of(name)
        return True

    def drop(self, name: str) -> None:
        """Unset a property, if it is set."""
        if name in self.properties:
            self.size -= len(orjson.dumps(name)) + 2 + self._size_of(name)
            del self.properties[name]

    def list_of(self, operation: str, name: str) -> _Measured:
        """Return the list that a property is, an empty one if it is not set. Raises RecordRefused if it is no list."""
        values = self.properties.get(name)
        if values is None:
            return _Measured([], 2)
        if not isinstance(values, list):
            raise _clash(operation, name, "a list", values)
        return self._measured(name, values)

    def _size_of(self, name: str) -> int:
        value = self.properties[name]
        return self._measured(name, value).size if isinstance(value, list) else len(orjson.dumps(value))

    def _measured(self, name: str, values: list[JsonValue]) -> _Measured:
        known = self.lists.get(name)
        if known is None or known.values is not values:
            known = self.lists[name] = _Measured(values, len(orjson.dumps(values)))
        return known


def _apply(draft: _Draft, operations: Iterable[Operation]) -> bool:
    """Apply the operations; return whether a property found no room. Raises RecordRefused when one does not fit.

    A profile has at most 2,000 properties; what exceeds them is left out and the rest applies (Mixpanel). A null leaves
    its property not set, so it is not kept.
    """
    has_overflow = False
    for operation in operations:
        if isinstance(operation, Delete):
            draft.properties, draft.size = {}, 2
        elif isinstance(operation, Set):
            for name, value in operation.properties.items():
                has_overflow |= not draft.put(name, value)
        elif isinstance(operation, SetOnce):
            for name, value in operation.properties.items():
                if name not in draft.properties:
                    has_overflow |= not draft.put(name, value)
        elif isinstance(operation, Add):
            for name, amount in operation.properties.items():
                has_overflow |= not draft.put(name, _sum(draft, name, amount))
        elif isinstance(operation, Append):
            for name, value in operation.properties.items():
                has_overflow |= not _extend(draft, "$append", name, [value])
        elif isinstance(operation, Union):
            for name, values in operation.properties.items():
                present = draft.list_of("$union", name)
                new = {_comparable(value): value for value in values if not present.holds(value)}
                has_overflow |= not _extend(draft, "$union", name, list(new.values()))
        elif isinstance(operation, Remove):
            for name, value in operation.properties.items():
                _take_out(draft, name, value)
        else:
            for name in operation.names:
                draft.drop(name)
    return has_overflow


def _sum(draft: _Draft, name: str, amount: float) -> int | float:
    present = draft.properties.get(name)
    if present is None:
        present = 0
    if isinstance(present, bool) or not isinstance(present, int | float):
        raise _clash("$add", name, "a number", present)
    total = present + amount
    if isinstance(total, int):
        if _SMALLEST_INTEGER <= total <= _LARGEST_INTEGER:
            return total
        total = float(total)
    if not math.isfinite(total):
        raise RecordRefused(
            Reason.NUMBER_TOO_LARGE, f"$add.{name}", f"'$add.{name}' is invalid: the sum is too large for a number"
        )
    return total


def _extend(draft: _Draft, operation: str, name: str, new: Sequence[JsonValue]) -> bool:
    """Put values at the end of a list. Return False if there is no room for another property.

    Raises RecordRefused where the list would exceed its limit; its values stay as they are.
    """
    present = draft.list_of(operation, name)
    size = present.size + (len(orjson.dumps(new)) - 2 + bool(present.values) if new else 0)
    if size > MAX_PROFILE_VALUE_BYTES:
        raise RecordRefused(
            Reason.VALUE_TOO_LARGE,
            f"{operation}.{name}",
            f"'{operation}.{name}' is invalid: the list would exceed {MAX_PROFILE_VALUE_BYTES} bytes as JSON; "
            "remove values or set it anew",
        )
    held = present.held
    if held is not None:
        held.update(_comparable(value) for value in new)
    grown = [*present.values, *new]
    return draft.put(name, grown, measured=_Measured(grown, size, held))


def _take_out(draft: _Draft, name: str, value: JsonValue) -> None:
    """Take a text, number, boolean or null out of a list, wherever it stands in it."""
    present = draft.list_of("$remove", name)
    if not present.holds(value):
        return
    is_boolean = isinstance(value, bool)
    kept = [each for each in present.values if each != value or isinstance(each, bool) != is_boolean]
    assert present.held is not None
    present.held.discard(_comparable(value))
    draft.put(name, kept, measured=_Measured(kept, len(orjson.dumps(kept)), present.held))


def _comparable(value: JsonValue) -> Hashable:
    """Return what is equal for values equal as JSON: 1 and 1.0 are, 1 and true are not, nor are 1 and "1"."""
    if isinstance(value, bool):
        return "boolean", value
    if isinstance(value, list | dict):
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    return value


def _clash(operation: str, name: str, expected: str, present: JsonValue) -> RecordRefused:
    kind = _KINDS[type(present)]
    return RecordRefused(
        Reason.TYPE_CLASH,
        f"{operation}.{name}",
        f"'{operation}.{name}' is invalid: it takes {expected} and the property is {kind}; set it anew first",
    )


_KINDS = {str: "a text", bool: "a boolean", int: "a number", float: "a number", list: "a list", dict: "an object"}


def _refusal(update: _Update, reason: Reason, field: str, message: str) -> RefusedRecord:
    return RefusedRecord(
        position=update.position, reason=reason, field=field, message=message, sample=sample_of(update.address)
    )
