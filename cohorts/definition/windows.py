"""Windows of time as a definition writes them; `cohorts/windows.py` turns them into moments."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field, StrictInt, ValidationInfo, field_validator

from cohorts.definition.values import LocalDate, Part, refusal

Unit: TypeAlias = Literal["hour", "day", "week", "month"]
# A hundred years of each.
MAX_UNITS: dict[str, int] = {"hour": 876_600, "day": 36_525, "week": 5_217, "month": 1_200}


class Period(Part):
    """So many hours, days, weeks or months before or after now."""

    unit: Unit
    value: Annotated[StrictInt, Field(ge=1)]

    @field_validator("value")
    @classmethod
    def _is_at_most_a_century(cls, value: int, given: ValidationInfo) -> int:
        unit = given.data.get("unit")
        if unit and value > MAX_UNITS[unit]:
            raise refusal(f"Give at most {MAX_UNITS[unit]} {unit}s, which are a hundred years.")
        return value


class Last(Period):
    """The last so many units, optionally ending some units of the same kind ago."""

    type: Literal["last"]
    ending_ago: Annotated[StrictInt, Field(ge=0)] | None = None

    @field_validator("ending_ago")
    @classmethod
    def _begins_at_most_a_century_ago(cls, ending_ago: int | None, given: ValidationInfo) -> int | None:
        unit, value = given.data.get("unit"), given.data.get("value")
        if unit and value and ending_ago and value + ending_ago > MAX_UNITS[unit]:
            raise refusal(f"Let the window begin at most {MAX_UNITS[unit]} {unit}s ago, which are a hundred years.")
        return ending_ago


class Fixed(Part):
    """Whole local days, both included."""

    type: Literal["fixed"]
    first: Annotated[LocalDate, Field(alias="from")]
    last: Annotated[LocalDate, Field(alias="to")]

    @field_validator("last")
    @classmethod
    def _is_not_before_the_first(cls, last: LocalDate, given: ValidationInfo) -> LocalDate:
        first = given.data.get("first")
        if first and last < first:
            raise refusal(f"Give a day that is not before {first}, where the window begins.")
        return last


class Since(Part):
    """From the beginning of a local day until now."""

    type: Literal["since"]
    date: LocalDate


class AllTime(Part):
    """Everything until now."""

    type: Literal["all_time"]


Window: TypeAlias = Annotated[Last | Fixed | Since | AllTime, Field(discriminator="type")]
