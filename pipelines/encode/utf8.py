"""The model: a column of texts is *data*, the UTF-8 bytes of all of them in a row, and *bounds*, the byte offsets where each begins
and the last one ends. A *block* is texts of it that are worked on at once: what is computed of them takes some twenty times their memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

BLOCK_BYTES = 1 << 20
"""Of one block, unless it is a single longer text. From a quarter of it to four times as much take the same time, measured."""


def bytes_of(texts: pa.StringArray) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Data and bounds of a column of texts."""
    _, offsets, data = texts.buffers()
    bounds = np.frombuffer(offsets, np.int32)[texts.offset : texts.offset + len(texts) + 1].astype(np.int64)
    if data is None:
        return np.zeros(0, np.uint8), bounds
    return np.frombuffer(data, np.uint8)[bounds[0] : bounds[-1]], bounds - bounds[0]


def blocks(bounds: npt.NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Rows where blocks begin and end."""
    first, rows = 0, bounds.size - 1
    while first < rows:
        last = max(first + 1, int(np.searchsorted(bounds, bounds[first] + BLOCK_BYTES, side="right")) - 1)
        yield first, last
        first = last


def texts_of(data: npt.NDArray[np.uint8], bounds: npt.NDArray[np.int64], rows: Sequence[int]) -> list[str]:
    """Some of the texts."""
    return [data[bounds[row] : bounds[row + 1]].tobytes().decode() for row in rows]


def codes_at(data: npt.NDArray[np.uint8], at: npt.NDArray[np.int64]) -> npt.NDArray[np.uint32]:
    """Code points of the characters of UTF-8 whose first bytes, all of 0xC0 or more, are at these offsets; same shape."""
    first, second, third = (data.take(at + nth, mode="clip").astype(np.uint32) for nth in range(3))
    second &= 0x3F
    codes = (first & np.uint32(0xF)) << np.uint32(12)  # as if each were one of three bytes
    codes |= second << 6 | third & 0x3F
    two, four = np.flatnonzero(first < 0xE0), np.flatnonzero(first >= 0xF0)
    codes[two] = (first[two] & 0x1F) << 6 | second[two]
    codes[four] = (codes[four] & 0xFFF | (first[four] & 7) << 12) << 6 | data.take(at[four] + 3) & 0x3F
    return codes


def sums(values: npt.NDArray[np.int64], counts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The sum over each of the groups of `counts` values that follow each other."""
    ends = np.cumsum(counts)
    before = np.concatenate(([0], np.cumsum(values)))
    return before[ends] - before[ends - counts]
