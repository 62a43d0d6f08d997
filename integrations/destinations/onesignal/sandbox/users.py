"""The users of one app, with their aliases, tags and subscriptions, looked up by any alias.

Users are numbered in the order of their creation and the numbers are never used again, so that tags and segments are
bitmaps of numbers (`tags.py`). A user's `onesignal_id`, and the id of the subscription that comes with a user made in
bulk, are computed from the number: a million users need no table of ids. Mappings held by a user are never changed in
place, they are replaced.
"""

from __future__ import annotations

import sys
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from pyroaring import BitMap

from integrations.destinations.onesignal.sandbox.numbered_ids import NumberedIds
from integrations.destinations.onesignal.sandbox.tags import TagIndex

EXTERNAL_ID = "external_id"
ONESIGNAL_ID = "onesignal_id"

_NO_STRINGS: Mapping[str, str] = {}
_NO_PROPERTIES: Mapping[str, object] = {}

# number, external id, created at, has a computed subscription, tags, custom aliases, properties
UserRow = tuple[int, str | None, float, bool, dict[str, str], dict[str, str], dict[str, object]]


@dataclass(slots=True)
class Subscription:
    """One way to reach a user; `details` holds what else was sent (`device_os`, `app_version`, ...)."""

    id: str
    owner: int
    type: str
    token: str
    is_enabled: bool
    created_at: float
    details: dict[str, object] = field(default_factory=dict)


@dataclass(slots=True)
class User:
    """One person at OneSignal."""

    number: int
    external_id: str | None
    created_at: float
    tags: Mapping[str, str] = field(default_factory=lambda: _NO_STRINGS)
    aliases: Mapping[str, str] = field(default_factory=lambda: _NO_STRINGS)
    properties: Mapping[str, object] = field(default_factory=lambda: _NO_PROPERTIES)
    subscription_ids: tuple[str, ...] = ()


class Users:
    """All users of one app. Its methods trust their input; `calls/` has checked it."""

    def __init__(self, *, user_id_base: str, subscription_id_base: str) -> None:
        self.user_ids = NumberedIds(user_id_base)
        self.computed_ids = NumberedIds(subscription_id_base)
        self.present = BitMap()
        self.tags = TagIndex()
        self._users: list[User | None] = []
        self._by_alias: dict[str, dict[str, int]] = {EXTERNAL_ID: {}}
        self._subscriptions: dict[str, Subscription] = {}
        self._by_token: dict[tuple[str, str], str] = {}
        self._computed_owners = BitMap()
        # Number of opted-in subscriptions (1 and more) -> users who have so many.
        self._by_opted_in: dict[int, BitMap] = {}

    # --- Users ---------------------------------------------------------------------------------------------------

    @property
    def next_number(self) -> int:
        """The number of the next user."""
        return len(self._users)

    def get(self, number: int) -> User | None:
        """Return the user of a number, None when there is none or no longer."""
        return self._users[number] if 0 <= number < len(self._users) else None

    def find(self, label: str, alias_id: str) -> User | None:
        """Return the user whose alias this is."""
        if label == ONESIGNAL_ID:
            number = self.user_ids.number(alias_id)
        else:
            number = self._by_alias.get(label, {}).get(alias_id)
        return None if number is None else self.get(number)

    def identity(self, user: User) -> dict[str, str]:
        """Return all aliases of a user."""
        identity = {ONESIGNAL_ID: self.user_ids.of(user.number), **user.aliases}
        if user.external_id is not None:
            identity[EXTERNAL_ID] = user.external_id
        return identity

    def select(self, numbers: Iterable[int]) -> Iterator[User]:
        """Yield the users of these numbers that exist, in their order."""
        for number in numbers:
            user = self.get(number)
            if user is not None:
                yield user

    def add(self, rows: Iterable[UserRow]) -> None:
        """Add users, new or kept from an earlier process; numbers left out stay unused."""
        carriers: dict[tuple[str, str], list[int]] = {}
        added: list[int] = []
        computed: list[int] = []
        external_ids = self._by_alias[EXTERNAL_ID]
        for number, external_id, created_at, has_computed, tags, aliases, properties in rows:
            user = User(number, external_id, created_at)
            self.use_numbers(number)
            self._users.append(user)
            added.append(number)
            if external_id is not None:
                external_ids[external_id] = number
            if has_computed:
                computed.append(number)
            if tags:
                user.tags = interned(tags)
                for key, value in user.tags.items():
                    carriers.setdefault((key, value), []).append(number)
            if aliases:
                user.aliases = aliases
                for label, alias_id in aliases.items():
                    self._by_alias.setdefault(label, {})[alias_id] = number
            if properties:
                user.properties = properties
        self.present.update(added)
        self._computed_owners.update(computed)
        self._by_opted_in.setdefault(1, BitMap()).update(computed)
        self.tags.add_many((key, value, numbers) for (key, value), numbers in carriers.items())

    def use_numbers(self, next_number: int) -> None:
        """Use up the numbers before `next_number`."""
        self._users.extend([None] * (next_number - len(self._users)))

    def delete(self, number: int) -> None:
        """Delete a user with their subscriptions."""
        user = self._users[number]
        if user is None:
            return
        for subscription_id in user.subscription_ids:
            self._forget(self._subscriptions[subscription_id])
        for label, alias_id in user.aliases.items():
            del self._by_alias[label][alias_id]
        if user.external_id is not None:
            del self._by_alias[EXTERNAL_ID][user.external_id]
        self.tags.change(number, user.tags, _NO_STRINGS)
        for carriers in self._by_opted_in.values():
            carriers.discard(number)
        self.present.discard(number)
        self._computed_owners.discard(number)
        self._users[number] = None

    def set_tags(self, number: int, changes: Mapping[str, str]) -> None:
        """Set and (empty string) delete tags of a user; one who is gone by now has none."""
        user = self.get(number)
        if user is None:
            return
        tags = {**user.tags, **changes}
        tags = interned({key: value for key, value in tags.items() if value})
        self.tags.change(number, user.tags, tags)
        user.tags = tags or _NO_STRINGS

    def set_properties(self, number: int, changes: Mapping[str, object]) -> None:
        """Set properties of a user; one who is gone by now has none."""
        user = self.get(number)
        if user is not None:
            user.properties = {**user.properties, **changes}

    def set_alias(self, number: int, label: str, alias_id: str | None) -> None:
        """Set an alias of a user, or take it away (None)."""
        user = self._users[number]
        if user is None:
            return
        aliases = self._by_alias.setdefault(label, {})
        before = user.external_id if label == EXTERNAL_ID else user.aliases.get(label)
        if before is not None:
            del aliases[before]
        if alias_id is not None:
            aliases[alias_id] = number
        if label == EXTERNAL_ID:
            user.external_id = alias_id
        else:
            others = {key: value for key, value in user.aliases.items() if key != label}
            user.aliases = others if alias_id is None else {**others, label: alias_id}

    # --- Subscriptions -------------------------------------------------------------------------------------------

    def subscription(self, subscription_id: str) -> Subscription | None:
        """Return the subscription of an id in any spelling."""
        try:
            subscription_id = str(uuid.UUID(subscription_id))
        except ValueError:
            return None
        found = self._subscriptions.get(subscription_id)
        if found is None and (number := self.computed_ids.number(subscription_id)) is not None:
            user = self.get(number)
            if user is not None and number in self._computed_owners:
                return self._computed(user)
        return found

    def subscription_by_token(self, type_: str, token: str) -> Subscription | None:
        """Return the subscription that holds this address or device."""
        subscription_id = self._by_token.get((type_, token))
        return None if subscription_id is None else self._subscriptions[subscription_id]

    def subscriptions_of(self, user: User) -> list[Subscription]:
        """Return a user's subscriptions, oldest first."""
        held = [self._subscriptions[subscription_id] for subscription_id in user.subscription_ids]
        return [self._computed(user), *held] if user.number in self._computed_owners else held

    def kept_subscriptions(self) -> Iterator[Subscription]:
        """Yield every subscription that is not computed."""
        yield from self._subscriptions.values()

    def put_subscription(self, subscription: Subscription) -> None:
        """Add a subscription or replace the one of its id, which may have had another owner."""
        self.delete_subscription(subscription.id)
        owner = self._users[subscription.owner]
        if owner is None:
            return
        self._subscriptions[subscription.id] = subscription
        self._by_token[(subscription.type, subscription.token)] = subscription.id
        owner.subscription_ids = (*owner.subscription_ids, subscription.id)
        self._count_opted_in(owner)

    def delete_subscription(self, subscription_id: str) -> None:
        """Delete a subscription; an unknown one is none."""
        subscription = self.subscription(subscription_id)
        if subscription is None:
            return
        if subscription.id in self._subscriptions:
            self._forget(subscription)
        else:
            self._computed_owners.discard(subscription.owner)
        owner = self._users[subscription.owner]
        if owner is not None:
            owner.subscription_ids = tuple(each for each in owner.subscription_ids if each != subscription.id)
            self._count_opted_in(owner)

    def opted_in_count(self, numbers: BitMap) -> int:
        """Return how many opted-in subscriptions these users have."""
        return sum(count * numbers.intersection_cardinality(users) for count, users in self._by_opted_in.items())

    def subscription_count(self) -> int:
        """Return how many subscriptions there are."""
        return len(self._subscriptions) + len(self._computed_owners)

    def rows(self) -> Iterator[UserRow]:
        """Yield all users, to be added again by `add` in another process."""
        for user in self.select(self.present):
            yield (
                user.number,
                user.external_id,
                user.created_at,
                user.number in self._computed_owners,
                dict(user.tags),
                dict(user.aliases),
                dict(user.properties),
            )

    def _computed(self, user: User) -> Subscription:
        return Subscription(
            id=self.computed_ids.of(user.number),
            owner=user.number,
            type="AndroidPush",
            token=f"sandbox-{user.number}",
            is_enabled=True,
            created_at=user.created_at,
        )

    def _forget(self, subscription: Subscription) -> None:
        del self._subscriptions[subscription.id]
        address = (subscription.type, subscription.token)
        if self._by_token.get(address) == subscription.id:
            del self._by_token[address]

    def _count_opted_in(self, user: User) -> None:
        count = sum(each.is_enabled for each in self.subscriptions_of(user))
        for users in self._by_opted_in.values():
            users.discard(user.number)
        if count:
            self._by_opted_in.setdefault(count, BitMap()).add(user.number)


def interned(tags: Mapping[str, str]) -> dict[str, str]:
    """Return the tags with their strings shared: a million users carry the same few keys and values."""
    return {sys.intern(key): sys.intern(value) for key, value in tags.items()}
