"""The model: a *unit* is a word, or a single character of a script that puts no spaces between words.

Units are letters, digits and marks, in lower case: punctuation and white space only part them. So one rule serves every
language and mixed text, and no segmenter is needed.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

from pipelines.characters import DIGIT, HAN, LETTER, MARK, classes_of
from pipelines.span_hashes import GOLDEN, Hashes, Ints, SpanHashes, mixed

Codes = npt.NDArray[np.uint32]
"""Code points."""

APART, JOINED, ALONE = range(3)
"""How a character stands: it parts units, it makes a unit with its neighbours, it is one by itself. (`find_units` compares them.)"""

_UNSPACED = (
    (0x0E00, 0x0FFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x1950, 0x19DF), (0x1A20, 0x1AAF), (0x1B00, 0x1B7F),
    (0x3005, 0x312F), (0x31A0, 0x31BF), (0x31F0, 0x31FF), (0xA000, 0xA4CF), (0xA980, 0xA9FF), (0xAA60, 0xAADF),
    (0xFF66, 0xFF9F),
)  # fmt: skip
"""Thai, Lao, Tibetan; Myanmar; Khmer; Tai Le, New Tai Lue; Tai Tham; Balinese; kana, bopomofo; Yi; Javanese, Myanmar; Tai
Viet; half-width kana. Han is known by its class."""


def find_units(standing: npt.NDArray[np.uint8]) -> tuple[Ints, Ints]:
    """Where units start and end among code points that stand so."""
    kinds = np.zeros(standing.size + 2, np.uint8)
    kinds[1:-1] = standing
    joined = kinds == JOINED  # before and behind a unit that is joined nothing is
    return np.flatnonzero(kinds[1:-1] > joined[:-2]), np.flatnonzero(kinds[1:-1] > joined[2:]) + 1


def unit_hashes(codes: Codes, starts: Ints, ends: Ints) -> Hashes:
    """The hash of each unit; units that differ in case only have the same."""
    return SpanHashes(_values()[codes]).of(starts, ends)


@cache
def stands() -> npt.NDArray[np.uint8]:
    """By code point, how it stands."""
    classes = classes_of(np.arange(0x110000, dtype=np.uint32))
    kinds = np.where(np.isin(classes, (LETTER, DIGIT, MARK)), JOINED, APART).astype(np.uint8)
    for first, last in _UNSPACED:
        kinds[first : last + 1][kinds[first : last + 1] == JOINED] = ALONE
    kinds[classes == HAN] = ALONE
    return kinds


@cache
def lower_cases() -> Codes:
    """By code point, its lower case, if that is one code point; else itself."""
    codes = np.arange(0x110000, dtype=np.uint32)
    for code in np.flatnonzero(classes_of(codes) == LETTER).tolist():
        lower = chr(code).lower()
        if len(lower) == 1:
            codes[code] = ord(lower)
    return codes


@cache
def _values() -> Hashes:
    """By code point, the number of its lower case (0 if it parts units)."""
    return np.where(stands() == APART, np.uint64(0), mixed((lower_cases().astype(np.uint64) + np.uint64(1)) * GOLDEN))
