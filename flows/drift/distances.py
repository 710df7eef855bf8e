"""The model: a *distance* is a number that two groups of documents have, 0 if they are alike. Each is a function of *sums* over the
documents of a group, so a thousand ways to divide the same documents cost one product of matrices.

`shuffled` asks how large distances become by chance alone (a permutation test, Fisher 1935; Good 2005): which documents are new is drawn
anew, many times. A document is the unit that is drawn, never a token, as words of one text go together.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Distance = Callable[[npt.NDArray[np.bool_]], Floats]
"""bool [draws, documents] that tell the new documents of each draw, to [draws] distances."""

_BLOCK = 1 << 21
"""Draws times documents that are held at once."""


def mix(counts: npt.NDArray[np.int64]) -> Distance:
    """Jensen-Shannon divergence, in bits, of what [documents, kinds] counts of two groups come to (Lin 1991): 0 to 1."""
    return _of_sums(counts, lambda new, old: _jensen_shannon(new, old))


def relative_change(top: npt.NDArray[np.int64], bottom: npt.NDArray[np.int64]) -> Distance:
    """How far the ratio of two sums is from that of the old documents, in shares of it, up or down."""
    return _of_sums(np.column_stack([top, bottom]), lambda new, old: np.abs(_ratio(new) / _ratio(old) - 1))


def relative_rise(top: Floats, bottom: Floats) -> Distance:
    """The same, up alone; what falls is below 0."""
    return _of_sums(np.column_stack([top, bottom]), lambda new, old: _ratio(new) / _ratio(old) - 1)


def rise(top: npt.NDArray[np.int64], bottom: npt.NDArray[np.int64]) -> Distance:
    """How much the ratio of two sums is above that of the old documents; what falls is below 0."""
    return _of_sums(np.column_stack([top, bottom]), lambda new, old: _ratio(new) - _ratio(old))


def kolmogorov_smirnov(values: npt.NDArray[np.int64]) -> Distance:
    """The greatest difference of the two groups' distribution functions: 0 to 1."""
    order = np.argsort(values, kind="stable")
    last = np.append(np.diff(values[order]) != 0, True)  # of equal values, all count at once

    def distance(is_new: npt.NDArray[np.bool_]) -> Floats:
        new = np.cumsum(is_new[:, order], axis=1, dtype=np.int32)[:, last]
        old = np.flatnonzero(last) + 1 - new
        found: Floats = np.abs(new / new[:, -1:] - old / old[:, -1:]).max(axis=1)
        return found

    return distance


def shuffled(distance: Distance, is_new: npt.NDArray[np.bool_], draws: int, seed: int) -> tuple[float, float]:
    """The distance, and the share of draws in which it is at least as great, this one among them."""
    found = float(distance(is_new[None])[0])
    generator = np.random.Generator(np.random.Philox(seed))
    at_least, left = 1, draws
    while left:
        block = min(left, max(1, _BLOCK // len(is_new)))
        drawn = generator.permuted(np.broadcast_to(is_new, (block, len(is_new))), axis=1)
        at_least += int((distance(drawn) >= found - 1e-12).sum())
        left -= block
    return found, at_least / (draws + 1)


def _of_sums(values: npt.NDArray[np.int64] | Floats, of: Callable[[Floats, Floats], Floats]) -> Distance:
    """`of` takes [draws, k] sums over new and over old documents."""
    columns = values.astype(np.float64)
    whole = columns.sum(axis=0)

    def distance(is_new: npt.NDArray[np.bool_]) -> Floats:
        new = is_new.astype(np.float64) @ columns
        return of(new, whole - new)

    return distance


def _ratio(sums: Floats) -> Floats:
    ratio: Floats = sums[:, 0] / np.maximum(sums[:, 1], 1e-300)
    return ratio


def _jensen_shannon(one: Floats, other: Floats) -> Floats:
    p, q = (sums / np.maximum(sums.sum(axis=1, keepdims=True), 1e-300) for sums in (one, other))
    found: Floats = _entropy((p + q) / 2) - (_entropy(p) + _entropy(q)) / 2
    return np.maximum(found, 0)


def _entropy(shares: Floats) -> Floats:
    found: Floats = -(shares * np.log2(np.where(shares > 0, shares, 1))).sum(axis=1)
    return found
