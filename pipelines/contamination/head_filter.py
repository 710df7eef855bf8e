"""The model: a *filter* of hashes is an array of bits, two of them for each hash (Bloom 1970, "Space/time trade-offs in hash coding
with allowable errors"). What it refuses was never put in; of all else it lets about one in a thousand pass by accident.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pipelines.span_hashes import Ints

Bits = npt.NDArray[np.uint8]
Heads = npt.NDArray[np.uint32]

_BITS_A_HASH = 32
_FEWEST, _MOST = 1 << 19, 1 << 32
"""Bits: the fewest fit a core's cache together with the text; the most are as many as there are hashes."""

_OTHER = np.uint32(0x85EBCA6B)
"""By which a hash is multiplied for its second bit: odd, from MurmurHash3's finalizer."""


def empty_filter(hashes: int, most_bytes: int) -> Bits:
    """A filter for so many hashes, within so many bytes if that is not less than the least that makes sense."""
    wanted = 1 << (hashes * _BITS_A_HASH).bit_length()
    affordable = 1 << (8 * most_bytes).bit_length() >> 1
    return np.zeros(min(max(_FEWEST, min(wanted, affordable)), _MOST) // 8, np.uint8)


def put_in(bits: Bits, hashes: Heads) -> None:
    for values in (hashes, hashes * _OTHER):
        places = values >> _shift(bits)
        np.bitwise_or.at(bits, places >> np.uint32(3), _bit(places))


def let_through(bits: Bits, hashes: Heads) -> Ints:
    """Which of some hashes may be in, by place."""
    passed = np.flatnonzero(_look(bits, hashes))
    return passed[_look(bits, hashes[passed] * _OTHER)]


def _look(bits: Bits, values: Heads) -> npt.NDArray[np.bool_]:
    places = values >> _shift(bits)
    return (np.take(bits, places >> np.uint32(3), mode="clip") & _bit(places)) != 0


def _bit(places: Heads) -> Bits:
    return np.take(_ONE, places & np.uint32(7), mode="clip")


_ONE = np.left_shift(np.uint8(1), np.arange(8, dtype=np.uint8))


def _shift(bits: Bits) -> np.uint32:
    """Bits of a hash behind those that say its place."""
    return np.uint32(32 - (8 * bits.size).bit_length() + 1)
