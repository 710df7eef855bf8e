"""The model: *known types* are those that were met before, with their projections: most tokens of the next batch are of one."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.annotate.fast.window_net import Projections


class KnownTypes:
    """The known types of one stream."""

    def __init__(self, project: Callable[[list[Any]], Projections], most: int) -> None:
        """`project` gives the projections of keys, as `WindowNet.tables` does; `most` types are kept."""
        self._project, self._most = project, most
        self._number: dict[Hashable, int] = {}
        self._table: Projections = np.zeros((0, 0, 0), np.int16)

    def numbers(self, keys: list[Any]) -> tuple[npt.NDArray[np.int32], Projections]:
        """Number of each key, none of which is there twice, and the table that holds its projections under that number.

        The table is emptied when it is full, so what it costs is bounded; what it holds never shows in a label.
        """
        unknown = [key for key in keys if key not in self._number]
        if len(self._number) + len(unknown) > self._most:
            self._number.clear()
            unknown = keys
        if len(unknown) > self._most:
            return np.arange(len(keys), dtype=np.int32), self._project(keys)
        if unknown:
            first = len(self._number)
            fresh = self._project(unknown)
            if not self._table.size:
                self._table = np.zeros((fresh.shape[0], self._most + 1, fresh.shape[2]), np.int16)
            self._table[:, first + 1 : first + 1 + len(unknown)] = fresh[:, 1:]
            self._number.update(zip(unknown, range(first, first + len(unknown)), strict=True))
        return np.fromiter(map(self._number.__getitem__, keys), np.int32, len(keys)), self._table
