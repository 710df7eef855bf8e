"""The model: a *word set* remembers the words of a dictionary as bits, of which each word sets `_HASHES` (Bloom, "Space/time
trade-offs in hash coding with allowable errors", 1970): no word is missed, a few strings that are none are taken for one
(about one in 50 when a word has 12 bits or more).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from pipelines.annotate.fast.hashing import Hashes, Spellings, rows_of
from pipelines.characters import codes_of

BITS = 1 << 22
_HASHES = 2
_SALT = 40

Bits = npt.NDArray[np.uint8]
"""(BITS / 8,), the lowest bit of a byte first."""


def word_set(words: Sequence[str]) -> Bits:
    """The set of these words."""
    codes = codes_of("".join(words))
    ends = np.cumsum(np.fromiter(map(len, words), np.int64, len(words)))
    starts = np.concatenate(([0], ends[:-1])) if len(words) else ends
    bits = np.zeros(BITS, bool)
    for places in _places(Spellings(codes).hashes(starts, ends)):
        bits[places] = True
    return np.packbits(bits, bitorder="little")


def contains(bits: Bits, hashes: Hashes) -> npt.NDArray[np.bool_]:
    """Whether the strings of these hashes (of `Spellings`) are in the set, same shape."""
    found = np.ones(hashes.shape, bool)
    for places in _places(hashes):
        found &= (bits[places >> 3] >> (places & 7).astype(np.uint8)) & 1 == 1
    return found


def _places(hashes: Hashes) -> list[npt.NDArray[np.int32]]:
    return [rows_of(hashes, _SALT + number, BITS) for number in range(_HASHES)]
