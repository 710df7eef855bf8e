"""The model: the *lines* of a sweep are for people: what stays, what goes, and the sum; and a time as they write it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from flows.progress import quantity
from flows.rejects import visible
from schemas.errors import RequestError

_UNITS = {"d": 86400.0, "h": 3600.0}


def seconds(time: str) -> float:
    """Seconds of a time in days or hours: `7d`, `12h`, `1.5d`. Raises `RequestError`.

    >>> seconds("12h")
    43200.0
    """
    if not re.fullmatch(r"\d+(\.\d+)?[dh]", time, re.ASCII):
        raise RequestError(f"--grace {time!r} is no time: write days or hours, as 7d or 12h")
    return float(time[:-1]) * _UNITS[time[-1]]


def lines_of(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """A line a thing, what stays first, and the sum."""
    for stays in (True, False):
        for row in (row for row in rows if row["stays"] == stays):
            sign = "stays" if stays else "goes"
            yield f"{sign:<6} {row['what']:<10} {quantity(row['bytes'], 'bytes'):>9}  {visible(row['path'])}: {visible(row['why'])}"
    stay, go = ([row["bytes"] for row in rows if row["stays"] == stays] for stays in (True, False))
    yield f"{quantity(sum(stay), 'bytes')} in {len(stay):,} stay, {quantity(sum(go), 'bytes')} in {len(go):,} may go"


def question(size: int) -> str:
    """What a person is asked."""
    return f"Remove {quantity(size, 'bytes')}?"
