"""The model: an *index* numbers keys from 0 in the order in which they are added. One for spellings is a dict; one for numbers is a hash
table on arrays (open addressing, linear probing: Knuth, vol. 3, 6.4), which looks up a batch at once.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from pipelines.annotate.fast.hashing import Hashes, mixed

Numbers = npt.NDArray[np.int32]


class Index(Protocol):
    """See the module; `keys` of a call are all different."""

    def __len__(self) -> int:
        """How many keys there are."""
        ...

    def find(self, keys: npt.NDArray[Any]) -> Numbers:
        """The number of each key, -1 if it isn't there."""
        ...

    def add(self, keys: npt.NDArray[Any]) -> None:
        """Number keys that aren't there."""
        ...

    def clear(self) -> None:
        """Forget all."""
        ...


class SpellingIndex:
    """Of bytes, in arrays of objects."""

    def __init__(self) -> None:
        self._number: dict[bytes, int] = {}

    def __len__(self) -> int:
        return len(self._number)

    def find(self, keys: npt.NDArray[np.object_]) -> Numbers:
        get = self._number.get
        return np.fromiter((get(key, -1) for key in keys.tolist()), np.int32, keys.size)

    def add(self, keys: npt.NDArray[np.object_]) -> None:
        first = len(self._number)
        self._number.update(zip(keys.tolist(), range(first, first + keys.size), strict=True))

    def clear(self) -> None:
        self._number.clear()


class NumberIndex:
    """Of numbers, uint64."""

    def __init__(self, most: int) -> None:
        """`most` keys fit in."""
        self._slots = 1 << (2 * most).bit_length()  # at most half full, so that a search is short
        self._size = 0
        self._keys = np.zeros(self._slots, np.uint64)
        self._numbers = np.full(self._slots, -1, np.int32)

    def __len__(self) -> int:
        return self._size

    def find(self, keys: Hashes) -> Numbers:
        slot = self._first_slots(keys)
        numbers = self._numbers.take(slot)
        going_on = np.flatnonzero((self._keys.take(slot) != keys) & (numbers >= 0))
        slot = slot[going_on]
        while going_on.size:
            slot = (slot + 1) & (self._slots - 1)
            found = self._numbers.take(slot)
            numbers[going_on] = found
            wrong = (self._keys.take(slot) != keys[going_on]) & (found >= 0)
            slot, going_on = slot[wrong], going_on[wrong]
        return numbers

    def add(self, keys: Hashes) -> None:
        numbers = np.arange(self._size, self._size + keys.size, dtype=np.int32)
        self._size += keys.size
        slot = self._first_slots(keys)
        while keys.size:
            free = np.flatnonzero(self._numbers.take(slot) < 0)
            self._numbers[slot[free]] = numbers[free]  # of several for one slot the last stays
            self._keys[slot[free]] = keys[free]
            homeless = self._numbers.take(slot) != numbers
            slot, keys, numbers = (slot[homeless] + 1) & (self._slots - 1), keys[homeless], numbers[homeless]

    def clear(self) -> None:
        self._size = 0
        self._numbers[:] = -1

    def _first_slots(self, keys: Hashes) -> npt.NDArray[np.intp]:
        return (mixed(keys) & np.uint64(self._slots - 1)).astype(np.intp)
