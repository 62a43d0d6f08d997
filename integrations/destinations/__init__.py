"""Destinations, one folder each. Adding one needs a folder with a `DESTINATION`, and nothing elsewhere."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

from integrations.destinations.base import Destination
from integrations.errors import Invalid


@cache
def destinations() -> dict[str, Destination]:
    """Return every destination by its kind."""
    found = {}
    for module in pkgutil.iter_modules(__path__):
        if module.ispkg:
            destination: Destination = importlib.import_module(f"{__name__}.{module.name}").DESTINATION
            found[destination.kind] = destination
    return found


def destination_named(kind: str) -> Destination:
    """Return the destination of this kind. Raises Invalid naming those there are."""
    try:
        return destinations()[kind]
    except KeyError:
        known = ", ".join(sorted(destinations()))
        raise Invalid("destination", f"There is no destination {kind!r}; choose one of: {known}.") from None
