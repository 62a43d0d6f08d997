"""Moments as senders write them: epoch numbers (Mixpanel's SDKs) and texts (files). Used in steps 1 and 2."""

from __future__ import annotations

import datetime as dt
import re

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
# Mixpanel: times before 1971 are refused, since they are mistakes.
EARLIEST = dt.datetime(1971, 1, 1, tzinfo=dt.UTC)

_MILLISECONDS_FROM = 1e10
_LAST_SECOND = 253_402_300_799
_NUMBER = re.compile(r"-?\d{1,18}(\.\d+)?")
# As epoch seconds these would lie in 1970 and be refused, so they can only be dates.
_COMPACT_DATE = re.compile(r"(19|20)\d{6}")


def epoch_time(value: object) -> dt.datetime | None:
    """Return the moment a number, or a text holding one, stands for; None if it stands for none.

    From 1e10 on a number is milliseconds, below it is seconds (contract, 1.6), which covers 1971 to 2286.
    """
    if isinstance(value, str):
        if not _NUMBER.fullmatch(value):
            return None
        value = float(value) if "." in value else int(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if value >= _MILLISECONDS_FROM:
        if value > _LAST_SECOND * 1000:
            return None
        microseconds = round(value * 1000)
    elif value <= -_MILLISECONDS_FROM:
        return None
    else:
        microseconds = round(value * 1_000_000)
    return EPOCH + dt.timedelta(microseconds=microseconds)


def text_time(text: str) -> dt.datetime | None:
    """Return the moment a text stands for, ISO 8601 or an epoch number; without a zone it is UTC; None for none."""
    text = text.strip()
    if _NUMBER.fullmatch(text) and not _COMPACT_DATE.fullmatch(text):
        return epoch_time(text)
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        return None
    try:
        return moment.replace(tzinfo=dt.UTC) if moment.tzinfo is None else moment.astimezone(dt.UTC)
    except OverflowError:
        return None
