"""The model: *conversion* writes Chinese in Traditional or in Simplified characters, by OpenCC's dictionaries of characters and
phrases.

Towards Simplified it is nearly a table, and all characters go. Towards Traditional it isn't: 后 stays in 皇后 and becomes 後
in 后面, and a text that is Traditional already would suffer (萬里 would become 萬裏). So a line goes there only if more of its
characters are Simplified than Traditional: only if more of them would change on the way there than on the way back.

Conversion never changes how many characters there are, so that lines can be chosen after both ways were tried.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Literal

import numpy as np

from pipelines.categories import text_of
from pipelines.characters import HAN_RANGES, codes_of, utf8_lengths

if TYPE_CHECKING:
    from opencc import OpenCC

HAN = "".join(f"{chr(first)}-{chr(last)}" for first, last in HAN_RANGES)
"""All that conversion may change, for a character class of a regular expression."""


def converted(text: str, to: Literal["traditional", "simplified"]) -> tuple[str, int]:
    """The text in other characters, and the UTF-8 bytes of those that changed. Another round may find more (see `clean_text`)."""
    if text.isascii():
        return text, 0
    codes = codes_of(text)
    there = _codes(text, "t2s" if to == "simplified" else "s2t")
    changes = there != codes
    if not changes.any():
        return text, 0
    if to == "traditional":
        back = _codes(text, "t2s") != codes
        starts = np.concatenate([[0], np.flatnonzero(codes == ord("\n"))])
        towards = np.add.reduceat(changes.astype(np.int64) - back, starts) > 0
        changes &= np.repeat(towards, np.diff(starts, append=codes.size))
    return text_of(np.where(changes, there, codes)), int(utf8_lengths(codes[changes]).sum())


def _codes(text: str, way: str) -> np.ndarray[tuple[int], np.dtype[np.uint32]]:
    codes = codes_of(_converter(way).convert(text))
    if codes.size != len(text):
        raise ValueError(f"OpenCC's {way} gave {codes.size:,} characters for {len(text):,}")
    return codes


@cache
def _converter(way: str) -> OpenCC:
    from opencc import OpenCC

    return OpenCC(way)
