"""The model: the *shingles* of a text are its runs of five characters, case and white space folded. Two texts are *near* if the Jaccard
index of their sets of shingles is 0.8 or more.

Of a set of n, ordered by how rare its members are, the first n - ceil(0.8 n) + 1 hold at
least one that a near set has among its own first ones (Chaudhuri, Ganti and Kaushik 2006; Bayardo, Ma and Srikant 2007). So only pairs that
share a rare shingle are compared, and all that is near is found, unless a text shares its rare ones with too many.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

NEAR = 0.8
LENGTH = 5
"""Characters of a shingle. A text that is shorter has none, and is near nothing."""
_MULTIPLIERS = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0xD6E8FEB86659FD93, 0xA0761D6478BD642F], np.uint64)
_PAIRS = 1 << 21
"""Candidates that are looked at together: what memory they take."""

_COMPARED = 50
"""Of each text, candidates by its rarest shingles: without a bound, texts made by one template would be compared each with each."""

Hashes = npt.NDArray[np.uint64]
Indices = npt.NDArray[np.int64]


def near_ones(texts: Sequence[str], others: Sequence[str]) -> dict[int, tuple[int, float]]:
    """By the place of each text that one of the others is near to: the place of the first such other, and their Jaccard index."""
    hashes, ends = _shingles([*texts, *others])
    counts = np.diff(ends, prepend=0)
    owners = np.repeat(np.arange(len(counts)), counts)
    _, ids, frequency = np.unique(hashes, return_inverse=True, return_counts=True)
    order = np.lexsort((hashes, frequency[ids], owners))  # of each text, the rarest first
    rank = np.arange(len(hashes)) - np.repeat(ends - counts, counts)
    first = order[rank < np.repeat(counts - np.ceil(NEAR * counts - 1e-9).astype(np.int64) + 1, counts)]
    of_texts, of_others = first[owners[first] < len(texts)], first[owners[first] >= len(texts)]
    of_others = of_others[np.argsort(ids[of_others], kind="stable")]
    sets = [hashes[end - count : end] for end, count in zip(ends, counts, strict=True)]
    found: dict[int, tuple[int, float]] = {}
    for left, right in _candidates(ids, owners, of_texts, of_others):
        fits = np.minimum(counts[left], counts[right]) >= NEAR * np.maximum(counts[left], counts[right])
        for one, two in zip(left[fits].tolist(), right[fits].tolist(), strict=True):
            if one in found:  # texts that are nearly all alike would be compared each with each
                continue
            shared = np.intersect1d(sets[one], sets[two], assume_unique=True).size
            index = shared / (counts[one] + counts[two] - shared)
            if index >= NEAR:
                found[one] = two - len(texts), float(index)
    return found


def _candidates(ids: Indices, owners: Indices, of_texts: Indices, of_others: Indices) -> Iterator[tuple[Indices, Indices]]:
    """Distinct pairs of a text and another that share one of their first shingles, in portions, in order."""
    low = np.searchsorted(ids[of_others], ids[of_texts], "left")
    pairs = np.searchsorted(ids[of_others], ids[of_texts], "right") - low
    reached = np.cumsum(pairs)
    begins = np.searchsorted(owners[of_texts], owners[of_texts], "left")
    within = reached - (reached - pairs)[begins] <= _COMPARED
    of_texts, low, pairs = of_texts[within], low[within], pairs[within]
    portions = np.cumsum(np.bincount(owners[of_texts], pairs)) // _PAIRS  # by text
    for portion in np.unique(portions):
        here = np.flatnonzero(portions[owners[of_texts]] == portion)
        many = pairs[here]
        offsets = np.arange(many.sum()) - np.repeat(np.cumsum(many) - many, many)
        left = np.repeat(owners[of_texts[here]], many)
        right = owners[of_others[np.repeat(low[here], many) + offsets]]
        base = owners[-1] + 1
        both = np.unique(left * base + right)
        yield both // base, both % base


def _shingles(texts: Sequence[str]) -> tuple[Hashes, Indices]:
    """Hashes of the distinct shingles of all texts, sorted in each, and where those of each end."""
    plain = [" ".join(text.casefold().split()) for text in texts]
    codes = np.frombuffer("".join(plain).encode("utf-32-le"), np.uint32).astype(np.uint64)
    owners = np.repeat(np.arange(len(plain)), [len(text) for text in plain])
    windows = max(0, len(codes) - LENGTH + 1)
    hashes = np.zeros(windows, np.uint64)
    for place, multiplier in enumerate(_MULTIPLIERS):
        hashes += codes[place : place + windows] * multiplier
    hashes ^= hashes >> np.uint64(29)
    inside = owners[:windows] == owners[LENGTH - 1 :] if windows else np.zeros(0, bool)
    hashes, owners = hashes[inside], owners[:windows][inside]
    order = np.lexsort((hashes, owners))
    hashes, owners = hashes[order], owners[order]
    new = np.ones(len(hashes), bool)
    new[1:] = (hashes[1:] != hashes[:-1]) | (owners[1:] != owners[:-1])
    return hashes[new], np.searchsorted(owners[new], np.arange(len(plain)), "right")
