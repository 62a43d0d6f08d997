"""Segment filters: what OneSignal accepts, and which users they select (contract/onesignal.md, section 2).

A list of filters is alternatives of conjunctions: AND is implied and binds tighter than OR. Tags are answered from the
index in `tags.py`; the other fields are looked up user by user.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from typing import Any

from pyroaring import BitMap

from integrations.destinations.onesignal.sandbox.users import User, Users
from integrations.destinations.onesignal.sandbox.wire import Malformed

MAX_ENTRIES = 200
MAX_LIST_VALUES = 20
SECONDS_PER_HOUR = 3600
EARTH_RADIUS_METERS = 6_371_000

Filter = Mapping[str, str]

_WITHOUT_VALUE = frozenset({"exists", "not_exists"})
_COMPARISONS = ("=", "!=", ">", "<")
_WORDS = ("=", "!=", "in_array", "not_in_array")
_RELATIONS: dict[str, tuple[str, ...]] = {
    "tag": (*_COMPARISONS, "exists", "not_exists", "time_elapsed_gt", "time_elapsed_lt"),
    "last_session": (">", "<"),
    "first_session": (">", "<"),
    "session_count": _COMPARISONS,
    "session_time": (">", "<"),
    "language": _WORDS,
    "country": _WORDS,
    "app_version": _COMPARISONS,
    "location": (),
}
_OPERANDS: dict[str, tuple[str, ...]] = {
    "last_session": ("hours_ago",),
    "first_session": ("hours_ago",),
    "location": ("radius", "lat", "long"),
}
_NUMERIC_FIELDS = frozenset({"last_session", "first_session", "session_count", "session_time", "location"})
_TESTS: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
    "time_elapsed_gt": operator.gt,
    "time_elapsed_lt": operator.lt,
}


def read_filters(value: object) -> list[dict[str, str]]:
    """Return the filters of a request as given. Raises Malformed with what is wrong in which entry (wording ours)."""
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_ENTRIES:
        raise Malformed(f"filters must be an array of 1 to {MAX_ENTRIES} entries, operators included.")
    is_operator_allowed = False
    for position, entry in enumerate(value, start=1):
        name = f"filters entry {position}"
        if not isinstance(entry, dict):
            raise Malformed(f"{name} must be an object.")
        if any(not isinstance(text, str) or "\0" in text for text in entry.values()):
            raise Malformed(f"{name}: every value must be a string without NUL.")
        if "operator" in entry:
            if entry["operator"] not in ("AND", "OR"):
                raise Malformed(f"{name}: operator must be AND or OR.")
            if not is_operator_allowed:
                raise Malformed(f"{name}: an operator must stand between two filters.")
        else:
            _check_filter(entry, name)
        is_operator_allowed = "operator" not in entry
    if not is_operator_allowed:
        raise Malformed("filters must not end with an operator.")
    return value


def _check_filter(entry: Mapping[str, str], name: str) -> None:
    field = entry.get("field", "")
    if field not in _RELATIONS:
        raise Malformed(f"{name}: field must be one of {', '.join(_RELATIONS)}.")
    relations = _RELATIONS[field]
    relation = entry.get("relation", "")
    if relations and relation not in relations:
        raise Malformed(f"{name}: relation of {field} must be one of {', '.join(relations)}.")
    if field == "tag" and not entry.get("key"):
        raise Malformed(f"{name}: a tag filter needs a key.")
    operands = () if relation in _WITHOUT_VALUE else _OPERANDS.get(field, ("value",))
    for operand in operands:
        if operand not in entry:
            raise Malformed(f"{name}: {field} needs {operand}.")
        if (field in _NUMERIC_FIELDS or relation.startswith("time_")) and _number(entry[operand]) is None:
            raise Malformed(f"{name}: {operand} must be a number.")
    if relation.endswith("in_array") and len(entry["value"].split(",")) > MAX_LIST_VALUES:
        raise Malformed(f"{name}: value must list at most {MAX_LIST_VALUES} values.")


def select_users(filters: list[dict[str, str]], users: Users, *, now: float) -> BitMap:
    """Return the numbers of the users whom checked filters select; `now` in seconds since 1970."""
    selected = BitMap()
    conjunction: BitMap | None = None
    for entry in filters:
        if "operator" not in entry:
            matching = _matching(entry, users, now)
            conjunction = matching if conjunction is None else conjunction & matching
        elif entry["operator"] == "OR" and conjunction is not None:
            selected |= conjunction
            conjunction = None
    return selected if conjunction is None else selected | conjunction


def _matching(entry: Filter, users: Users, now: float) -> BitMap:
    if entry["field"] == "tag":
        return _matching_tag(entry, users, now)
    test = _test_of(entry, users, now)
    return BitMap(user.number for user in users.select(users.present) if test(user))


def _matching_tag(entry: Filter, users: Users, now: float) -> BitMap:
    key, relation = entry["key"], entry["relation"]
    if relation == "exists":
        return users.tags.having(key)
    if relation == "not_exists":
        return users.present - users.tags.having(key)
    if relation == "=":
        return users.tags.equal(key, entry["value"])
    if relation == "!=":
        # Ours: who does not carry the tag at all is unequal too.
        return users.present - users.tags.equal(key, entry["value"])
    bound = _number(entry["value"])
    selected = BitMap()
    for value, carriers in users.tags.values(key):
        number = _number(value)
        if number is None or bound is None:
            continue
        measured = now - number if relation.startswith("time_") else number
        if _TESTS[relation](measured, bound):
            selected |= carriers
    return selected


def _test_of(entry: Filter, users: Users, now: float) -> Callable[[User], bool]:
    """Return the test of one user for a field other than `tag`."""
    field, relation = entry["field"], entry.get("relation", "")
    if field == "location":
        return lambda user: _is_near(user, entry)
    if field in ("language", "country"):
        wanted = frozenset(entry["value"].split(",") if relation.endswith("in_array") else [entry["value"]])
        is_negated = relation in ("!=", "not_in_array")
        return lambda user: (user.properties.get(field) in wanted) is not is_negated
    if field == "app_version":
        version = _version(entry["value"])
        return lambda user: any(
            _TESTS[relation](_version(str(subscription.details.get("app_version", ""))), version)
            for subscription in users.subscriptions_of(user)
        )
    if field in ("last_session", "first_session"):
        name, hours = ("last_active" if field == "last_session" else "first_active"), float(entry["hours_ago"])
        return lambda user: _TESTS[relation]((now - seen_at(user, name)) / SECONDS_PER_HOUR, hours)
    bound = float(entry["value"])
    return lambda user: _TESTS[relation](user.properties.get(field, 0), bound)


def seen_at(user: User, name: str) -> float:
    """Return `first_active` or `last_active` of a user, the time of their creation if it was never set."""
    value = user.properties.get(name)
    return float(value) if isinstance(value, int | float) else user.created_at


def _is_near(user: User, entry: Filter) -> bool:
    latitude, longitude = user.properties.get("lat"), user.properties.get("long")
    if not isinstance(latitude, int | float) or not isinstance(longitude, int | float):
        return False
    here, there = math.radians(latitude), math.radians(float(entry["lat"]))
    across = math.radians(float(entry["long"]) - longitude)
    haversine = math.sin((there - here) / 2) ** 2 + math.cos(here) * math.cos(there) * math.sin(across / 2) ** 2
    return 2 * EARTH_RADIUS_METERS * math.asin(math.sqrt(min(haversine, 1.0))) <= float(entry["radius"])


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) if part.isdecimal() else 0 for part in text.split("."))


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
