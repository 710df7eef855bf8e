"""The model: the *order* of training samples, a pure function of a key (content digest, seed), with nothing to remember.

A *schedule* deals sample indices to streams by integer weights, so that every stretch of samples holds each stream's
share, and gives each sample its *rank* within its stream. A *permutation* per stream and epoch maps ranks to block
numbers. Any sample is found in O(1), whatever the number of ranks or the micro-batch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from math import gcd

import numpy as np
from numpy.typing import NDArray

from schemas.errors import RequestError

Words = NDArray[np.uint64]

SHARES = 5040
"""Weights are rounded to this many parts: it divides by all of 2..10, so common mixes are exact."""

ROUNDS = 6

BASES = 64
"""Pairs of bases that are tried for a permutation, to find one whose product is little more than its size."""


def integer_weights(mix: Mapping[str, float]) -> dict[str, int]:
    """Weights in lowest terms that sum to at most ``SHARES``, by largest remainder; a positive share never becomes zero.

    Raises RequestError unless every weight is finite and not negative and some weight is positive.
    """
    total = sum(mix.values())
    if not all(0 <= weight < float("inf") for weight in mix.values()) or not 0 < total < float("inf"):
        raise RequestError(f"mix {dict(mix)}: weights must be finite and not negative, and one of them positive")
    exact = {name: weight / total * SHARES for name, weight in mix.items()}
    whole = {name: max(int(share), 1) if share > 0 else 0 for name, share in exact.items()}
    for name in sorted(exact, key=lambda name: (whole[name] - exact[name], name))[: max(SHARES - sum(whole.values()), 0)]:
        whole[name] += 1
    divisor = gcd(*whole.values())
    return {name: weight // divisor for name, weight in whole.items() if weight}


class Schedule:
    """Deals sample indices to streams: smooth weighted round robin over a period of the sum of the weights.

    At every prefix each stream's count is within one of its exact share (for two languages; a little more for many).
    """

    def __init__(self, weights: Sequence[int]) -> None:
        self.period = sum(weights)
        self.counts = np.array(weights, dtype=np.int64)
        credit = np.zeros(len(weights), dtype=np.int64)
        self._turn = np.empty(self.period, dtype=np.int64)
        self._rank = np.empty(self.period, dtype=np.int64)
        dealt = np.zeros(len(weights), dtype=np.int64)
        for i in range(self.period):
            credit += self.counts
            turn = int(credit.argmax())
            credit[turn] -= self.period
            self._turn[i], self._rank[i] = turn, dealt[turn]
            dealt[turn] += 1

    def dealt(self, samples: int) -> NDArray[np.int64]:
        """[streams] how many of the first ``samples`` each stream got."""
        cycles, rest = divmod(samples, self.period)
        return cycles * self.counts + np.bincount(self._turn[:rest], minlength=len(self.counts))

    def at(self, samples: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Global sample indices -> (number of the stream, rank within the stream), each of the same shape."""
        cycle, place = np.divmod(samples, self.period)
        turn = self._turn[place]
        return turn, cycle * self.counts[turn] + self._rank[place]


class Permutations:
    """A bijection of 0..size-1 for each of several things and each epoch, chosen by the thing's key.

    A Feistel network over pairs of digits (Black & Rogaway, "Ciphers with Arbitrary Finite Domains", 2002, method 3): a number
    is a digit below a and one below b, about equal and with a * b hardly more than the size, so that few numbers
    have to walk on because they land outside. All of a batch is done in one pass, whatever things and epochs are in it.
    """

    def __init__(self, sizes: Sequence[int], keys: Sequence[bytes]) -> None:
        if not all(0 < size < 1 << 62 for size in sizes):
            raise ValueError(f"permutations of {list(sizes)} things: want 1 to 2^62 of each")
        self._size = np.array(sizes, dtype=np.uint64)
        root = np.ceil(np.sqrt(self._size.astype(np.float64))).astype(np.uint64)
        low = root[:, None] + np.arange(BASES, dtype=np.uint64)
        high = (self._size[:, None] - np.uint64(1)) // low + np.uint64(1)
        best = np.argmin(low * high, axis=1)
        self._low, self._high = (bases[np.arange(len(best)), best] for bases in (low, high))
        digests = b"".join(hashlib.blake2b(key, digest_size=8 * ROUNDS).digest() for key in keys)
        self._keys = np.frombuffer(digests, dtype="<u8").reshape(len(sizes), ROUNDS).T

    def __call__(self, thing: NDArray[np.int64], epoch: NDArray[np.int64], index: NDArray[np.int64]) -> NDArray[np.int64]:
        """int64 [n] each: numbers of things, epochs, indices in 0..size-1 -> int64 [n] in 0..size-1."""
        keys = self._keys[:, thing] + epoch.astype(np.uint64) * _GOLDEN
        size, low, high = self._size[thing], self._low[thing], self._high[thing]
        value = _shuffle(index.astype(np.uint64), low, high, keys)
        outside = np.flatnonzero(value >= size)
        while len(outside):
            value[outside] = _shuffle(value[outside], low[outside], high[outside], keys[:, outside])
            outside = outside[value[outside] >= size[outside]]
        return value.astype(np.int64)


class Permutation:
    """A bijection of 0..size-1 chosen by a key."""

    def __init__(self, size: int, key: bytes) -> None:
        self._permutations = Permutations([size], [key])

    def __call__(self, index: NDArray[np.int64]) -> NDArray[np.int64]:
        """int64 [n] in 0..size-1 -> int64 [n] in 0..size-1."""
        none = np.zeros(len(index), dtype=np.int64)
        return self._permutations(none, none, index)


_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_HALF = np.uint64(32)


def _shuffle(value: Words, low: Words, high: Words, keys: Words) -> Words:
    """One pass of the network: each round adds to one digit, modulo its base, a hash of the other and the round's key."""
    upper, lower = np.divmod(value, low)
    for number, key in enumerate(keys):
        if number % 2:
            upper = _add(upper, _below(lower ^ key, high), high)
        else:
            lower = _add(lower, _below(upper ^ key, low), low)
    return upper * low + lower


def _add(one: Words, other: Words, bound: Words) -> Words:
    """Sums modulo bounds, of words below them: less than a bound wraps around 2^64 when it is taken off, and so is never the least."""
    total = one + other
    return np.minimum(total, total - bound, out=total)


def _below(value: Words, bound: Words) -> Words:
    """A hash of each value, in its place, below its bound of at most 2^32, with the multipliers of SplitMix64 (Steele et al. 2014)."""
    value *= np.uint64(0xBF58476D1CE4E5B9)
    value ^= value >> _HALF
    value *= np.uint64(0x94D049BB133111EB)
    value >>= _HALF
    value *= bound
    value >>= _HALF
    return value
