"""The model: *known types* are those that were met before, with their projections: most tokens of the next batch are of one.
The first to come are kept, since frequent types come early; those that there is no room for are *passing*, for one batch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.annotate.fast.indexes import Index
from pipelines.annotate.fast.window_net import Projections, Table, Types

Project = Callable[[npt.NDArray[Any], Projections], None]
"""Adds the projections of keys to an array of (places, keys, channels)."""


class KnownTypes:
    """The known types of one table."""

    def __init__(self, index: Index, project: Project, offsets: tuple[int, ...], channels: int, most: int) -> None:
        """`most` types are kept, as `index`, still empty, numbers them; `offsets` are the table's."""
        self._index, self._project, self._most = index, project, most
        self._table = Table(offsets, np.zeros((len(offsets), most + 1, channels), np.int16))

    @property
    def offsets(self) -> tuple[int, ...]:
        """Those of the table."""
        return self._table.offsets

    def numbers(self, keys: npt.NDArray[Any]) -> tuple[Types, Table]:
        """Number of each key, none of which is there twice, and the table that holds its projections under that number.

        The table is only good until the next call. What it holds never shows in a label.
        """
        numbers = self._index.find(keys)
        unknown = np.flatnonzero(numbers < 0)
        if len(self._index) + unknown.size > self._most and 2 * unknown.size > keys.size:
            self._index.clear()  # text of another kind has begun
            unknown = np.arange(keys.size)
        first, room = len(self._index), self._most - len(self._index)
        kept, passing = unknown[:room], unknown[room:]
        self._index.add(keys[kept])
        for start, new in ((first, kept), (self._most, passing)):
            self._fill(start, keys[new])
            numbers[new] = np.arange(start, start + new.size)
        return numbers, self._table

    def _fill(self, first: int, keys: npt.NDArray[Any]) -> None:
        """Put the projections of keys under the numbers from `first` on."""
        if not keys.size:
            return
        offsets, old = self._table
        end = first + 1 + keys.size
        if end > old.shape[1]:
            self._table = Table(offsets, np.zeros((len(offsets), end + self._most // 4, old.shape[2]), np.int16))
            self._table.projections[:, : old.shape[1]] = old
        out = self._table.projections[:, first + 1 : end]
        out[:] = 0
        self._project(keys, out)
