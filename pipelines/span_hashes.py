"""The model: a *span* is a stretch of an array of numbers, a word among characters, say. Its hash is the polynomial of its
numbers, as in Rabin and Karp (1987, "Efficient randomized pattern-matching algorithms"), and equal spans have equal ones.

All spans of an array are hashed from one running sum: the difference of the sum at both ends, divided by the power of
the base at which the span starts. Arithmetic is modulo 2**64, where odd numbers have inverses. The hashes are the same on
every machine; spans that differ have equal ones by a chance of about one in 2**56.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.uint64]
Ints = npt.NDArray[np.int64]

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
"""The base: odd, and with no pattern in its bits (2**64 over the golden ratio)."""

_CHUNK = 1 << 16
"""Powers that are kept; the others are products of two."""


class SpanHashes:
    """Hashes the spans of an array."""

    def __init__(self, values: Hashes) -> None:
        """`values`, shape (n,), are used up; in a span none is 0, or one more would not show."""
        powers, inverses = _powers()
        for number, start in enumerate(range(0, values.size, _CHUNK)):
            chunk = values[start : start + _CHUNK]
            chunk *= powers[: chunk.size]
            if number:
                chunk *= _power(int(GOLDEN), number * _CHUNK)
        self._sums = np.zeros(values.size + 1, np.uint64)
        np.cumsum(values, out=self._sums[1:])
        self._inverses = inverses
        self._chunks = np.array([_power(_INVERSE, number * _CHUNK) for number in range(values.size // _CHUNK + 1)], np.uint64)

    def of(self, starts: Ints, ends: Ints) -> Hashes:
        """The hash of each span, same shape; no span is empty."""
        found = self._sums[ends]
        found -= self._sums[starts]
        found *= self._inverses[starts % _CHUNK]
        if self._chunks.size > 1:
            found *= self._chunks[starts // _CHUNK]
        return mixed(found)


def mixed(values: Hashes) -> Hashes:
    """The finalizer of SplitMix64 (Steele, Lea and Flood 2014): every bit of the result depends on every bit of the value."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


_INVERSE = pow(int(GOLDEN), -1, 1 << 64)


def _power(base: int, exponent: int) -> np.uint64:
    return np.uint64(pow(base, exponent, 1 << 64))


@cache
def _powers() -> tuple[Hashes, Hashes]:
    """Powers of the base below `_CHUNK`, and their inverses."""
    found = []
    for base in (int(GOLDEN), _INVERSE):
        factors = np.full(_CHUNK, base, np.uint64)
        factors[0] = 1
        found.append(np.cumprod(factors))
    return found[0], found[1]
