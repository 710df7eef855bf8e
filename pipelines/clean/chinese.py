"""The model: *conversion* writes Chinese in Traditional or in Simplified characters, by OpenCC's dictionaries of characters and
phrases.

Towards Simplified it is nearly a table, and all characters go. Towards Traditional it isn't: 后 stays in 皇后 and becomes 後
in 后面, and a text that is Traditional already would suffer (萬里 would become 萬裏). So a line goes there only if more of its
characters are Simplified than Traditional, as each is by itself.

Conversion never changes how many characters there are.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Literal

import numpy as np

from pipelines.categories import CODE_POINTS, text_of
from pipelines.characters import HAN_RANGES, codes_of, utf8_lengths

if TYPE_CHECKING:
    from opencc import OpenCC

HAN = "".join(f"{chr(first)}-{chr(last)}" for first, last in HAN_RANGES if last <= 0xFFFF)
"""What makes a text Chinese enough to convert, for a character class of a regular expression: `re` is slow with rarer ones in it."""


def converted(text: str, to: Literal["traditional", "simplified"]) -> tuple[str, int]:
    """The text in other characters, and the UTF-8 bytes of those that changed. Another round may find more (see `clean_text`)."""
    if text.isascii():
        return text, 0
    there = _convert(text, "t2s") if to == "simplified" else _to_traditional(text)
    if there == text:
        return text, 0
    codes = codes_of(text)
    return there, int(utf8_lengths(codes[codes != codes_of(there)]).sum())


def _to_traditional(text: str) -> str:
    codes = codes_of(text)
    leanings = _leanings()[codes]
    if "\n" not in text:
        return _convert(text, "s2t") if leanings.sum(dtype=np.int64) > 0 else text
    starts = np.concatenate([[0], np.flatnonzero(codes == ord("\n"))])
    chosen = np.flatnonzero(np.add.reduceat(leanings, starts, dtype=np.int64) > 0).tolist()
    lines = text.split("\n")
    found = _convert("\n".join([lines[number] for number in chosen]), "s2t").split("\n")
    for number, line in zip(chosen, found, strict=bool(chosen)):
        lines[number] = line
    return "\n".join(lines)


@cache
def _leanings() -> np.ndarray[tuple[int], np.dtype[np.int8]]:
    """Of every code point: 1, it would change on the way to Traditional; -1, on the way to Simplified; 0, neither or both."""
    every = np.concatenate([np.arange(first, last + 1, dtype=np.uint32) for first, last in HAN_RANGES])
    apart = text_of(np.stack([every, np.full_like(every, ord("\n"))], axis=1).ravel())  # no two make a phrase
    found = np.zeros(CODE_POINTS, np.int8)
    for way, leaning in (("s2t", 1), ("t2s", -1)):
        found[every] += leaning * (codes_of(_convert(apart, way))[::2] != every).astype(np.int8)
    return found


def _convert(text: str, way: str) -> str:
    found: str = _converter(way).convert(text)
    if len(found) != len(text):
        raise ValueError(f"OpenCC's {way} gave {len(found):,} characters for {len(text):,}")
    return found


@cache
def _converter(way: str) -> OpenCC:
    from opencc import OpenCC

    return OpenCC(way)
