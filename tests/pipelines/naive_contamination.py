"""Decontamination as one would write it down: units as strings, grams as tuples, a loop over everything."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

from pipelines.characters import DIGIT, HAN, LETTER, MARK, classes_of, codes_of
from pipelines.units import ALONE, stands


class Unit(NamedTuple):
    text: str
    start: int
    end: int
    alone: bool


def folded(character: str) -> str:
    if unicodedata.category(character) == "Cf" or "\ufe00" <= character <= "\ufe0f":
        return ""
    plain = unicodedata.normalize("NFKC", character)
    plain = plain if len(plain) == 1 and classes_of(codes_of(character))[0] in (HAN, LETTER, DIGIT, MARK) else character
    return plain.lower() if len(plain.lower()) == 1 else plain


def units_of(text: str) -> list[Unit]:
    units: list[Unit] = []
    open_word = False
    for place, character in enumerate(text):
        letter = folded(character)
        if not letter:
            continue
        alone = bool(stands()[ord(letter)] == ALONE)
        spoken = classes_of(codes_of(letter))[0] in (HAN, LETTER, DIGIT, MARK)
        if spoken and open_word and not alone:
            units[-1] = units[-1]._replace(text=units[-1].text + letter, end=place + 1)
        elif spoken:
            units.append(Unit(letter, place, place + 1, alone))
        open_word = spoken and not alone
    return units


def grams_of(text: str, words: int, characters: int, share: float = 1.0) -> list[tuple[int, int]]:
    """(First unit, unit behind) of each gram."""
    units = units_of(text)
    spans = []
    for first in range(len(units)):
        weight = 0
        for last in range(first, len(units)):
            weight += words if units[last].alone else characters
            if weight >= share * words * characters:
                spans.append((first, last + 1))
                break
    return spans


def found_in(document: str, items: Sequence[str], words: int, characters: int, shortest: float) -> dict[int, tuple[int, int]]:
    """(Grams found, grams at all) of each item that the document holds something of; an item of less than a gram is whole or nothing."""
    texts = [unit.text for unit in units_of(document)]
    grams = {tuple(texts[a:b]) for a, b in grams_of(document, words, characters)}
    found = {}
    for number, item in enumerate(items):
        own = [unit.text for unit in units_of(item)]
        spans = grams_of(item, words, characters)
        if spans:
            held = sum(tuple(own[a:b]) in grams for a, b in spans)
        elif grams_of(item, words, characters, shortest):
            spans = [(0, len(own))]
            held = int(any(texts[n : n + len(own)] == own for n in range(len(texts))))
        else:
            continue
        if held:
            found[number] = held, len(spans)
    return found
