"""Every table of code points is, of each of them, what Python itself says: however quickly it was made."""

from __future__ import annotations

import re
import unicodedata

import numpy as np
import pytest

from pipelines import characters
from pipelines.annotate.fast import chunks, classes, sentences, word_features
from pipelines.categories import CATEGORIES, CODE_POINTS, by_category, categories, having, spaces, told_of
from pipelines.characters import HAN_RANGES

ALL = [chr(code) for code in range(CODE_POINTS)]


@pytest.fixture(scope="module")
def told() -> list[str]:
    """The category of every code point, one after the other."""
    return [unicodedata.category(character) for character in ALL]


def test_categories_are_those_of_python(told: list[str]) -> None:
    assert [CATEGORIES[number] for number in categories().tolist()] == told


def test_parts_of_the_table(told: list[str]) -> None:
    assert having(("M", "Cf")).tolist() == [code for code, name in enumerate(told) if name[0] == "M" or name == "Cf"]
    assert by_category(lambda name: 2 * (name == "Lo")).tolist() == [2 * (name == "Lo") for name in told]
    assert told_of(str.isupper, np.arange(0x3A, 0x62)).tolist() == list(range(0x41, 0x5B))


def test_all_white_space_is_found() -> None:
    assert spaces().tolist() == [code for code, character in enumerate(ALL) if character.isspace()]


def test_classes_of_characters(told: list[str]) -> None:
    kinds = {"L": characters.LETTER, "N": characters.DIGIT, "Z": characters.SPACE, "P": characters.PUNCTUATION, "M": characters.MARK}
    expected = [characters.SPACE if c.isspace() else kinds.get(name[0], characters.SYMBOL) for c, name in zip(ALL, told, strict=True)]
    _ideographs(expected, (characters.LETTER, characters.DIGIT), characters.HAN)
    assert characters.classes_of(np.arange(CODE_POINTS, dtype=np.uint32)).tolist() == expected


def test_classes_of_word_boundaries(told: list[str]) -> None:
    """But for the scripts and the single characters that the table names, which are looked at where words are tested."""
    by_name = {"Pc": classes.CONNECTOR, "Mn": classes.EXTEND, "Mc": classes.EXTEND, "Me": classes.EXTEND, "Cf": classes.EXTEND}
    by_name |= dict.fromkeys(("Lu", "Ll", "Lt", "Lm", "Lo", "Nl"), classes.LETTER) | {"Nd": classes.DIGIT, "No": classes.DIGIT}
    expected = [classes.SPACE if c.isspace() else by_name.get(name, classes.OTHER) for c, name in zip(ALL, told, strict=True)]
    _ideographs(expected, (classes.LETTER, classes.DIGIT), classes.HAN)
    found, plain = classes.table(), (classes.SPACE, classes.HAN, classes.LETTER, classes.DIGIT, classes.EXTEND, classes.OTHER)
    derived = np.isin(found, plain)
    derived[list(map(ord, "\uff9e\uff9f\u200b"))] = derived[classes.EMOJI_MODIFIERS[0] : classes.EMOJI_MODIFIERS[1] + 1] = False
    assert np.array_equal(found[derived], np.array(expected)[derived])
    assert np.count_nonzero(~derived) < 2000


def test_kinds_of_characters_in_sentences() -> None:
    named = set(map(ord, "".join(sentences._CHARACTERS.values())))
    found = sentences._table().tolist()
    expected = [(sentences._LOWER if c.islower() else sentences._UPPER) if c.isalnum() else 0 for c in ALL]
    assert [code for code in range(CODE_POINTS) if code not in named and found[code] != expected[code]] == []


def test_marks_belong_to_words(told: list[str]) -> None:
    mark = re.compile(f"[{chunks._marks()}]")
    marks = [code for code, name in enumerate(told) if name in ("Mn", "Mc", "Me", "Cf") and code != 0x200B]
    assert [code for code, character in enumerate(ALL) if mark.match(character)] == marks


def test_folded_characters(told: list[str]) -> None:
    folds, plane = word_features._folds().tolist(), range(1 << 16)
    for code in plane:
        narrow = chr(code - 0xFEE0) if 0xFF01 <= code <= 0xFF5E else chr(code)
        lower = word_features._LIKE.get(narrow, narrow).lower()
        expected = ord("0") if told[ord(lower[0])] == "Nd" else ord(lower[0])
        assert folds[code] == (expected if len(lower) == 1 else code)
    assert word_features._uppers().tolist() == [told[code] in ("Lu", "Lt") for code in plane]


def _ideographs(kinds: list[int], among: tuple[int, ...], han: int) -> None:
    for first, last in HAN_RANGES:
        kinds[first : last + 1] = [han if kind in among else kind for kind in kinds[first : last + 1]]
