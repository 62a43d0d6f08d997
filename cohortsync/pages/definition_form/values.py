"""Values as people type them, and back: numbers, several values one a line, quotes where plain text would mislead.

A line in quotes is the text between them, written as in JSON; quotes keep outer spaces and line breaks, make the empty
text possible and, in a list, tell the text "5" from the number 5. Writing and reading again gives the same value.
"""

from __future__ import annotations

import json
import math
import re
from decimal import Decimal
from typing import TypeAlias

Scalar: TypeAlias = str | int | float | bool

_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,4})?")
# In a list, where 007 and +5 are texts.
_JSON_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]{1,4})?")
_WHOLE = re.compile(r"[+-]?[0-9]{1,18}")
_BREAK = re.compile(r"\r\n|\r|\n")
# Longer than any number that a definition may hold.
_MAX_NUMBER_CHARACTERS = 400


class Unreadable(ValueError):
    """The text is no such value; the message is a sentence for its writer."""


def lines_of(text: str) -> list[tuple[int, str]]:
    """Return the lines that hold something, with their numbers from 1."""
    return [(number, line) for number, line in enumerate(_BREAK.split(text), 1) if line.strip()]


def read_text(line: str) -> str:
    """Return the text of a line, without the space around it."""
    quoted = _between_quotes(line.strip())
    return line.strip() if quoted is None else quoted


def read_number(text: str) -> int | float:
    """Return the number. Raises Unreadable, also for one with more digits than are kept."""
    text = text.strip()
    if len(text) > _MAX_NUMBER_CHARACTERS or not _NUMBER.fullmatch(text):
        raise Unreadable("Give a number, such as 5 or 0.5.")
    if text.lstrip("+-").isdigit():
        return int(text)
    number = float(text)
    if math.isfinite(number) and Decimal(repr(number)) != Decimal(text):
        raise Unreadable("Shorten this number to 15 digits: more are not kept.")
    return number


def read_whole(text: str) -> int:
    """Return the whole number. Raises Unreadable."""
    if not _WHOLE.fullmatch(text.strip()):
        raise Unreadable("Give a whole number, such as 30.")
    return int(text)


def read_scalar(line: str) -> Scalar:
    """Return the number, true, false or text of a line. Raises Unreadable."""
    text = line.strip()
    quoted = _between_quotes(text)
    if quoted is not None:
        return quoted
    if text in ("true", "false"):
        return text == "true"
    return read_number(text) if _JSON_NUMBER.fullmatch(text) else text


def write_text(text: str) -> str:
    """Return the line that is read as this text."""
    is_plain = text and not _BREAK.search(text) and read_text(text) == text
    return text if is_plain else json.dumps(text, ensure_ascii=False)


def write_scalar(value: str | Decimal | bool) -> str:
    """Return the line that is read as this value."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return str(value)
    is_text = not _JSON_NUMBER.fullmatch(value) and value not in ("true", "false")
    return write_text(value) if is_text else json.dumps(value)


def _between_quotes(text: str) -> str | None:
    if len(text) < 2 or not (text.startswith('"') and text.endswith('"')):
        return None
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, str) else None
