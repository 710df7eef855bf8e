"""The model: a *character class* is one of seven kinds that every code point falls into; *codes* are the code points of
many texts as one array. Counting by class is then arithmetic on arrays, with no loop over characters.

Classes follow Unicode general categories (UAX #44), of the Unicode database of the running Python.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache

import numpy as np
import numpy.typing as npt

from pipelines.categories import by_category, spaces

HAN, LETTER, DIGIT, SPACE, PUNCTUATION, SYMBOL, MARK = range(7)
"""Han ideographs; other letters (L*); numbers (N*); white space (`str.isspace`); punctuation (P*); the rest (S*, C*);
combining marks (M*)."""

BLOCK_CHARS = 1 << 20
"""Characters that go at once through a library that returns an object a word."""

HAN_RANGES = ((0x3005, 0x3007), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x2FA1F), (0x30000, 0x323AF))
"""First and last code points; with the iteration mark and the ideographic zero, as in the Unicode property Script=Han."""

JIEBA_CUTS = re.compile(r"[\s，。！？、；：]")
"""jieba takes text apart at these before it looks for words: what stands on either side is segmented by itself."""

_BY_CATEGORY = {"L": LETTER, "N": DIGIT, "Z": SPACE, "P": PUNCTUATION, "M": MARK}


def codes_of(text: str) -> npt.NDArray[np.uint32]:
    """Code points of `text`, shape (characters,); lone surrogates pass."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)


def classes_of(codes: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint8]:
    """Class of each code point, same shape."""
    return _table()[codes]


def utf8_lengths(codes: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint8]:
    """Bytes that each code point takes in UTF-8, same shape."""
    lengths = np.ones(codes.shape, np.uint8)
    for limit in (0x7F, 0x7FF, 0xFFFF):
        lengths += codes > limit
    return lengths


def byte_offsets(codes: npt.NDArray[np.uint32]) -> npt.NDArray[np.int32]:
    """Byte offset in UTF-8 of every character and of the end, shape (characters + 1,), for less than 2 GiB of text."""
    offsets = np.zeros(codes.size + 1, np.int32)
    np.cumsum(utf8_lengths(codes), out=offsets[1:])
    return offsets


def text_starts(texts: Sequence[str]) -> npt.NDArray[np.int64]:
    """Where each text starts, in characters, when all are joined without a separator; the last entry is the end."""
    starts = np.zeros(len(texts) + 1, np.int64)
    np.cumsum(np.fromiter(map(len, texts), np.int64, len(texts)), out=starts[1:])
    return starts


def blocks(text: str, after: re.Pattern[str]) -> Iterator[str]:
    """`text` in blocks of `BLOCK_CHARS` or a little more, cut behind matches of `after`; whole if it is short.

    For libraries that return a Python object a word: what they return of a huge text never exists at once.
    """
    start = 0
    while len(text) - start > BLOCK_CHARS and (match := after.search(text, start + BLOCK_CHARS)):
        yield text[start : match.end()]
        start = match.end()
    yield text[start:]


@cache
def _table() -> npt.NDArray[np.uint8]:
    table = by_category(lambda name: _BY_CATEGORY.get(name[0], SYMBOL))
    for first, last in HAN_RANGES:
        block = table[first : last + 1]
        block[(block == LETTER) | (block == DIGIT)] = HAN
    table[spaces()] = SPACE
    return table
