"""The model: the *order* of training samples, a pure function of a key (content digest, seed), with nothing to remember.

A *schedule* deals global sample indices to languages by integer weights, so that every stretch of samples holds each
language's share, and gives each sample its *rank* within its language. A *permutation* per language and epoch maps ranks
to block numbers. Any sample is found in O(1), whatever the number of ranks or the micro-batch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from math import gcd

import numpy as np
from numpy.typing import NDArray

from schemas.errors import RequestError

SHARES = 5040
"""Weights are rounded to this many parts: it divides by all of 2..10, so common mixes are exact."""

ROUNDS = 6


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
    """Deals sample indices to languages: smooth weighted round robin over a period of the sum of the weights.

    At every prefix each language's count is within one of its exact share (for two languages; a little more for many).
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

    def at(self, samples: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Global sample indices -> (number of the language, rank within the language), each of the same shape."""
        cycle, place = np.divmod(samples, self.period)
        turn = self._turn[place]
        return turn, cycle * self.counts[turn] + self._rank[place]


class Permutation:
    """A bijection of 0..size-1 chosen by a key: a Feistel network on the next even number of bits, walked until it lands
    inside (Black & Rogaway, "Ciphers with Arbitrary Finite Domains", 2002)."""

    def __init__(self, size: int, key: bytes) -> None:
        if not 0 < size < 1 << 62:
            raise ValueError(f"a permutation of {size} things: want 1 to 2^62")
        self.size = size
        self._half = np.uint64(max((size - 1).bit_length() + 1 >> 1, 1))
        self._mask = np.uint64((1 << int(self._half)) - 1)
        self._keys = np.frombuffer(hashlib.blake2b(key, digest_size=8 * ROUNDS).digest(), dtype="<u8")

    def __call__(self, index: NDArray[np.int64]) -> NDArray[np.int64]:
        """int64 [n] in 0..size-1 -> int64 [n] in 0..size-1."""
        value = self._once(index.astype(np.uint64))
        outside = value >= self.size
        while outside.any():
            value[outside] = self._once(value[outside])
            outside = value >= self.size
        return value.astype(np.int64)

    def _once(self, value: NDArray[np.uint64]) -> NDArray[np.uint64]:
        left, right = value >> self._half, value & self._mask
        for key in self._keys:
            left, right = right, left ^ (_mix(right ^ key) & self._mask)
        return (left << self._half) | right


def _mix(value: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Finaliser of SplitMix64 (Steele, Lea & Flood 2014); arithmetic modulo 2^64."""
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))
