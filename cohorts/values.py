"""Property values made fit for storage: what Mixpanel cuts is cut, what PostgreSQL cannot hold is refused (step 2).

The limits are Mixpanel's (contract, 2.4). What only its strict mode refuses is kept here in the other modes, for
nothing a sender stores elsewhere should be lost by sending it here; what cannot be stored is refused in all of them.
Called by the readers of `integrations/mixpanel/` and by `cohorts/files.py`.
"""

from __future__ import annotations

from typing import TypeAlias

import orjson

from cohorts.refusals import Reason, RecordRefused

JsonValue: TypeAlias = "str | int | float | bool | list[JsonValue] | dict[str, JsonValue] | None"
Properties: TypeAlias = dict[str, JsonValue]

MAX_TEXT_CHARACTERS = 255
MAX_STRICT_PROPERTIES = 255
MAX_STRICT_OBJECT_KEYS = 255
MAX_STRICT_LIST_VALUES = 255
MAX_STRICT_DEPTH = 3
# What orjson and PostgreSQL hold easily; nobody means to nest more deeply.
MAX_DEPTH = 32
MAX_EVENT_VALUE_BYTES = 8 * 1024
MAX_PROFILE_VALUE_BYTES = 256 * 1024
MAX_PROFILE_PROPERTIES = 2000


def clean_text(text: str) -> str:
    """Return the text without NUL, which PostgreSQL refuses, and cut to 255 characters, as Mixpanel does."""
    if "\0" in text:
        text = text.replace("\0", "")
    return text[:MAX_TEXT_CHARACTERS]


def clean_properties(
    properties: Properties, *, field: str, max_value_bytes: int, is_strict: bool = False
) -> Properties:
    """Return the properties fit for storage; the same object when there was nothing to do. Raises RecordRefused.

    `field` is the dotted path they came by, for messages.
    """
    if is_strict and len(properties) > MAX_STRICT_PROPERTIES:
        raise RecordRefused(
            Reason.TOO_MANY_PROPERTIES,
            field,
            f"'{field}' is invalid: must have at most {MAX_STRICT_PROPERTIES} properties",
        )
    is_clean = True
    for name, value in properties.items():
        kind = type(value)
        if kind is str:
            if len(value) > MAX_TEXT_CHARACTERS or "\0" in value:  # type: ignore[arg-type, operator]
                is_clean = False
        elif kind is dict or kind is list:
            _check_nested(value, f"{field}.{clean_text(name)}", max_value_bytes, is_strict)
            is_clean = False
        if len(name) > MAX_TEXT_CHARACTERS or "\0" in name:
            is_clean = False
    if is_clean:
        return properties
    return {clean_text(name): _clean_value(value) for name, value in properties.items()}


def _clean_value(value: JsonValue) -> JsonValue:
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, list):
        return [_clean_value(item) for item in value]
    if isinstance(value, dict):
        return {clean_text(name): _clean_value(item) for name, item in value.items()}
    return value


def _check_nested(value: JsonValue, field: str, max_bytes: int, is_strict: bool) -> None:
    depth = _check_shape(value, field, MAX_STRICT_DEPTH if is_strict else MAX_DEPTH, is_strict)
    # Shallow enough now for orjson to write.
    if depth and len(orjson.dumps(value)) > max_bytes:
        raise RecordRefused(
            Reason.VALUE_TOO_LARGE, field, f"'{field}' is invalid: must be at most {max_bytes} bytes as JSON"
        )


def _check_shape(value: JsonValue, field: str, levels_left: int, is_strict: bool) -> int:
    """Return how deep the value is nested. Raises RecordRefused, at the latest where `levels_left` ends."""
    if not isinstance(value, list | dict):
        return 0
    if levels_left == 0:
        limit = MAX_STRICT_DEPTH if is_strict else MAX_DEPTH
        raise RecordRefused(Reason.TOO_DEEP, field, f"'{field}' is invalid: must be nested at most {limit} levels deep")
    if is_strict and isinstance(value, list) and len(value) > MAX_STRICT_LIST_VALUES:
        raise RecordRefused(
            Reason.LIST_TOO_LONG, field, f"'{field}' is invalid: must have at most {MAX_STRICT_LIST_VALUES} values"
        )
    if is_strict and isinstance(value, dict) and len(value) > MAX_STRICT_OBJECT_KEYS:
        raise RecordRefused(
            Reason.TOO_MANY_PROPERTIES,
            field,
            f"'{field}' is invalid: must have at most {MAX_STRICT_OBJECT_KEYS} keys",
        )
    items = value.values() if isinstance(value, dict) else value
    return 1 + max((_check_shape(item, field, levels_left - 1, is_strict) for item in items), default=0)
