"""A segment: a name and filters; its members are computed when they are asked for (`filters.py`)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Segment:
    """One segment of an app; times in seconds since 1970."""

    id: str
    name: str
    description: str | None
    filters: list[dict[str, str]]
    created_at: float
    updated_at: float
    is_active: bool = True
    is_used_by_journey: bool = False
