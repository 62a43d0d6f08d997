"""JSON that a person wrote, read strictly: what is wrong is a sentence with its line."""

from __future__ import annotations

import json
from typing import NoReturn

from cohortsync.pages.definition_form.raw import Raw

# Far more than a number of a definition has, and fewer than Python refuses to read.
_MAX_DIGITS = 400


def read_object(text: str) -> Raw:
    """Return the object that the JSON stands for. Raises ValueError with a sentence."""
    try:
        value = json.loads(text, parse_constant=_refuse, parse_int=_whole, object_pairs_hook=_without_doubles)
    except json.JSONDecodeError as error:
        raise ValueError(f"This is no JSON: line {error.lineno}, column {error.colno}: {error.msg}.") from error
    except RecursionError as error:
        raise ValueError("This is nested too deeply for a definition.") from error
    if not isinstance(value, dict):
        raise ValueError('Write an object in braces, such as {"groups": [...]}.')
    return value


def write_object(raw: object) -> str:
    """Return the JSON as people read it."""
    return json.dumps(raw, indent=2, ensure_ascii=False)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"Write a number instead of {constant}.")


def _whole(digits: str) -> int:
    if len(digits) > _MAX_DIGITS:
        raise ValueError("Give a number between -1e30 and 1e30.")
    return int(digits)


def _without_doubles(pairs: list[tuple[str, object]]) -> Raw:
    seen: Raw = {}
    for name, value in pairs:
        if name in seen:
            raise ValueError(f"Remove one of the keys {name!r}: an object has each only once.")
        seen[name] = value
    return seen
