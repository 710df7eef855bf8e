"""The model: a *cut* is a place inside a text where it may be encoded in two parts. A *cut rule* finds them for patterns whose
pieces of letters are runs of letters (cl100k and its kin), of which our own allow at most `RUN` letters in one piece:

    long run    counted from where a run of letters begins, each `RUN` letters are a piece: cut there, and nowhere else would do
    seam        between two Han letters that no token crosses: not needed, but the parts are remembered (see `seams`)

Characters that aren't ASCII are looked at one by one, the others only in blocks.

After an apostrophe a pattern may take the first letters of a run for a piece of their own (`'s`), so such a long run is *wrong*:
it is not known where its pieces end. Without seams (other patterns) every long run is wrong.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pipelines.encode.patterns import RUN
from pipelines.encode.proof import HAN, LETTER
from pipelines.encode.seams import Seams

_BLOCK = RUN // 2
"""A run of more than RUN letters holds a whole block of so many, wherever the blocks begin."""
_APOSTROPHE = 0x27


class CutRule(NamedTuple):
    """How texts are cut for one tokenizer."""

    limited: bool
    """The pattern allows at most RUN letters in one piece, and the engine doesn't know it."""
    seams: Seams | None
    """None: the pattern isn't one that allows cuts."""

    @property
    def letters(self) -> str:
        """The class of which a long run is made, for `tokenizers.Regex`."""
        return r"\p{L}" if self.seams else r"[\p{L}\p{M}]"

    def seams_in(self, text: Characters) -> npt.NDArray[np.int64]:
        """Byte offsets of the seams, increasing."""
        han = (text.flags & HAN).astype(bool)
        if self.seams is None or not han.any():
            return _none()
        seam = self.seams.between(text.codes, han)
        seam &= np.diff(text.at) == 3
        inside = text.bounds[(text.bounds > text.at[0]) & (text.bounds <= text.at[-1])]
        seam[np.searchsorted(text.at, inside) - 1] = False  # the characters on either side belong to two texts
        return text.at.take(np.flatnonzero(seam) + 1)

    def long_runs(self, codes: npt.NDArray[np.unsignedinteger], flags: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.int64], bool]:
        """Where long runs of one text are cut, as positions in `codes`, increasing; and whether one of them is wrong."""
        letter = np.concatenate(([False], (flags & LETTER).astype(bool), [False]))
        edges = np.flatnonzero(letter[1:] != letter[:-1])
        begin, end = edges[0::2], edges[1::2]
        long = end - begin > RUN
        begin, end = begin[long], end[long]
        after = codes[begin[begin > 0] - 1] == _APOSTROPHE
        wrong = bool(begin.size) if self.seams is None else bool(after.any())
        return np.concatenate([_none(), *(np.arange(b + RUN, e, RUN) for b, e in zip(begin.tolist(), end.tolist(), strict=True))]), wrong


class Characters(NamedTuple):
    """The characters of many texts that aren't ASCII."""

    at: npt.NDArray[np.int64]
    """Byte offset of each."""
    codes: npt.NDArray[np.uint32]
    flags: npt.NDArray[np.uint8]
    bounds: npt.NDArray[np.int64]
    """Byte offsets where the texts begin, and where the last one ends."""


def may_hold_long_runs(data: npt.NDArray[np.uint8], text: Characters) -> npt.NDArray[np.int64]:
    """Rows of the texts that may hold a long run: those with a block of `_BLOCK` bytes of nothing but letters."""
    letter = (((data | 0x20) - 97) < 26) | (data >= 0x80)
    letter[text.at[(text.flags & LETTER) == 0]] = False
    blocks = letter[: letter.size // _BLOCK * _BLOCK].reshape(-1, _BLOCK).all(axis=1)
    begins = np.flatnonzero(blocks) * _BLOCK
    first, last = (np.searchsorted(text.bounds, begins + shift, side="right") - 1 for shift in (0, _BLOCK - 1))
    return np.unique(first[first == last])


def _none() -> npt.NDArray[np.int64]:
    return np.zeros(0, np.int64)
