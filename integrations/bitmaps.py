"""Sets of recipients as 32-bit roaring bitmaps: the one place that turns them into bytes and back."""

from __future__ import annotations

from pyroaring import BitMap


def read_bitmap(stored: bytes | memoryview | None) -> BitMap:
    """Return the bitmap in a binary column; none stored is the empty set."""
    return BitMap.deserialize(bytes(stored)) if stored else BitMap()


def bitmap_bytes(bitmap: BitMap) -> bytes:
    """Return the bitmap in the portable roaring format, runs compressed."""
    bitmap.run_optimize()
    return bytes(bitmap.serialize())
