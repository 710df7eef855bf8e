"""The model: a *class* says how a character takes part in words; it follows the property Word_Break of Unicode Standard Annex #29,
derived here from general categories, since Python's Unicode database has no such property. What differs from the annex:
Hiragana, like Katakana, makes words of its own; so do the scripts that only a dictionary could cut (Thai, Lao, Khmer, Burmese and their
kin: the annex leaves them open); numbers of all kinds (`²`, `½`) are digits; soft format characters count as marks.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

from pipelines.categories import by_category, spaces
from pipelines.characters import HAN_RANGES

(
    SPACE, KATAKANA, HIRAGANA, COMPLEX, HAN, LETTER, DIGIT, EXTEND, REGIONAL, OTHER, TERMINAL, MID_LETTER, MID_NUMBER, MID_BOTH, CONNECTOR,
    REPEATING,
) = range(16)  # fmt: skip
"""White space; three kinds of letters that make words of their own; ideographs; letters; digits; marks and joiners, which belong to the
character before; regional indicators, two of which are a flag; all else; `!` and `?`; what binds letters, digits or both;
underscore and its kin; and dashes, dots and the like, of which a run of one character is one word."""

FIRST_MIXED = MID_BOTH
"""Characters of this class and those above it make a chunk a mixed one; those up to `HAN` are in no chunk."""

ZWJ = 0x200D
EMOJI_MODIFIERS = (0x1F3FB, 0x1F3FF)
HEBREW_LETTERS = (0x05D0, 0x05F2)
"""A double quote between two of them is part of an abbreviation."""

PREPENDED = (0x0600, 0x0601, 0x0602, 0x0603, 0x0604, 0x0605, 0x06DD, 0x070F, 0x0890, 0x0891, 0x08E2, 0x110BD, 0x110CD)
"""Signs that enclose or stand before the character behind them, and make one grapheme with it."""

_COMPLEX = (
    (0x0E00, 0x0EFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x1950, 0x19DF), (0x1A20, 0x1AAF), (0xA9E0, 0xA9FF), (0xAA60, 0xAADF),
    (0x11700, 0x1174F),
)  # fmt: skip
_HIRAGANA = ((0x3041, 0x3096), (0x309D, 0x309F), (0x1B001, 0x1B11F))
_KATAKANA = ((0x3031, 0x3035), (0x30A1, 0x30FA), (0x30FC, 0x30FF), (0x31F0, 0x31FF), (0xFF66, 0xFF9D), (0x1B000, 0x1B000))
_BY_CATEGORY = {"Pc": CONNECTOR, "Mn": EXTEND, "Mc": EXTEND, "Me": EXTEND, "Cf": EXTEND, "Nl": LETTER}
_BY_MAJOR = {"L": LETTER, "N": DIGIT}
_BY_CHARACTER = {
    MID_LETTER: "\u00b7\u0387\u055f\u05f4\u2027\ufe13\ufe55\uff1a",
    MID_NUMBER: ",;\u037e\u0589\u060c\u060d\u066c\u07f8\u2044\ufe10\ufe14\ufe50\ufe54\uff0c\uff1b",
    MID_BOTH: ".'\u2018\u2019\u2024\ufe52\uff07\uff0e",
    TERMINAL: "!?！？",
    REPEATING: ":-*=~#+$<>|\\^/%&@`…—–―─・。〜～",
    EXTEND: "\uff9e\uff9f",
    OTHER: "\u200b",
}


@cache
def table() -> npt.NDArray[np.uint8]:
    """Class of every code point, shape (0x110000,)."""
    found = by_category(lambda name: _BY_CATEGORY.get(name, _BY_MAJOR.get(name[0], OTHER)))
    found[spaces()] = SPACE
    for ranges, letters in ((_COMPLEX, COMPLEX), (_HIRAGANA, HIRAGANA), (_KATAKANA, KATAKANA), (HAN_RANGES, HAN)):
        for first, last in ranges:
            block = found[first : last + 1]
            block[(block == LETTER) | (block == DIGIT) & (letters == HAN)] = letters
    for kind, characters in _BY_CHARACTER.items():
        found[list(map(ord, characters))] = kind
    found[EMOJI_MODIFIERS[0] : EMOJI_MODIFIERS[1] + 1] = EXTEND
    found[0x1F1E6:0x1F200] = REGIONAL
    return found


@cache
def ascii_table() -> bytes:
    """The same for bytes of ASCII text, for `bytes.translate`."""
    return table()[:256].tobytes()
