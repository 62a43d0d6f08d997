"""The scalars of a definition and their limits. Used by the other modules of this package."""

from __future__ import annotations

import datetime as dt
import math
import re
from decimal import Decimal
from typing import Annotated, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, PlainValidator, StrictStr, StringConstraints, WithJsonSchema
from pydantic_core import PydanticCustomError

MAX_TEXT_CHARACTERS = 255
# Mixpanel: values per filter.
MAX_VALUES = 1000
MAX_GROUPS = 50
# Over the whole definition, the conditions of event filters included.
MAX_CONDITIONS = 50
MAX_PATH_NAMES = 10
# Larger than any id, price or epoch in nanoseconds; what lies beyond is a mistake.
MAX_NUMBER = Decimal(10) ** 30
# Within these every local day has a next one in every timezone.
FIRST_DATE = dt.date(1000, 1, 1)
LAST_DATE = dt.date(9998, 12, 31)

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


class Part(BaseModel):
    """A part of a definition: unknown keys are refused, and nothing changes once it is parsed."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def refusal(sentence: str) -> PydanticCustomError:
    """Return the error to raise in a validator; the sentence is shown as it is."""
    return PydanticCustomError("sentence", "{sentence}", {"sentence": sentence})


def _storable(text: str) -> str:
    """PostgreSQL holds neither NUL nor half of a surrogate pair, so nothing stored can equal such a text."""
    if "\0" in text:
        raise refusal("Remove the NUL character: no stored text can hold one.")
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise refusal("Remove the unpaired surrogate: the text is not valid Unicode.")
    return text


def read_number(value: object) -> Decimal:
    """Return a JSON number exactly as it was written: 0.1 is one tenth, as it is in PostgreSQL."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise refusal("Give a number, such as 5 or 0.5, without quotes.")
    if isinstance(value, float) and not math.isfinite(value):
        raise refusal("Give a finite number.")
    if abs(value) > MAX_NUMBER:
        raise refusal("Give a number between -1e30 and 1e30.")
    return Decimal(repr(value))


def _local_date(value: object) -> dt.date:
    sentence = "Give a date of the project's calendar, such as 2026-01-31."
    if not isinstance(value, str) or not _DATE.fullmatch(value):
        raise refusal(sentence)
    try:
        date = dt.date.fromisoformat(value)
    except ValueError as error:
        raise refusal(f"{value} is no day of the calendar. {sentence}") from error
    if not FIRST_DATE <= date <= LAST_DATE:
        raise refusal(f"Give a date between {FIRST_DATE} and {LAST_DATE}.")
    return date


def check_path(text: str) -> str:
    """Return the dotted path if its names are sound."""
    names = text.split(".")
    if not all(names) or len(names) > MAX_PATH_NAMES:
        raise refusal(f"Give a path of at most {MAX_PATH_NAMES} names with dots between them, such as address.city.")
    return text


Text: TypeAlias = Annotated[StrictStr, StringConstraints(max_length=MAX_TEXT_CHARACTERS), AfterValidator(_storable)]
Name: TypeAlias = Annotated[
    StrictStr, StringConstraints(min_length=1, max_length=MAX_TEXT_CHARACTERS), AfterValidator(_storable)
]
Number: TypeAlias = Annotated[Decimal, PlainValidator(read_number), WithJsonSchema({"type": "number"})]
LocalDate: TypeAlias = Annotated[
    dt.date, PlainValidator(_local_date), WithJsonSchema({"type": "string", "format": "date"})
]


def _scalar(value: object) -> str | Decimal | bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        if len(value) > MAX_TEXT_CHARACTERS:
            raise refusal(f"Shorten this to {MAX_TEXT_CHARACTERS} characters: no stored text is longer.")
        return _storable(value)
    if isinstance(value, int | float):
        return read_number(value)
    raise refusal("Give a text, a number, true or false.")


Scalar: TypeAlias = Annotated[
    str | Decimal | bool,
    PlainValidator(_scalar),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "number"}, {"type": "boolean"}]}),
]
