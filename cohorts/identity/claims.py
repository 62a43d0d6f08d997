"""What events claim about ids, and which claims hold: a pure decision (step 3; contract, 3.2 and 3.3).

`claim_of` reads a claim from an event, `plan_claims` decides those of a request in their order; `linking.py` reads what
it decides from and carries it out.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from cohorts.identity.ids import MAX_IDS_PER_PERSON, has_guid_form, is_usable, text_of_id
from cohorts.messages import Claim, CreateAlias, Identify, LinkDevice, MergeIds
from cohorts.refusals import Reason
from cohorts.values import JsonValue, Properties

DEVICE_PREFIX = "$device:"

# What the sender is told of a refused claim, on the stored event and on the page of refusals (contract, 3.2).
DESCRIPTIONS = {
    Reason.SAME_IDS: "an id cannot be linked to itself",
    Reason.ID_UNUSABLE: "an id of the event is missing or names nobody",
    Reason.ANONYMOUS_ID_NO_GUID: "the anonymous id does not have the form of a UUID",
    Reason.ANONYMOUS_ID_TAKEN: "the anonymous id belongs to another identified person already",
    Reason.ALIAS_TAKEN: "the alias is an id of another person already",
    Reason.ALIAS_TOO_MANY: f"a person has at most {MAX_IDS_PER_PERSON} ids",
    Reason.MERGE_NOT_ALLOWED: "$merge is taken by /import with a service account only",
}


@dataclass(frozen=True, slots=True)
class KnownPerson:
    """A stored person as a decision needs it: the canonical id, when it was identified, how many ids there are."""

    distinct_id: str
    identified_at: dt.datetime | None
    id_count: int
    has_profile: bool


@dataclass(slots=True)
class Cluster:
    """The ids and stored persons that become one person; the first of the persons survives.

    `new_ids` are not stored yet; with no person the canonical id is among them, and the person is new. Those in
    `leaving` give their only id, a device's, to the person and keep the profile to themselves (simplified ID merge).
    """

    canonical: str
    identified_at: dt.datetime | None
    id_count: int
    persons: list[int] = field(default_factory=list)
    new_ids: list[str] = field(default_factory=list)
    leaving: list[int] = field(default_factory=list)
    is_changed: bool = False

    @property
    def losers(self) -> list[int]:
        """Return the persons who will be no more, or none's any more."""
        return [*self.persons[1:], *self.leaving]


# A claim, and the place of its event in the request.
PlacedClaim: TypeAlias = tuple[int, Claim]


@dataclass(slots=True)
class ClaimPlan:
    """The clusters that change, and why the claims at these places of the request are refused."""

    clusters: list[Cluster] = field(default_factory=list)
    refusals: dict[int, Reason] = field(default_factory=dict)


def claim_of(name: str, properties: Properties, *, is_simplified: bool, may_merge: bool) -> Claim | None:
    """Return what an event claims about ids, None for nothing; an id that is missing is empty.

    On simplified ID merge an event that names user and device links them. On original ID merge only the verbs link; a
    `$merge` needs a sender who `may_merge`.
    """
    if is_simplified:
        user, device = _usable(properties.get("$user_id")), device_id_of(properties.get("$device_id"))
        return LinkDevice(user, device) if user and device else None
    if name == "$identify":
        return Identify(
            _text(_first(properties, "$identified_id", "distinct_id")),
            _text(_first(properties, "$anon_id", "$anon_distinct_id")),
        )
    if name == "$create_alias":
        return CreateAlias(_text(properties.get("distinct_id")), _text(properties.get("alias")))
    if name == "$merge":
        ids = properties.get("$distinct_ids")
        first, second = ids if isinstance(ids, list) and len(ids) == 2 else (None, None)
        return MergeIds(_text(first), _text(second), is_allowed=may_merge)
    return None


def device_id_of(value: JsonValue) -> str:
    """Return a device's distinct_id from its id, which may or may not bear the prefix; "" if it names none."""
    device = _text(value).removeprefix(DEVICE_PREFIX)
    return DEVICE_PREFIX + device if is_usable(device) else ""


def plan_claims(
    claims: Sequence[PlacedClaim],
    *,
    found: Mapping[str, int],
    known: Mapping[int, KnownPerson],
    first_places: Mapping[str, int],
    now: dt.datetime,
) -> ClaimPlan:
    """Decide the claims in their order, each on what those before it made.

    `found` is who owns the ids that are stored, `known` these persons; `first_places` where in the request an id first
    had an event. A person identified at place n was so n microseconds after `now`: the oldest identified id stays
    canonical when two persons become one.
    """
    planner = _Planner(found, known, first_places, now)
    for place, claim in claims:
        if reason := planner.decide(claim, place):
            planner.plan.refusals[place] = reason
    return planner.finished()


class _Planner:
    def __init__(
        self,
        found: Mapping[str, int],
        known: Mapping[int, KnownPerson],
        first_places: Mapping[str, int],
        now: dt.datetime,
    ) -> None:
        self.plan = ClaimPlan()
        self._found = found
        self._known = known
        self._first_places = first_places
        self._now = now
        self._of_person: dict[int, Cluster] = {}
        self._of_new_id: dict[str, Cluster] = {}

    def decide(self, claim: Claim, place: int) -> Reason | None:
        """Carry out a claim in memory; return why it is refused, None if it is not."""
        first, second = _ids(claim)
        if isinstance(claim, MergeIds) and not claim.is_allowed:
            return Reason.MERGE_NOT_ALLOWED
        if not is_usable(first) or not is_usable(second):
            return Reason.ID_UNUSABLE
        if isinstance(claim, LinkDevice):
            self._link_device(claim)
            return None
        if isinstance(claim, Identify) and first == second:
            return Reason.SAME_IDS
        if isinstance(claim, Identify) and not has_guid_form(claim.anonymous_id):
            return Reason.ANONYMOUS_ID_NO_GUID
        one, other = self._cluster(first), self._cluster(second)
        if one is not other:
            if isinstance(claim, Identify) and other.identified_at is not None:
                return Reason.ANONYMOUS_ID_TAKEN
            if isinstance(claim, CreateAlias) and self._is_used(claim.alias, other, place):
                return Reason.ALIAS_TAKEN
            if one.id_count + other.id_count > MAX_IDS_PER_PERSON:
                return Reason.ALIAS_TOO_MANY
            one = self._union(one, other)
        if isinstance(claim, Identify) and one.identified_at is None:
            one.canonical = claim.identified_id
            one.identified_at = self._now + dt.timedelta(microseconds=place)
            one.is_changed = True
        return None

    def finished(self) -> ClaimPlan:
        clusters = {id(each): each for each in (*self._of_person.values(), *self._of_new_id.values())}
        self.plan.clusters = [each for each in clusters.values() if each.is_changed]
        return self.plan

    def _cluster(self, distinct_id: str) -> Cluster:
        person = self._found.get(distinct_id)
        if person is None:
            if distinct_id not in self._of_new_id:
                self._of_new_id[distinct_id] = Cluster(distinct_id, None, 1, new_ids=[distinct_id])
            return self._of_new_id[distinct_id]
        if person not in self._of_person:
            known = self._known[person]
            self._of_person[person] = Cluster(known.distinct_id, known.identified_at, known.id_count, [person])
        return self._of_person[person]

    def _is_used(self, alias: str, cluster: Cluster, place: int) -> bool:
        """Return whether an alias was an id of somebody before the claim at this place: stored, linked or sent."""
        return (bool(cluster.persons) or len(cluster.new_ids) > 1 or cluster.is_changed) or self._first_places.get(
            alias, place
        ) < place

    def _union(self, one: Cluster, other: Cluster) -> Cluster:
        """Make two clusters one and return it. The one identified first survives, or `one` where neither is."""
        if other.identified_at is not None and (one.identified_at is None or other.identified_at < one.identified_at):
            one, other = other, one
        one.persons += other.persons
        one.new_ids += other.new_ids
        one.id_count += other.id_count
        one.is_changed = True
        self._of_person |= dict.fromkeys(other.persons, one)
        self._of_new_id |= dict.fromkeys(other.new_ids, one)
        return one

    def _link_device(self, claim: LinkDevice) -> None:
        """Give a device to the user, if it is nobody's yet: the first link wins (contract, 3.3)."""
        user, device = self._cluster(claim.user_id), self._cluster(claim.device_id)
        if user is device or device.canonical != claim.device_id:
            return
        if user.persons or any(self._known[person].has_profile for person in device.persons):
            user.leaving += device.persons
        else:
            # An anonymous person without a profile can just as well become the user.
            user.persons += device.persons
        user.new_ids += device.new_ids
        user.id_count += device.id_count
        user.is_changed = True
        self._of_person |= dict.fromkeys(device.persons, user)
        self._of_new_id |= dict.fromkeys(device.new_ids, user)


def _ids(claim: Claim) -> tuple[str, str]:
    match claim:
        case Identify():
            return claim.identified_id, claim.anonymous_id
        case CreateAlias():
            return claim.distinct_id, claim.alias
        case MergeIds():
            return claim.first_id, claim.second_id
        case LinkDevice():
            return claim.user_id, claim.device_id


def ids_of_claims(claims: Sequence[PlacedClaim]) -> set[str]:
    """Return the ids that these claims are about, as far as they name somebody."""
    return {each for _, claim in claims for each in _ids(claim) if is_usable(each)}


def _first(properties: Properties, *names: str) -> JsonValue:
    """Return the first of these properties that is there; null is not."""
    return next((value for name in names if (value := properties.get(name)) is not None), None)


def _text(value: JsonValue) -> str:
    return text_of_id(value) or ""


def _usable(value: JsonValue) -> str:
    text = _text(value)
    return text if is_usable(text) else ""
