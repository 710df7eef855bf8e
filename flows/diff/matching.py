"""The model: two lists of ids are *matched* by sorting them as one: equal ids end up side by side, and are *partners*."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from schemas.artifact import Damaged

Ids = npt.NDArray[np.uint64]
"""uint64 [rows, 2]: ids in two big-endian halves, so that they sort as their bytes do."""
Rows = npt.NDArray[np.int64]


class Matched(NamedTuple):
    """Numbers of rows, each in its list's order."""

    a: Rows
    """Rows of A that have a partner."""
    b: Rows
    """Their partners in B, in the order of A."""
    only_a: Rows
    only_b: Rows


def match(a: Ids, b: Ids, where: tuple[str, str]) -> Matched:
    """Match two lists of ids. Raises `Damaged` if one has an id twice; `where` says what the two are."""
    both = np.concatenate([a, b])
    order = np.lexsort((both[:, 1], both[:, 0]))  # stable: of two equal ids, A's comes first
    equal = (both[order[1:]] == both[order[:-1]]).all(axis=1)
    first, second = order[:-1][equal], order[1:][equal]
    twice = (first < len(a)) == (second < len(a))
    if twice.any():
        row = int(first[twice][0])
        name = where[0] if row < len(a) else where[1]
        raise Damaged(f"{name}: document {both[row].astype('>u8').tobytes().hex()} is there twice; audit it")
    in_order = np.argsort(first)
    first, second = first[in_order], second[in_order] - len(a)
    alone = np.ones(len(both), bool)
    alone[first], alone[second + len(a)] = False, False
    return Matched(first, second, np.flatnonzero(alone[: len(a)]), np.flatnonzero(alone[len(a) :]))
