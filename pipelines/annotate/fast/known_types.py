"""The model: *known types* are those that were met before, with their projections: most tokens of the next batch are of one.
The first to come are kept, since frequent types come early; those that there is no room for are *passing*, for one batch.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

import numpy as np

from pipelines.annotate.fast.window_net import Projections, Table, Types

Project = Callable[[list[Any], Projections], None]
"""Adds the projections of keys to an array of (places, keys, channels)."""


class KnownTypes:
    """The known types of one table."""

    def __init__(self, project: Project, offsets: tuple[int, ...], channels: int, most: int) -> None:
        """`most` types are kept; `offsets` are the table's."""
        self._project, self._most = project, most
        self._number: dict[Hashable, int] = {}
        self._table = Table(offsets, np.zeros((len(offsets), most + 1, channels), np.int16))

    @property
    def offsets(self) -> tuple[int, ...]:
        """Those of the table."""
        return self._table.offsets

    def numbers(self, keys: list[Any]) -> tuple[Types, Table]:
        """Number of each key, none of which is there twice, and the table that holds its projections under that number.

        The table is only good until the next call. What it holds never shows in a label.
        """
        unknown = [key for key in keys if key not in self._number]
        if len(self._number) + len(unknown) > self._most and 2 * len(unknown) > len(keys):
            self._number.clear()  # text of another kind has begun
            unknown = keys
        first, room = len(self._number), self._most - len(self._number)
        kept, passing = unknown[:room], unknown[room:]
        self._fill(first, kept)
        self._fill(self._most, passing)
        self._number.update(zip(kept, range(first, first + len(kept)), strict=True))
        self._number.update(zip(passing, range(self._most, self._most + len(passing)), strict=True))
        numbers = np.fromiter(map(self._number.__getitem__, keys), np.int32, len(keys))
        for key in passing:
            del self._number[key]
        return numbers, self._table

    def _fill(self, first: int, keys: list[Any]) -> None:
        """Put the projections of keys under the numbers from `first` on."""
        if not keys:
            return
        offsets, old = self._table
        end = first + 1 + len(keys)
        if end > old.shape[1]:
            self._table = Table(offsets, np.zeros((len(offsets), end + self._most // 4, old.shape[2]), np.int16))
            self._table.projections[:, : old.shape[1]] = old
        out = self._table.projections[:, first + 1 : end]
        out[:] = 0
        self._project(keys, out)
