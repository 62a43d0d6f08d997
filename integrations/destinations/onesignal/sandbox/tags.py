"""Who carries which tag: an inverted index of bitmaps over user numbers, so that a million users are one look-up."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from pyroaring import BitMap


class TagIndex:
    """For each tag key and value, the numbers of the users who carry it. `users.py` keeps it up to date."""

    def __init__(self) -> None:
        self._by_key: dict[str, dict[str, BitMap]] = {}

    def change(self, number: int, before: Mapping[str, str], after: Mapping[str, str]) -> None:
        """Move a user from the tags they carried to those they carry."""
        for key, value in before.items():
            if after.get(key) != value:
                self._remove(number, key, value)
        for key, value in after.items():
            if before.get(key) != value:
                self._by_key.setdefault(key, {}).setdefault(value, BitMap()).add(number)

    def add_many(self, carriers: Iterable[tuple[str, str, list[int]]]) -> None:
        """Add users by (key, value, numbers) at once."""
        for key, value, numbers in carriers:
            self._by_key.setdefault(key, {}).setdefault(value, BitMap()).update(numbers)

    def equal(self, key: str, value: str) -> BitMap:
        """Return who carries this value under this key; not to be changed by the caller."""
        return self._by_key.get(key, {}).get(value) or BitMap()

    def having(self, key: str) -> BitMap:
        """Return who carries this key with any value."""
        carriers = self._by_key.get(key)
        return BitMap.union(*carriers.values()) if carriers else BitMap()

    def values(self, key: str) -> Iterator[tuple[str, BitMap]]:
        """Yield every value under a key with its carriers."""
        yield from self._by_key.get(key, {}).items()

    def _remove(self, number: int, key: str, value: str) -> None:
        values = self._by_key[key]
        carriers = values[value]
        carriers.discard(number)
        if not carriers:
            del values[value]
            if not values:
                del self._by_key[key]
