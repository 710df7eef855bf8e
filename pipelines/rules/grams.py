"""The model: an *n-gram* is n pieces of a text in a row. Of the *top* n-gram, the one that stands there most often, we ask how many
characters all its occurrences have; of *duplicate* n-grams, of which an equal one starts earlier, how many characters stand in any of
them, each counted once (Rae et al. 2021, table A1).

An n-gram that repeats begins with an (n-1)-gram that repeats, so each length looks only at what the one before has left: in prose, a
fifth after pairs and nearly nothing after five.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.span_hashes import GOLDEN, Hashes, Ints

TOP = (2, 3, 4)
DUPLICATE = (5, 6, 7, 8, 9, 10)


def repeated_characters(hashes: Hashes, lengths: Ints, per_text: Ints, gap: int) -> Mapping[str, Ints]:
    """Characters in repeated n-grams of each text, by signal.

    `hashes` and `lengths` are the pieces', `per_text` how many each text has; `gap` characters stand between the pieces of an n-gram.
    """
    texts = per_text.size
    text = np.repeat(np.arange(texts), per_text)
    ends = np.repeat(np.cumsum(per_text), per_text)
    before = np.concatenate(([0], np.cumsum(lengths)))
    found: dict[str, Ints] = {}
    at = np.arange(hashes.size)
    rolled = hashes
    for n in range(2, DUPLICATE[-1] + 1):
        fits = at + n <= ends[at]
        at, rolled = at[fits], rolled[fits]
        rolled = rolled * GOLDEN + hashes[at + (n - 1)]
        counts, first, repeats = _count(rolled * GOLDEN + text[at].astype(np.uint64))
        if n in TOP:
            tops = at[first]
            found[f"top_{n}gram"] = _top(counts, tops, text[tops], before[tops + n] - before[tops] + gap * (n - 1), texts)
        else:
            later = repeats.copy()
            later[first] = False
            found[f"duplicate_{n}gram"] = _covered(at[later], n, text, lengths, texts)
        at, rolled = at[repeats], rolled[repeats]
    return found


def _count(keys: Hashes) -> tuple[Ints, Ints, npt.NDArray[np.bool_]]:
    """Of each distinct key that stands more than once, how often it does and where first; and whether each key is such a one."""
    repeats = np.zeros(keys.size, np.bool_)
    if not keys.size:
        return np.zeros(0, np.int64), np.zeros(0, np.int64), repeats
    order = np.argsort(keys)
    starts = runs(keys[order])
    counts = np.diff(starts, append=keys.size)
    more = counts > 1
    order = order[np.repeat(more, counts)]
    repeats[order] = True
    counts = counts[more]
    first = np.minimum.reduceat(order, np.cumsum(counts) - counts) if counts.size else np.zeros(0, np.int64)
    return counts, first, repeats


def runs(values: npt.NDArray[Any]) -> Ints:
    """Where runs of equal values start; `values` is not empty."""
    return np.concatenate(([0], np.flatnonzero(values[1:] != values[:-1]) + 1))


def _top(counts: Ints, at: Ints, text: Ints, lengths: Ints, texts: int) -> Ints:
    """Characters in all occurrences of each text's most frequent n-gram; of equally frequent ones the first's."""
    best = np.zeros(texts, np.int64)
    np.maximum.at(best, text, counts)
    winners = np.flatnonzero(counts == best[text])
    winners = winners[np.argsort(-at[winners])]  # of equals the first in the text, written last, stays
    covered = np.zeros(texts, np.int64)
    covered[text[winners]] = counts[winners] * lengths[winners]
    return covered


def _covered(at: Ints, n: int, text: Ints, lengths: Ints, texts: int) -> Ints:
    """Characters of the pieces that stand in any of the n-grams which start at `at`."""
    if not at.size:
        return np.zeros(texts, np.int64)
    edges = np.zeros(text.size + 1, np.int32)
    edges[at] += 1
    edges[at + n] -= 1
    inside = np.cumsum(edges[:-1]) > 0
    return np.bincount(text[inside], lengths[inside], texts).astype(np.int64)
