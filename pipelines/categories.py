"""The model: the *general category* of a code point says what it is (UAX #44): `Lu`, an upper case letter, down to `Cn`, not
assigned. One table holds the categories of all code points, by the Unicode database of the running Python; what else is told
of code points (`characters`, word boundaries) is derived from it by arithmetic.

Every process builds it when it first needs it, so building must be quick: a *plane* is 65,536 code points, and most planes
hold not one printable character. Python's `repr` escapes all that isn't printable, ten characters for each, so the length of
a plane's `repr` tells. Such planes are of one category but for their last two code points, which are no characters.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from functools import cache

import numpy as np
import numpy.typing as npt

CODE_POINTS = 0x110000
"""How many there are."""

CATEGORIES = (
    "Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Me", "Nd", "Nl", "No", "Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po", "Sm", "Sc", "Sk", "So",
    "Zs", "Zl", "Zp", "Cc", "Cf", "Cs", "Co", "Cn",
)  # fmt: skip

_PLANE = 1 << 16
_ESCAPED = len(repr("\U000f0000")) - len("''")
_NONCHARACTERS = 2
"""Code points at the end of each plane that are never assigned."""


@cache
def categories() -> npt.NDArray[np.uint8]:
    """Category of every code point, as its place in `CATEGORIES`, shape (0x110000,)."""
    table = np.empty(CODE_POINTS, np.uint8)
    for start in range(0, CODE_POINTS, _PLANE):
        plane = text_of(np.arange(start, start + _PLANE, dtype=np.uint32))
        table[start : start + _PLANE] = _told(plane[:1])
        asked = plane[-_NONCHARACTERS:] if start and len(repr(plane)) == _ESCAPED * _PLANE + len("''") else plane
        table[start + _PLANE - len(asked) : start + _PLANE] = _told(asked)
    return table


def by_category(value: Callable[[str], int]) -> npt.NDArray[np.uint8]:
    """What `value` says of each code point's category, 0 to 255, shape (0x110000,)."""
    return np.array([value(name) for name in CATEGORIES], np.uint8)[categories()]


def having(prefixes: str | tuple[str, ...]) -> npt.NDArray[np.int64]:
    """The code points whose category starts with one of the prefixes, in order."""
    return np.flatnonzero(by_category(lambda name: name.startswith(prefixes)))


def spaces() -> npt.NDArray[np.int64]:
    """The code points that `str.isspace` calls white space, in order: all are separators or controls."""
    return told_of(str.isspace, having(("Z", "Cc")))


def told_of(says: Callable[[str], bool], codes: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Those of some code points of which `says` is true."""
    return codes[np.frombuffer(bytes(map(says, text_of(codes))), np.bool_)]


def text_of(codes: npt.NDArray[np.integer]) -> str:
    """Code points as a string; lone surrogates pass."""
    return codes.astype("<u4").tobytes().decode("utf-32-le", "surrogatepass")


def _told(text: str) -> npt.NDArray[np.uint8]:
    """The category of each character, as Python tells it: all are two letters, so they can be joined and read as numbers."""
    names = np.frombuffer("".join(map(unicodedata.category, text)).encode(), "<u2")
    numbers = np.zeros(1 << 16, np.uint8)
    numbers[np.frombuffer("".join(CATEGORIES).encode(), "<u2")] = range(len(CATEGORIES))
    return numbers[names]
