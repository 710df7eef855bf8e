"""The model: *hiding* chooses *words* of each row, runs of tokens, in a random order until their tokens make up the share, and writes
over them as BERT does (Devlin et al., arXiv:1810.04805): 80 % become the mask token, 10 % another, 10 % stay as they are.

A word is hidden whole or not at all. What is *fixed*, special tokens and filling, is no part of a word and never hidden.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.draws import HIDE, draw, unit

IGNORED = -100
MASKED, REPLACED = 0.8, 0.9
"""Below the first a token becomes the mask; below the second, another."""

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Hidden:
    """Rows with hidden tokens; int64 arrays."""

    ids: Ints
    """[rows, time] with hidden tokens written over."""
    places: Ints
    """[rows, most] of hidden tokens in their row, ascending; what is beyond them says nothing."""
    targets: Ints
    """[rows, most] what they were; `IGNORED` beyond them."""


@dataclass(frozen=True)
class Hiding:
    """How tokens are hidden."""

    share: float
    mask: int
    ordinary: Ints
    """Ids that are no special tokens."""
    seed: int

    def most(self, time: int) -> int:
        """Tokens of a row that are hidden at the most."""
        return max(int(self.share * time + 0.5), 1)

    def hide(self, ids: Ints, starts: NDArray[np.bool_], fixed: NDArray[np.bool_], samples: Ints) -> Hidden:
        """Rows [rows, time], where words begin in them, what is fixed, and the rows' global numbers [rows]."""
        rows, time = ids.shape
        order, fate, other = draw(self.seed, samples, HIDE, 3 * time).reshape(rows, 3, time).swapaxes(0, 1)
        hidden = self._choose(starts, fixed, order)
        written = np.where(unit(fate) < MASKED, self.mask, self.ordinary[(unit(other) * len(self.ordinary)).astype(np.int64)])
        written = np.where(hidden & (unit(fate) < REPLACED), written, ids)
        places = np.argsort(~hidden, axis=1, kind="stable")[:, : self.most(time)]
        targets = np.where(np.take_along_axis(hidden, places, 1), np.take_along_axis(ids, places, 1), IGNORED)
        return Hidden(written, places, targets)

    def _choose(self, starts: NDArray[np.bool_], fixed: NDArray[np.bool_], order: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Which tokens are hidden: words in the order of numbers drawn for their first tokens, as far as they fit into the share; a
        word that is longer than that alone is left out."""
        rows, time = starts.shape
        begins = starts | fixed
        begins[:, 0] = True
        begins[:, 1:] |= fixed[:, :-1]
        word = np.cumsum(begins, axis=1) - 1
        length = np.bincount((np.arange(rows)[:, None] * time + word).ravel(), minlength=rows * time).reshape(rows, time)
        free = (~fixed).sum(axis=1, keepdims=True)
        room = np.where(free, np.maximum((self.share * free + 0.5).astype(np.int64), 1), 0)
        last = np.full((rows, time), np.iinfo(np.uint64).max, dtype=np.uint64)  # in the order, what can't be hidden comes last
        row, first = np.nonzero(begins & ~fixed)
        at = word[row, first]
        fitting = length[row, at] <= room[row, 0]
        last[row[fitting], at[fitting]] = order[row[fitting], first[fitting]] >> np.uint64(1)
        turn = np.argsort(last, axis=1, kind="stable")
        taken = np.where(np.take_along_axis(last, turn, 1) < np.iinfo(np.uint64).max, np.take_along_axis(length, turn, 1), time + 1)
        chosen = np.zeros((rows, time), dtype=np.bool_)
        np.put_along_axis(chosen, turn, np.cumsum(taken, axis=1) <= room, 1)
        return np.take_along_axis(chosen, word, 1)
