"""The typed messages between step 1 (receive: `integrations/mixpanel/`, `cohorts/files.py`) and step 2 (ingest)."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TypeAlias

from cohorts.refusals import RefusedRecord
from cohorts.values import JsonValue, Properties


@dataclass(frozen=True, slots=True)
class Identify:
    """An anonymous id is the identified one's (Mixpanel, original ID merge: `$identify`)."""

    identified_id: str
    anonymous_id: str


@dataclass(frozen=True, slots=True)
class CreateAlias:
    """A new id is the one's that is known (Mixpanel, original ID merge: `$create_alias`)."""

    distinct_id: str
    alias: str


@dataclass(frozen=True, slots=True)
class MergeIds:
    """Two ids are one person's (Mixpanel, original ID merge: `$merge`); not everybody may say so."""

    first_id: str
    second_id: str
    is_allowed: bool


@dataclass(frozen=True, slots=True)
class LinkDevice:
    """A device is the user's (Mixpanel, simplified ID merge: an event with `$device_id` and `$user_id`)."""

    user_id: str
    device_id: str


# What an event says about ids; an id that is missing is empty.
Claim: TypeAlias = Identify | CreateAlias | MergeIds | LinkDevice


@dataclass(frozen=True, slots=True)
class IncomingEvent:
    """An event as sent, its values fit for storage.

    Times are in UTC: `sent_at` as sent, None for none, `occurred_at` what it counts for, never in the future. An empty
    `insert_id` is none: such an event is never taken for another one. An event whose `distinct_id` names nobody (empty,
    `null`, `anonymous` and the like) is kept and belongs to no person.
    """

    name: str
    distinct_id: str
    sent_at: dt.datetime | None
    occurred_at: dt.datetime
    insert_id: str
    properties: Properties
    claim: Claim | None = None


@dataclass(frozen=True, slots=True)
class Set:
    """Overwrite each property; a null leaves it not set."""

    properties: Properties


@dataclass(frozen=True, slots=True)
class SetOnce:
    """Set each property that is not set."""

    properties: Properties


@dataclass(frozen=True, slots=True)
class Add:
    """Add to each number, negative ones too; a property that is not set counts as 0."""

    properties: dict[str, int | float]


@dataclass(frozen=True, slots=True)
class Append:
    """Put each value at the end of the property's list, made where there is none; what is in it already stays."""

    properties: Properties


@dataclass(frozen=True, slots=True)
class Union:
    """Add to each property's list those values that are not in it, the list being made where there is none."""

    properties: dict[str, list[JsonValue]]


@dataclass(frozen=True, slots=True)
class Remove:
    """Take each value out of the property's list, wherever it stands in it."""

    properties: Properties


@dataclass(frozen=True, slots=True)
class Unset:
    """Delete properties by name."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete the profile; its events stay."""


Operation: TypeAlias = Set | SetOnce | Add | Append | Union | Remove | Unset | Delete


def _is_creating(operations: tuple[Operation, ...]) -> bool:
    return any(isinstance(operation, Set | SetOnce | Add | Append | Union) for operation in operations)


@dataclass(frozen=True, slots=True)
class ProfileUpdate:
    """What to do to one profile, in order.

    `position` is the record's place in its request. `updated_at` is the time of the update, None leaves "last seen" as
    it is. `is_literal` addresses the profile of exactly this id, also where the id is an alias of another person's
    (Mixpanel: `$ignore_alias`).
    """

    position: int
    distinct_id: str
    operations: tuple[Operation, ...]
    updated_at: dt.datetime | None
    is_literal: bool = False

    @property
    def is_creating(self) -> bool:
        """Return whether it makes a profile where there is none."""
        return _is_creating(self.operations)

    @property
    def address(self) -> Properties:
        """Return whom it addresses, as a sample shows it."""
        return {"$distinct_id": self.distinct_id}


@dataclass(frozen=True, slots=True)
class GroupUpdate:
    """What to do to the profile of one group, in order: a company, say, by the key `company` and the company's id.

    `position` and `updated_at` are those of a profile update.
    """

    position: int
    group_key: str
    group_id: str
    operations: tuple[Operation, ...]
    updated_at: dt.datetime | None

    @property
    def is_creating(self) -> bool:
        """Return whether it makes a group profile where there is none."""
        return _is_creating(self.operations)

    @property
    def address(self) -> Properties:
        """Return whom it addresses, as a sample shows it."""
        return {"$group_key": self.group_key, "$group_id": self.group_id}


@dataclass(frozen=True, slots=True)
class Ingested:
    """What became of a batch of events: rows added, rows whose content it replaced, and the rest, known before."""

    inserted: int
    updated: int
    unchanged: int


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of a batch of updates: how many persons or groups it made, and how many known profiles it changed.

    `ignored` are the updates that did not fit their profile, and so changed nothing.
    """

    created: int
    changed: int
    ignored: tuple[RefusedRecord, ...] = ()
