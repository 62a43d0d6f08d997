"""Windows as moments: from days of the project's calendar to intervals of time. Used by `cohorts/compile/plan.py`.

Mixpanel: a window of days, weeks or months begins and ends at local midnight and includes today so far; hours are exact
(contract/mixpanel.md, 4.4). All arithmetic with days happens here, in Python's timezone data, and the database gets
moments: a day's length differs where clocks change, and a day that a timezone skipped is empty.
"""

from __future__ import annotations

import calendar
import datetime as dt
from dataclasses import dataclass, replace
from zoneinfo import ZoneInfo

from cohorts.definition import AllTime, Fixed, Last, Period, Since, Window

_HOUR = dt.timedelta(hours=1)
_DAY = dt.timedelta(days=1)


@dataclass(frozen=True)
class Interval:
    """From `start`, included, to `end`, included or not; None is unbounded. Both in UTC."""

    start: dt.datetime | None
    end: dt.datetime | None
    is_end_included: bool = False

    def until(self, moment: dt.datetime) -> Interval:
        """Return the part that lies not after the moment."""
        if self.end is not None and self.end <= moment:
            return self
        return replace(self, end=moment, is_end_included=True)


@dataclass(frozen=True)
class Clock:
    """Now, as all windows of one evaluation see it, in the project's timezone."""

    now: dt.datetime
    zone: ZoneInfo

    @property
    def today(self) -> dt.date:
        """The local day of now."""
        return self.now.astimezone(self.zone).date()

    def midnight(self, day: dt.date) -> dt.datetime:
        """Return when a local day begins.

        Where the clock shows midnight twice it is the first time; where it skips midnight, the moment that was due.
        """
        return dt.datetime.combine(day, dt.time(), tzinfo=self.zone).astimezone(dt.UTC)

    def days(self, first: dt.date, last: dt.date) -> Interval:
        """Return whole local days, both included."""
        return Interval(self.midnight(first), self.midnight(last + _DAY))

    def last(self, period: Period, *, ending_ago: int = 0) -> Interval:
        """Return the last so many hours, days, weeks or months; nothing after now."""
        if period.unit == "hour":
            end = self.now - ending_ago * _HOUR
            return Interval(end - period.value * _HOUR, end, is_end_included=True)
        first = moved(self.today, period.unit, -(period.value + ending_ago))
        last = moved(self.today, period.unit, -ending_ago)
        return self.days(first, last).until(self.now)

    def next(self, period: Period) -> Interval:
        """Return the next so many hours, or the rest of today and so many days, weeks or months."""
        if period.unit == "hour":
            return Interval(self.now, self.now + period.value * _HOUR, is_end_included=True)
        last = moved(self.today, period.unit, period.value)
        return Interval(self.now, self.midnight(last + _DAY))

    def window(self, window: Window) -> Interval:
        """Return the interval of a window; nothing after now."""
        match window:
            case Last():
                return self.last(window, ending_ago=window.ending_ago or 0)
            case Fixed():
                return self.days(window.first, window.last).until(self.now)
            case Since():
                return Interval(self.midnight(window.date), None).until(self.now)
            case AllTime():
                return Interval(None, None).until(self.now)


def moved(day: dt.date, unit: str, count: int) -> dt.date:
    """Return the day so many days, weeks or months later; a shorter month's last day stands for those it lacks."""
    if unit == "month":
        month = day.year * 12 + day.month - 1 + count
        year, month = month // 12, month % 12 + 1
        return dt.date(year, month, min(day.day, calendar.monthrange(year, month)[1]))
    return day + count * (_DAY if unit == "day" else 7 * _DAY)
