"""The model: a *form* is a text without upper case, or without punctuation, as some models want it. Placeholders of redaction
stay as they are.

Punctuation (Unicode's P*, UAX #44) gives way to a space, and to nothing at the start and end of a line, beside white space and
for an apostrophe inside a word. Symbols ($, +, <) stay.

A form is taken after redaction: an address without its dots, and a key without its capitals, would not be found.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import cache

import numpy as np

from pipelines.categories import having, text_of
from pipelines.characters import codes_of, utf8_lengths
from schemas.recipe import Clean


def form(text: str, settings: Clean, placeholders: Sequence[str] = ()) -> tuple[str, dict[str, int]]:
    """The form that the settings ask for, and the UTF-8 bytes of what was changed or removed (`lower_case`, `punctuation`).

    Kinds without a change are left out. Idempotent.
    """
    changed: dict[str, int] = {}
    if settings.lower_case and (lower := _lower(text, tuple(placeholders), settings.nfc)) != text:
        changed["lower_case"] = _changed(text, lower)
        text = lower
    if settings.strip_punctuation:
        stripped = _strip(text, tuple(placeholders))
        if stripped != text:
            changed["punctuation"] = _punctuation_bytes(text) - (_punctuation_bytes(stripped) if placeholders else 0)
            text = stripped
    return text, changed


def _lower(text: str, placeholders: tuple[str, ...], nfc: bool) -> str:
    parts = re.split(f"({_either(placeholders)})", text) if placeholders else [text]
    parts[::2] = map(str.lower, parts[::2])
    lower = "".join(parts)
    return unicodedata.normalize("NFC", lower) if nfc else lower  # a J with a caron composes in lower case only


def _changed(text: str, lower: str) -> int:
    """UTF-8 bytes of the characters of `text` that are another in lower case."""
    before = codes_of(text)
    if len(lower) == len(text):
        return int(utf8_lengths(before[before != codes_of(lower)]).sum())
    return sum(len(character.encode()) for character in text if character != character.lower())  # İ becomes two characters


def _strip(text: str, placeholders: tuple[str, ...]) -> str:
    if not placeholders:
        return _stripped(text)
    parts = re.split(f"({_either(placeholders)})", text)
    last = len(parts) - 1
    for at in range(0, len(parts), 2):  # a placeholder is no space, no letter and no line's end for what stands beside it
        before, after = "$" * (at > 0), "$" * (at < last)
        whole = _stripped(before + parts[at] + after)
        parts[at] = whole[len(before) : len(whole) - len(after)]
    return "".join(parts)


def _stripped(text: str) -> str:
    if not text.isascii() and max(text) > "\uffff":
        text = text.translate(dict.fromkeys(_marks_beyond(), "."))
    first, *pieces = _marks().split(_APOSTROPHE.sub("", text))
    if not pieces:
        return first
    last = pieces.pop().lstrip(" ")
    joined = ",".join([first.rstrip(" "), *filter(None, (piece.strip(" ") for piece in pieces)), last])
    return _AT_AN_END.sub("", joined).replace(",", " ")


_APOSTROPHE = re.compile(r"['’](?<=[^\W_].)(?=[^\W_])")
_AT_AN_END = re.compile(r",(?:(?=\s|\Z)|(?<!\S,))")
"""A comma before or behind white space, or with nothing on one side."""


@cache
def _marks() -> re.Pattern[str]:
    """Punctuation of the first plane: `re` is slow with characters beyond it in a class."""
    marks = having("P")
    return re.compile(f"[{re.escape(text_of(marks[marks <= 0xFFFF]))}]+")


@cache
def _marks_beyond() -> list[int]:
    marks: list[int] = having("P").tolist()
    return [mark for mark in marks if mark > 0xFFFF]


def _either(placeholders: Sequence[str]) -> str:
    return "|".join(map(re.escape, placeholders))


def _punctuation_bytes(text: str) -> int:
    codes = codes_of(text)
    return int(utf8_lengths(codes[_is_mark()[codes]]).sum())


@cache
def _is_mark() -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    found = np.zeros(0x110000, np.bool_)
    found[having("P")] = True
    return found
