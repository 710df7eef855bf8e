"""The model: a *column* is a file of numbers of one type, nothing else, appended to while it is written and memory-mapped when it
is read: so all processes of a machine share one copy, and what isn't looked at takes no memory.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

TYPES = {
    "keys": "<u8",
    "starts": "<i8",
    "lengths": "<u4",
    "units": "<u4",
    "postings": "<i8",
    "items": "<u4",
    "counts": "<u4",
    "spelled": "<u4",
    "filter": "|u1",
}
"""Name and type of each column of an index (`pipelines.contamination.index`)."""

Column = npt.NDArray[Any]


def append(folder: Path, **columns: Column) -> None:
    """Append to columns."""
    for name, values in columns.items():
        with open(folder / name, "ab") as file:
            file.write(np.ascontiguousarray(values, TYPES[name]).data)


def mapped(folder: Path, name: str) -> Column:
    """A column that is not empty, memory-mapped."""
    return np.memmap(folder / name, TYPES[name], mode="r").view(np.ndarray)


def part(folder: Path, name: str, start: int, end: int) -> Column:
    """Some rows of a column, read into memory."""
    kind = np.dtype(TYPES[name])
    return np.fromfile(folder / name, kind, count=end - start, offset=start * kind.itemsize)
