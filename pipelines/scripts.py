"""The model: the *script* of a letter is the writing system that it belongs to, as in Unicode's property of that name, but for two
things: Han, kana and bopomofo are one script, because Chinese and Japanese mix them, and scripts that one language alone is written in
here, or none, are one as well (`OTHER`). What is no letter has none.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

from pipelines.characters import HAN_RANGES, LETTER, classes_of

NONE, LATIN, CJK, HANGUL, CYRILLIC, GREEK, ARABIC, HEBREW, DEVANAGARI, BENGALI, THAI, OTHER = range(12)
SCRIPTS = 12
"""How many there are, with NONE."""

BYTES = np.array([0, 1, 3, 3, 2, 2, 2, 2, 3, 3, 3, 3])
"""About how many bytes of UTF-8 a letter takes: so much text says about as much in any script."""

_RANGES = {
    LATIN: ((0x41, 0x24F), (0x250, 0x2AF), (0x1E00, 0x1EFF), (0x2C60, 0x2C7F), (0xA720, 0xA7FF), (0xFB00, 0xFB06), (0xFF21, 0xFF5A)),
    CJK: ((0x3041, 0x312F), (0x31A0, 0x31BF), (0x31F0, 0x31FF), (0xFF66, 0xFF9D)),
    HANGUL: ((0x1100, 0x11FF), (0x3131, 0x318E), (0xAC00, 0xD7AF)),
    CYRILLIC: ((0x400, 0x52F), (0x1C80, 0x1C8F), (0x2DE0, 0x2DFF), (0xA640, 0xA69F)),
    GREEK: ((0x370, 0x3FF), (0x1F00, 0x1FFF)),
    ARABIC: ((0x600, 0x6FF), (0x750, 0x77F), (0x8A0, 0x8FF), (0xFB50, 0xFDFF), (0xFE70, 0xFEFE)),
    HEBREW: ((0x590, 0x5FF), (0xFB1D, 0xFB4F)),
    DEVANAGARI: ((0x900, 0x97F), (0xA8E0, 0xA8FF)),
    BENGALI: ((0x980, 0x9FF),),
    THAI: ((0xE00, 0xE7F),),
}

_WRITTEN_IN = {
    CJK: "zh yue wuu ja",
    HANGUL: "ko",
    CYRILLIC: "av az ba be bg bs bxr ce cv kk krc kv ky lez mhr mk mn mrj myv os ru rue sah sh sr tg tk tt tyv ug uk uz xal",
    GREEK: "el",
    ARABIC: "ar arz az azb ckb fa kk ku ky lrc mzn pa pnb ps sd tk ug ur uz",
    HEBREW: "he yi",
    DEVANAGARI: "bh dty gom hi mai mr ne new sa sd",
    BENGALI: "as bn bpy",
    THAI: "th",
    OTHER: "am bo dv gu hy ka km kn lo ml mn my or pa sa si ta te xmf",
}
_ALSO_LATIN = frozenset("az bs gom kk ku mn sh sr tg tk tt ug uz".split())


@cache
def scripts() -> npt.NDArray[np.uint8]:
    """The script of each code point, shape (0x110000,)."""
    classes = classes_of(np.arange(0x110000, dtype=np.uint32))
    table = np.where(classes == LETTER, np.uint8(OTHER), np.uint8(NONE))
    for script, ranges in _RANGES.items():
        for first, last in ranges:
            block = table[first : last + 1]
            block[block != NONE] = script
    for first, last in HAN_RANGES:  # its letters are of a class of their own
        table[first : last + 1] = CJK
    return table


def is_written_in(lang: str, script: int) -> bool:
    """Whether a language is usually written in a script. Where the table says nothing of a language, that is Latin."""
    if script == LATIN:
        return lang in _ALSO_LATIN or lang not in _other_than_latin()
    return lang in _WRITTEN_IN[script].split()


def only_language_of(script: int) -> str | None:
    """The language that alone is written in a script, if there is one."""
    langs = _WRITTEN_IN.get(script, "").split()
    return langs[0] if len(langs) == 1 else None


@cache
def _other_than_latin() -> frozenset[str]:
    return frozenset(lang for langs in _WRITTEN_IN.values() for lang in langs.split())
