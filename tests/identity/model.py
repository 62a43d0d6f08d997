"""Identity in memory, written from the contract (3.2 to 3.5) and sharing no code with the product."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

GUID = re.compile(r"^(\$device:)?[A-Za-z0-9]*(-[A-Za-z0-9]*){4}$")
ONESIGNAL = "$onesignal_user_id"


@dataclass(eq=False)
class Human:
    canonical: str
    ids: set[str]
    identified: int | None = None
    profile: dict[str, Any] = field(default_factory=dict)
    events: int = 0


class OriginalModel:
    """Original ID merge: what each message makes of the humans known."""

    def __init__(self) -> None:
        self.humans: list[Human] = []
        self.refused: list[str] = []
        self.clock = 0

    def owner(self, distinct_id: str) -> Human | None:
        return next((human for human in self.humans if distinct_id in human.ids), None)

    def person(self, distinct_id: str) -> Human:
        human = self.owner(distinct_id)
        if human is None:
            human = Human(distinct_id, {distinct_id})
            self.humans.append(human)
        return human

    def event(self, distinct_id: str) -> None:
        self.person(distinct_id).events += 1

    def identify(self, identified: str, anonymous: str) -> None:
        human, other = self.person(identified), self.owner(anonymous)
        if identified == anonymous:
            self.refused.append("errSameIDs")
        elif not GUID.match(anonymous):
            self.refused.append("errAnonDistinctIdNonGUIDForm")
        elif other is not None and other is not human and other.identified is not None:
            self.refused.append("errAnonDistinctIdAssignedAlready")
        else:
            human = self.unite(human, other or self.person(anonymous))
            if human.identified is None:
                self.clock += 1
                human.canonical, human.identified = identified, self.clock

    def alias(self, existing: str, alias: str) -> None:
        human, other = self.person(existing), self.owner(alias)
        if other is None:
            human.ids.add(alias)
        elif other is not human:
            self.refused.append("errAliasAlreadyExists")

    def merge(self, first: str, second: str) -> None:
        # The event belongs to the first of its ids.
        self.unite(self.person(first), self.person(second))

    def set(self, distinct_id: str, properties: dict[str, Any]) -> None:
        human = self.person(distinct_id)
        human.profile |= properties
        if ONESIGNAL in properties:
            self.alias(human.canonical, properties[ONESIGNAL])

    def unite(self, one: Human, other: Human) -> Human:
        if one is other:
            return one
        if other.identified is not None and (one.identified is None or other.identified < one.identified):
            one, other = other, one
        one.ids |= other.ids
        one.profile = other.profile | one.profile
        one.events += other.events
        self.humans.remove(other)
        return one


class SimplifiedModel:
    """Simplified ID merge: users, and the devices that were first seen with one of them."""

    def __init__(self) -> None:
        self.user_of: dict[str, str] = {}
        self.events: dict[str, int] = {}
        self.ids: set[str] = set()

    def event(self, *, user: str | None, device: str | None) -> None:
        if user is not None:
            self.ids.add(user)
            self.events[user] = self.events.get(user, 0) + 1
            if device is not None:
                self.ids.add(device)
                self.user_of.setdefault(device, user)
        elif device is not None:
            self.ids.add(device)
            self.events[device] = self.events.get(device, 0) + 1

    def canonical(self, distinct_id: str) -> str:
        return self.user_of.get(distinct_id, distinct_id)

    def counts(self) -> dict[str, int]:
        counts = dict.fromkeys((self.canonical(each) for each in self.ids), 0)
        for sender, count in self.events.items():
            counts[self.canonical(sender)] += count
        return counts
