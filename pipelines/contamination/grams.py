"""The model: a *folded* text is a text as it is compared: lower case, full and half width made one, invisible characters
gone, letter for letter so that every place can be found again. Its *units* are words and characters (`pipelines.units`),
so white space and punctuation don't count.

A *gram* is a run of units that is just heavy enough: a word weighs a 1/`words`, a character that stands alone a
1/`characters` of a *whole* gram. So English grams are 13 words, Chinese ones 20 characters, and text that mixes them needs
no segmenter and no language. A text that is lighter than a whole gram, but no lighter than a *least* one, is compared whole.

Nearly all text is clean, so the first look is a cheap one: at the *head* of a gram, as many units as the shortest of all
has. The number of a unit is the sum of its letters' numbers, so anagrams have the same: that costs a comparison of the
texts now and then, and no more.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pipelines.categories import having
from pipelines.characters import DIGIT, HAN, LETTER, MARK, classes_of
from pipelines.contamination.head_filter import Heads
from pipelines.span_hashes import GOLDEN, Hashes, Ints, mixed
from pipelines.units import ALONE, APART, Codes, find_units, lower_cases, stands
from schemas.recipe import Decontaminate

_BASE = 0x9E3779B1
"""Of the polynomial that a head's hash is: odd, and without a pattern in its bits (a prime near 2**32 over the golden ratio)."""

_BLOCK = 1 << 12
"""Grams to work on at a time."""

_INVISIBLE = 3
"""How a character stands that is not seen (format characters, Cf): as if it weren't there, beside `pipelines.units`' three ways."""

_SELECTORS = ((0xFE00, 0xFE0F), (0xE0100, 0xE01EF))
"""Variation selectors: they say how a character looks, not which it is."""


@dataclass(frozen=True)
class Weights:
    """Weights of units and grams, as whole numbers."""

    word: int
    alone: int
    whole: int
    least: int

    @classmethod
    def of(cls, settings: Decontaminate) -> Weights:
        whole = settings.words * settings.characters
        return cls(settings.characters, settings.words, whole, math.ceil(settings.shortest * whole))

    @property
    def most_units(self) -> int:
        """Units of a gram, or of a text that is compared whole, at the most."""
        return -(-self.whole // min(self.word, self.alone))

    @property
    def head_units(self) -> int:
        """Units that every gram, and every text that is compared whole, has at least."""
        return -(-self.least // max(self.word, self.alone))


class Windows(NamedTuple):
    """Runs of units, by the number of the first and of the one behind the last."""

    firsts: Ints
    behind: Ints


class Grams:
    """Finds the grams of folded texts that stand one behind the other, parted."""

    def __init__(self, codes: Codes | npt.NDArray[np.uint8], text_ends: Ints, weights: Weights) -> None:
        """`codes` of all texts, in bytes if they are ASCII; `text_ends`: where each text ends among them."""
        packed = np.take(_packed(), codes, mode="clip")  # clip: nothing to check, so it is faster
        kinds = packed.view(np.uint8)[7::8].copy()  # side by side it is faster to work on
        self._places: Ints | None = None
        if (kinds == _INVISIBLE).any():
            self._places = np.flatnonzero(kinds != _INVISIBLE)
            codes, packed = codes[self._places], packed[self._places]
            kinds, text_ends = packed.view(np.uint8)[7::8], np.searchsorted(self._places, text_ends)
        self.weights = weights
        self._codes = codes
        self._starts, self._ends = find_units(kinds)
        self.bounds: Ints = np.searchsorted(self._starts, text_ends)
        """Number of the unit behind each text."""
        sums = np.zeros(codes.size + 1, np.uint64)
        np.cumsum(packed, out=sums[1:])
        self._units = (sums[self._ends] - sums[self._starts]).astype(np.uint32)

    @property
    def units(self) -> int:
        return self._starts.size

    def heads(self) -> Heads:
        """The hash of the head that starts at each unit, texts or no texts; shape (units - head units + 1,)."""
        found, size = self._units, 1
        for bit in f"{self.weights.head_units:b}"[1:]:
            found = found[:-size] * np.uint32(pow(_BASE, size, 1 << 32)) + found[size:]
            size *= 2
            if bit == "1":
                found = found[:-1] * np.uint32(_BASE) + self._units[size:]
                size += 1
        return found

    def texts(self) -> tuple[Ints, Ints]:
        """Of each text, the number of its first unit, and its weight."""
        firsts = np.concatenate(([0], self.bounds[:-1]))
        total = np.concatenate(([0], np.cumsum(self._weights_of(np.arange(self.units)))))
        return firsts, total[self.bounds] - total[firsts]

    def windows(self, firsts: Ints, weight: int) -> Windows:
        """The shortest run of at least this weight from each of these units on; none where the text ends before."""
        behind = firsts + 1
        for block, runs in self._runs(firsts):
            behind[block] += np.count_nonzero(np.cumsum(self._weights_of(runs), axis=1) < weight, axis=1)
        inside = behind <= self.bounds[np.searchsorted(self.bounds, firsts, side="right")]
        return Windows(firsts[inside], behind[inside])

    def keys(self, windows: Windows) -> Hashes:
        found = np.empty(windows.firsts.size, np.uint64)
        for block, runs in self._runs(windows.firsts):
            found[block] = gram_keys(self._units[runs], (windows.behind - windows.firsts)[block])
        return found

    def places(self, windows: Windows) -> tuple[Ints, Ints]:
        """Where windows start and end in the texts, in code points."""
        starts, lasts = self._starts[windows.firsts], self._ends[windows.behind - 1] - 1
        return (starts, lasts + 1) if self._places is None else (self._places[starts], self._places[lasts] + 1)

    def spelled(self) -> tuple[Codes, Ints]:
        """All units with a 0 before each, and where each of them, and the end, is in it."""
        lengths = self._ends - self._starts + 1
        offsets = np.concatenate(([0], np.cumsum(lengths)))
        places = np.arange(offsets[-1]) + np.repeat(self._starts - offsets[:-1] - 1, lengths)
        spelled = folds()[self._codes[np.maximum(places, 0)]]
        spelled[offsets[:-1]] = 0
        return spelled, offsets

    def _weights_of(self, units: Ints) -> Ints:
        alone = stands()[folds()[self._codes[self._starts[units]]]] == ALONE
        return np.where(alone, self.weights.alone, self.weights.word)

    def _runs(self, firsts: Ints) -> Iterator[tuple[slice, Ints]]:
        """The units from each of these on, as many as a gram may have, shape (firsts, units); block by block of firsts."""
        for start in range(0, firsts.size, _BLOCK):
            block = slice(start, start + _BLOCK)
            yield block, np.minimum(firsts[block, None] + np.arange(self.weights.most_units), self.units - 1)


def gram_keys(units: Heads, sizes: Ints) -> Hashes:
    """The hash of the first `sizes` units of each row. Equal grams have equal ones; whoever finds equal ones still compares texts."""
    places = np.arange(units.shape[1])
    powers = np.cumprod(np.full(places.size, GOLDEN, np.uint64))
    return mixed((units * np.where(places < sizes[:, None], powers, np.uint64(0))).sum(axis=1, dtype=np.uint64))


@cache
def folds() -> Codes:
    """By code point, what it folds to: the lower case of its compatibility form (UAX #15), if that is one code point."""
    found = lower_cases().copy()
    classes = classes_of(np.arange(found.size, dtype=np.uint32))
    for code in np.flatnonzero(np.isin(classes, (LETTER, DIGIT, MARK, HAN))).tolist():
        if unicodedata.decomposition(chr(code)).startswith("<"):
            plain = unicodedata.normalize("NFKC", chr(code))
            if len(plain) == 1:
                found[code] = found[ord(plain)]
    return found


@cache
def _packed() -> Hashes:
    """By code point, how what it folds to stands, in the highest byte, and in the low half a number for sums, 0 if it parts units.

    One table, because looking up is what costs; sums of its values are sums of the numbers in their low half.
    """
    kinds = stands()[folds()]
    numbers = mixed((folds().astype(np.uint64) + np.uint64(1)) * GOLDEN) >> np.uint64(32)
    numbers[kinds == APART] = 0
    kinds[having("Cf")] = _INVISIBLE
    for first, last in _SELECTORS:
        kinds[first : last + 1] = _INVISIBLE
    return (kinds.astype("<u8") << np.uint64(56)) | numbers.astype("<u8")
