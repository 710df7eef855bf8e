"""The model: a *shingle* is some units (words or characters, see `pipelines.units`) in a row, and a text is the set of its
shingles. A *signature* holds, for each of many hash functions, the smallest hash of a text's shingles: two texts agree at a
place as often as their sets overlap (Broder 1997, "On the resemblance and containment of documents"), so the share of equal
places estimates the Jaccard similarity of the sets.

A signature is cut into *bands* of rows. Texts that agree in a whole band are worth comparing: with b bands of r rows a
pair of similarity J meets with probability 1 - (1 - J^r)^b.

A text with fewer units than a shingle has none, and no signature: only exact duplicates of it are found. Of each hash 16
bits are kept (Li and König 2010, "b-bit minwise hashing": equal by chance once in 65,536).

All is integer arithmetic on arrays: the same on every machine.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache

import numpy as np
import numpy.typing as npt

from pipelines.characters import codes_of
from pipelines.span_hashes import GOLDEN, Hashes, Ints, mixed
from pipelines.units import find_units, stands, unit_hashes

Signatures = npt.NDArray[np.uint16]

_GROUP_CHARS = 1 << 17
"""Characters to look for units in at a time: the arrays stay in cache."""
_BLOCK = 1 << 15
"""Shingles to hash at a time, for the same reason."""


def signatures(texts: Sequence[str], *, ngram: int, hashes: int, seed: int) -> tuple[Signatures, npt.NDArray[np.bool_]]:
    """Signatures of texts, shape (texts, hashes), and which texts have one (zeros stand for the others).

    A text's signature doesn't depend on its neighbours.
    """
    found = np.zeros((len(texts), hashes), np.uint16)
    whole = np.zeros(len(texts), np.bool_)
    for first, last in _groups(texts):
        shingles, counts = shingle_hashes(texts[first:last], ngram)
        filled = np.flatnonzero(counts)
        if filled.size:
            found[first + filled] = _smallest(shingles, np.cumsum(counts[filled]) - counts[filled], _multipliers(hashes, seed))
            whole[first + filled] = True
    return found, whole


def shingle_hashes(texts: Sequence[str], ngram: int) -> tuple[npt.NDArray[np.uint32], Ints]:
    """A hash for every place where a shingle starts, text after text, and the number of them in each text."""
    units, per_text = _unit_hashes(texts)
    starts = max(0, units.size - ngram + 1)
    value = np.zeros(starts, np.uint64)
    for place in range(ngram):
        value *= GOLDEN
        value += units[place : place + starts]
    counts = np.maximum(per_text - (ngram - 1), 0)
    bounds = np.cumsum(per_text)
    inside = np.zeros(starts + 1, np.int8)  # a shingle must not reach from one text into the next
    np.add.at(inside, (bounds - per_text)[counts > 0], 1)
    np.add.at(inside, np.minimum(bounds - ngram + 1, starts)[counts > 0], -1)
    within = np.cumsum(inside[:-1], dtype=np.int8).view(np.bool_)
    return (mixed(value[within]) >> np.uint64(32)).astype(np.uint32), counts


def band_keys(found: Signatures, bands: int) -> Hashes:
    """A key for each band of each signature, shape (signatures, bands); equal rows of one band give equal keys."""
    rows = found.reshape(len(found), bands, found.shape[1] // bands)
    keys = np.broadcast_to(np.arange(1, bands + 1, dtype=np.uint64), rows.shape[:2]).copy()
    for row in range(rows.shape[2]):
        keys *= GOLDEN
        keys += rows[:, :, row]
    return mixed(keys)


def agreements(left: Signatures, right: Signatures) -> Ints:
    """In how many places signatures agree, row by row."""
    return np.count_nonzero(left == right, axis=1)


def _groups(texts: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Ranges of texts that hold up to `_GROUP_CHARS` characters, new lines between them counted; a longer text is alone."""
    first = chars = 0
    for number, text in enumerate(texts):
        if number > first and chars + len(text) + 1 > _GROUP_CHARS:
            yield first, number
            first, chars = number, 0
        chars += len(text) + 1
    if len(texts) > first:
        yield first, len(texts)


def _unit_hashes(texts: Sequence[str]) -> tuple[Hashes, Ints]:
    """The hash of each unit, text after text, and the number of units in each text."""
    codes = codes_of("\n".join(texts) + "\n")
    starts, ends = find_units(stands()[codes])
    behind = np.cumsum(np.fromiter(map(len, texts), np.int64, len(texts)) + 1)
    return unit_hashes(codes, starts, ends), np.diff(np.searchsorted(starts, behind), prepend=0)


def _smallest(shingles: npt.NDArray[np.uint32], starts: Ints, multipliers: npt.NDArray[np.uint32]) -> Signatures:
    """The low 16 bits of the smallest hash of each text's shingles under each function, shape (texts, functions).

    The functions are multiplications by odd numbers modulo 2**32: shingles are well mixed before.
    """
    best = np.full((len(multipliers), starts.size), 0xFFFFFFFF, np.uint32)
    product = np.empty(min(_BLOCK, shingles.size), np.uint32)
    for begin in range(0, shingles.size, _BLOCK):
        block = shingles[begin : begin + _BLOCK]
        first, last = np.searchsorted(starts, [begin, begin + block.size], side="left")
        goes_on = first == starts.size or starts[first] > begin  # the block before ended inside a text
        texts = slice(first - goes_on, last)
        bounds = np.maximum(starts[texts] - begin, 0)
        for row, multiplier in zip(best, multipliers, strict=True):
            np.multiply(block, multiplier, out=product[: block.size])
            np.minimum(row[texts], np.minimum.reduceat(product[: block.size], bounds), out=row[texts])
    return best.T.astype(np.uint16)


@cache
def _multipliers(hashes: int, seed: int) -> npt.NDArray[np.uint32]:
    numbers = np.arange(1, hashes + 1, dtype=np.uint64) + (np.uint64(seed) << np.uint64(32))
    return (mixed(numbers * GOLDEN) >> np.uint64(32)).astype(np.uint32) | np.uint32(1)
