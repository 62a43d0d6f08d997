"""How an app is made to fail: the settings of `PUT /_control/apps/{app_id}/faults`, and the dice they are rolled with.

One PUT names the whole set: what it leaves out is off again, `{}` clears. `answering.py` rolls the dice for each
request to an app's API, in a fixed order, so that a `seed` repeats a run as long as the requests come in one order.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass

from integrations.destinations.onesignal.sandbox.wire import Malformed, as_object

DEFAULT_WRITES_PER_SECOND = 1000  # contract/onesignal.md, section 5
DEFAULT_EXPORT_DELAY_MS = 200


@dataclass(frozen=True, slots=True)
class Faults:
    """What goes wrong: shares are parts of 1, times in milliseconds."""

    rate_status: int = 500
    rate_share: float = 0.0
    latency_ms: float = 0.0
    drop_before_share: float = 0.0
    drop_after_share: float = 0.0
    late_ms: float = 0.0
    late_share: float = 0.0
    limit_per_second: int = DEFAULT_WRITES_PER_SECOND
    views_per_second: int | None = None
    is_user_spacing_enforced: bool = False
    export_delay_ms: float = DEFAULT_EXPORT_DELAY_MS
    seed: int | None = None


_NAMES = (
    *("rate", "latency_ms", "limit_per_second", "drop_connection", "apply_after_ms", "enforce_user_spacing"),
    *("views_per_second", "export_delay_ms", "seed"),
)


def read_faults(body: Mapping[str, object]) -> Faults:
    """Return the faults that a request body asks for. Raises Malformed naming the field."""
    for name in body:
        if name not in _NAMES:
            raise Malformed(f"There is no fault {name!r}; choose among {', '.join(_NAMES)}.")
    rate = _part(body, "rate", ("status", "share"))
    drop = _part(body, "drop_connection", ("before", "after"))
    late = _part(body, "apply_after_ms", ("ms", "share"))
    is_spacing_enforced = body.get("enforce_user_spacing", False)
    if not isinstance(is_spacing_enforced, bool):
        raise Malformed("enforce_user_spacing must be true or false.")
    limit = _whole(body, "limit_per_second", lowest=0)
    return Faults(
        rate_status=_whole(rate, "status", lowest=200, highest=599, prefix="rate.") or 500,
        rate_share=_number(rate, "share", highest=1, prefix="rate."),
        latency_ms=_number(body, "latency_ms"),
        drop_before_share=_number(drop, "before", highest=1, prefix="drop_connection."),
        drop_after_share=_number(drop, "after", highest=1, prefix="drop_connection."),
        late_ms=_number(late, "ms", prefix="apply_after_ms."),
        late_share=_number(late, "share", highest=1, prefix="apply_after_ms."),
        limit_per_second=DEFAULT_WRITES_PER_SECOND if limit is None else limit,
        views_per_second=_whole(body, "views_per_second", lowest=0),
        is_user_spacing_enforced=is_spacing_enforced,
        export_delay_ms=_number(body, "export_delay_ms", default=DEFAULT_EXPORT_DELAY_MS),
        seed=_whole(body, "seed", lowest=0),
    )


def written_faults(faults: Faults) -> dict[str, object]:
    """Return the faults in the form in which they are set."""
    return {
        "rate": {"status": faults.rate_status, "share": faults.rate_share},
        "latency_ms": faults.latency_ms,
        "limit_per_second": faults.limit_per_second,
        "drop_connection": {"before": faults.drop_before_share, "after": faults.drop_after_share},
        "apply_after_ms": {"ms": faults.late_ms, "share": faults.late_share},
        "enforce_user_spacing": faults.is_user_spacing_enforced,
        "views_per_second": faults.views_per_second,
        "export_delay_ms": faults.export_delay_ms,
        "seed": faults.seed,
    }


class Dice:
    """The chances of one app's faults."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        # No secret depends on it, and a seed must repeat it.
        self._random = random.Random(faults.seed)  # noqa: S311

    def drops_before(self) -> bool:
        """Roll whether the connection closes before anything is stored."""
        return self._roll(self._faults.drop_before_share)

    def fails(self) -> bool:
        """Roll whether the call is answered with the fault's status."""
        return self._roll(self._faults.rate_share)

    def drops_after(self) -> bool:
        """Roll whether the connection closes after storing."""
        return self._roll(self._faults.drop_after_share)

    def is_late(self) -> bool:
        """Roll whether a write is stored only later."""
        return self._roll(self._faults.late_share)

    def _roll(self, share: float) -> bool:
        return share > 0 and self._random.random() < share


def _part(body: Mapping[str, object], name: str, fields: tuple[str, ...]) -> dict[str, object]:
    part = body.get(name)
    if part is None:
        return {}
    part = as_object(part, name)
    for field in part:
        if field not in fields:
            raise Malformed(f"{name} holds {' and '.join(fields)}, not {field!r}.")
    return part


def _number(
    body: Mapping[str, object], name: str, *, default: float = 0.0, highest: float = 1e9, prefix: str = ""
) -> float:
    value = body.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= highest:
        raise Malformed(f"{prefix}{name} must be a number from 0 to {highest:g}.")
    return float(value)


def _whole(body: Mapping[str, object], name: str, *, lowest: int, highest: int = 2**53, prefix: str = "") -> int | None:
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not lowest <= value <= highest:
        raise Malformed(f"{prefix}{name} must be a whole number from {lowest} to {highest}.")
    return value
