"""The model: a *seam* is a place between two Han characters that no token of a vocabulary crosses. Whatever merges a byte-level
BPE has learned, what stands on either side of a seam is merged as if the other side weren't there: every merge makes a token
of the vocabulary, and none holds both sides.

Chinese is written without spaces, so a piece is a whole clause, which an engine that remembers pieces never sees again.
Cut at its seams it falls into words, and most of them are known.

A token may end inside a character, so a *crossing* is a suffix of one character's bytes before a prefix of another's. Pairs of
characters that some crossing fits are marked in a table by their hash: a pair may be taken for crossed that isn't, which
costs time, but never the other way.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache

import numpy as np
import numpy.typing as npt

FIRST, LAST = 0x4E00, 0x9FA5
"""The Han ideographs of Unicode 1.1, three bytes each: letters in every version since."""

_HAN = np.arange(FIRST, LAST + 1, dtype=np.uint32)
_HAN_BYTES = np.stack([0xE0 | _HAN >> 12, 0x80 | _HAN >> 6 & 0x3F, 0x80 | _HAN & 0x3F], axis=1).astype(np.uint8)

_SMALLEST, _LARGEST = 16, 24
"""Bits of the table's index."""
_A, _B = np.uint32(0x9E3779B1), np.uint32(0x85EBCA6B)


def byte_alphabet() -> dict[str, int]:
    """The byte that each character of a byte-level vocabulary stands for (as in GPT-2)."""
    shown = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [byte for byte in range(256) if byte not in shown]
    return {**{chr(byte): byte for byte in shown}, **{chr(256 + n): byte for n, byte in enumerate(hidden)}}


def bytes_of_tokens(vocabulary: Iterable[str]) -> list[bytes]:
    """The bytes of each token; a token with characters that stand for no byte (a special one) is its own UTF-8."""
    alphabet = byte_alphabet()
    return [bytes(alphabet[c] for c in token) if alphabet.keys() >= set(token) else token.encode() for token in vocabulary]


class Seams:
    """Where Han text may be cut for one vocabulary."""

    def __init__(self, tokens: Sequence[bytes]) -> None:
        pairs = [(_ending_with(left), _beginning_with(right)) for left, right in _crossings(tokens)]
        entries = sum(left.size * right.size for left, right in pairs)
        self._shift = np.uint32(32 - min(max(_SMALLEST, (16 * entries).bit_length()), _LARGEST))
        self._crossed = np.zeros(1 << (32 - int(self._shift)), bool)
        for left, right in pairs:
            self._crossed[self._hash(left[:, None], right[None, :])] = True

    def between(self, codes: npt.NDArray[np.uint32], han: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """Of every two neighbours of `codes` (shape (n,)), whether a seam is between them, shape (n - 1,); `han` says which are Han."""
        crossed = self._crossed.take(self._hash(codes[:-1], codes[1:]))
        return han[:-1] & han[1:] & ~crossed

    def _hash(self, left: npt.NDArray[np.uint32], right: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
        return (left * _A + right * _B) >> self._shift


def _crossings(tokens: Iterable[bytes]) -> set[tuple[bytes, bytes]]:
    """Bytes before and after every place in a token where a character begins, as far as the two characters reach in it."""
    found = set()
    for token in tokens:
        for at in range(1, len(token)):
            if 0xE4 <= token[at] <= 0xE9 and token[at - 1] >= 0x80:  # lead bytes of FIRST to LAST, behind a character of several bytes
                left = token[max(0, at - 3) : at]
                lead = max((i for i, byte in enumerate(left) if byte >= 0xC0), default=0)
                found.add((left[lead:], token[at : at + 3]))
    return found


@cache
def _ending_with(suffix: bytes) -> npt.NDArray[np.uint32]:
    """The Han characters whose last bytes are `suffix`."""
    return _HAN[(_HAN_BYTES[:, 3 - len(suffix) :] == np.frombuffer(suffix, np.uint8)).all(axis=1)] if len(suffix) < 3 else _whole(suffix)


@cache
def _beginning_with(prefix: bytes) -> npt.NDArray[np.uint32]:
    """The Han characters whose first bytes are `prefix`."""
    return _HAN[(_HAN_BYTES[:, : len(prefix)] == np.frombuffer(prefix, np.uint8)).all(axis=1)] if len(prefix) < 3 else _whole(prefix)


def _whole(character: bytes) -> npt.NDArray[np.uint32]:
    code = (character[0] & 0xF) << 12 | (character[1] & 0x3F) << 6 | character[2] & 0x3F
    return _HAN[max(0, code - FIRST) : max(0, code - FIRST + 1)]
