"""The model: an *alphabet* is the characters that get a token of their own: the most frequent ones that together make up
`coverage` of a sample (Kudo and Richardson 2018, arXiv:1808.06226). A sample is *normal* text: a tokenizer's normalizer ran.

Others are blanked out before training: left in, thousands of characters that were seen once would crowd out words.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np


class CharacterCounts:
    """How often each character stood in the texts that were added."""

    def __init__(self) -> None:
        self._counts = np.zeros(0x110000, np.int64)

    def add(self, texts: Iterable[str]) -> None:
        codes = np.frombuffer("".join(texts).encode("utf-32-le"), np.uint32)
        found = np.bincount(codes)
        self._counts[: found.size] += found

    def alphabet(self, coverage: float, room: int) -> list[str]:
        """The characters in order of their code points; white space is none of them, and longer tokens keep a quarter of the `room`."""
        counts = self._counts.copy()
        counts[[code for code in np.flatnonzero(counts).tolist() if chr(code).isspace()]] = 0
        codes = np.flatnonzero(counts)
        codes = codes[np.argsort(-counts[codes], kind="stable")]
        before = np.cumsum(counts[codes]) - counts[codes]
        codes = codes[before < coverage * counts.sum()][: room * 3 // 4]
        return [chr(code) for code in sorted(codes.tolist())]


def blank(alphabet: Iterable[str]) -> re.Pattern[str]:
    """Matches runs of what is neither in the alphabet nor white space."""
    return re.compile(f"[^{re.escape(''.join(alphabet))}\\s]+")
