"""Ids that need no table: UUIDs computed from a user's number, and the number from the UUID (`users.py`)."""

from __future__ import annotations

import uuid

NUMBER_BITS = 32


class NumberedIds:
    """UUIDs computed from numbers and back, all with one random beginning."""

    def __init__(self, base: str) -> None:
        self._int = uuid.UUID(base).int
        self._prefix = self._int >> NUMBER_BITS

    def of(self, number: int) -> str:
        """Return the UUID of a number."""
        return str(uuid.UUID(int=self._int ^ number))

    def number(self, value: str) -> int | None:
        """Return the number of a UUID, None when it is none of these."""
        try:
            given = uuid.UUID(value).int
        except ValueError:
            return None
        return given ^ self._int if given >> NUMBER_BITS == self._prefix else None
