"""The model: a *spelling* is a string of code points with a 64-bit hash, the polynomial sum of code[j] * BASE^(j - start)
modulo 2^64. After one pass over an array the hash of any piece of it is two look-ups (Karp and Rabin, "Efficient
randomized pattern-matching algorithms", 1987). A hash is then mixed with a *salt*, so that every feature draws its own
*row* of an embedding table (Weinberger et al. 2009, arXiv:0902.2206).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.uint64]
Rows = npt.NDArray[np.int32]
Indices = npt.NDArray[np.int64]

_BASE = 0x9E3779B97F4A7C15 | 1
_INVERSE = pow(_BASE, -1, 1 << 64)
_MASK = (1 << 64) - 1


class Spellings:
    """Hashes of pieces of `codes`, an array of code points of shape (characters,)."""

    def __init__(self, codes: npt.NDArray[np.uint32]) -> None:
        powers = _powers(_BASE, codes.size)
        self._sums = np.zeros(codes.size + 1, np.uint64)
        np.cumsum((codes.astype(np.uint64) + np.uint64(1)) * powers, out=self._sums[1:])
        self._inverses = _powers(_INVERSE, codes.size + 1)

    def hashes(self, starts: Indices, ends: Indices) -> Hashes:
        """Hash of each piece `codes[start:end]`, whatever its place; the same shape as `starts`."""
        return (self._sums[ends] - self._sums[starts]) * self._inverses[starts]


def _powers(base: int, size: int) -> Hashes:
    powers = np.full(size, base & _MASK, np.uint64)
    powers[:1] = 1
    return np.cumprod(powers, dtype=np.uint64)


def rows_of(hashes: Hashes, salt: int, rows: int) -> Rows:
    """A row in 0..rows-1 for each hash, another draw for every salt; `rows` is a power of two."""
    return (mixed(hashes + np.uint64(salt * 0x9E3779B97F4A7C15 & _MASK)) & np.uint64(rows - 1)).astype(np.int32)


def mixed(value: Hashes) -> Hashes:
    """Finaliser of SplitMix64 (Steele, Lea & Flood 2014); arithmetic modulo 2^64."""
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))
