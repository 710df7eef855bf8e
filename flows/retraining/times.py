"""The model: a *window* (`retrain.frozen`) is a time of the week, in UTC, in which no retraining begins and nothing is promoted. One whose
end is not behind its start ends on the next day; one whose end is its start lasts a day.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, time, timedelta

from schemas.recipe import Window

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY = timedelta(days=1)
_WEEK = 7 * _DAY


def frozen_until(windows: Iterable[Window], now: datetime) -> datetime | None:
    """When the windows end that `now` is in, as far as one runs into the next; None: it is in none. Windows that leave no time of the
    week free are left a week from now."""
    every, until = tuple(windows), now.astimezone(UTC)
    limit = until + _WEEK
    while until < limit and (ends := [end for start, end in _around(every, until) if start <= until < end]):
        until = min(max(ends), limit)
    return until if until > now else None


def _around(windows: Iterable[Window], moment: datetime) -> Iterable[tuple[datetime, datetime]]:
    """Beginning and end of each window on the day of a moment and on the day before: none is longer than a day."""
    for window in windows:
        for day in (moment.date() - _DAY, moment.date()):
            if _DAYS[day.weekday()] in window.days:
                start, end = (datetime.combine(day, time.fromisoformat(one), UTC) for one in (window.start, window.end))
                yield start, end if end > start else end + _DAY


def spoken(seconds: float) -> str:
    """A length of time as people say it: 90 s, 5 min, 3.5 h, 2 days.

    >>> [spoken(seconds) for seconds in (40, 300, 12600, 172800)]
    ['40 s', '5 min', '3.5 h', '2 days']
    """
    for size, unit in ((86400.0, "days"), (3600.0, "h"), (60.0, "min")):
        if seconds >= size * (2 if unit == "days" else 1):
            return f"{seconds / size:.1f}".removesuffix(".0") + f" {unit}"
    return f"{seconds:.0f} s"
