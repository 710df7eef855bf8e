"""Words by rule: Unicode's where it has one, Universal Dependencies' where that differs; graphemes whole, whatever the text."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.annotate.fast.words import LONGEST, word_spans
from pipelines.characters import codes_of, text_starts


def spans(texts: list[str], lang: str = "en") -> list[tuple[int, int]]:
    starts, ends = word_spans(codes_of("".join(texts)), text_starts(texts), lang)
    return list(zip(starts.tolist(), ends.tolist(), strict=True))


def words(text: str, lang: str = "en") -> list[str]:
    return [text[a:b] for a, b in spans([text], lang)]


@pytest.mark.parametrize(
    "expected",
    [
        "can't → ca n't",
        "I'm → I 'm",
        "DON'T → DO N'T",
        "dog’s → dog ’s",
        "dogs' → dogs '",
        "we'd've → we 'd 've",
        "O'Neill's → O'Neill 's",
        "o'clock → o'clock",
        "'em → 'em",
        "cannot → can not",
        "Gonna → Gon na",
        "dont → do nt",
        "Im → I m",
        "IM → IM",
        "well-known → well - known",
        "10-year-old → 10 - year - old",
        "non-profit → non-profit",
        "e-mail's → e-mail 's",
        "and/or → and / or",
        "w/o → w/o",
        "U.S. → U.S.",
        "U.S → U.S",
        "e.g.) → e.g. )",
        "Dr. → Dr.",
        "J. → J.",
        "end. → end .",
        "end.The → end . The",
        "etc.). → etc. ) .",
        "http://x.org/a?b=1. → http://x.org/a?b=1 .",
        "(www.x.org) → ( www.x.org )",
        "me.too@x-y.org, → me.too@x-y.org ,",
        "@someone → @someone",
        "#tag → #tag",
        "#1 → # 1",
        "report.pdf. → report.pdf .",
        "comp.lang.python → comp.lang.python",
        "1,000.50 → 1,000.50",
        "10:30pm → 10:30 pm",
        "9/11/2001 → 9/11/2001",
        "5kg → 5 kg",
        "21st → 21st",
        "50,000th → 50,000th",
        "1990s → 1990s",
        "1998-99 → 1998 - 99",
        "555-1234 → 555-1234",
        "$5.99 → $ 5.99",
        "US$5 → US$ 5",
        "3.5% → 3.5 %",
        "AT&T → AT&T",
        "wait...what?! → wait ... what ?!",
        "so--well → so -- well",
        "great:-) → great :-)",
        '"Hi," → " Hi , "',
        "“Hi” → “ Hi ”",
        "&amp; → &amp;",
        "snake_case → snake_case",
    ],
)
def test_english_words_are_those_of_universal_dependencies(expected: str) -> None:
    text, _, found = expected.partition(" → ")
    assert words(text) == found.split(" ")


@pytest.mark.parametrize(
    ("text", "expected"),
    [  # by the rules of UAX #29 that they are named for
        ("a\u0308b c\u00add", ["a\u0308b", "c\u00add"]),  # WB4
        ("abc", ["abc"]),  # WB5
        ("l\u2019eau a\u00b7b", ["l\u2019eau", "a\u00b7b"]),  # WB6, WB7
        ('צה"ל', ['צה"ל']),  # WB7b, WB7c
        ("42 3a a3", ["42", "3a", "a3"]),  # WB8 to WB10
        ("1.5 1,5 1٬5", ["1.5", "1,5", "1٬5"]),  # WB11, WB12
        ("a. .5 a,b", ["a.", ".5", "a", ",", "b"]),
        ("カタカナ ｶﾞ", ["カタカナ", "ｶﾞ"]),  # WB13
        ("a_b _1", ["a_b", "_1"]),  # WB13a, WB13b
        ("🇩🇪🇫🇷🇬 🇧", ["🇩🇪", "🇫🇷", "🇬", "🇧"]),  # WB15, WB16
        ("👩\u200d🔬👍🏽", ["👩\u200d🔬", "👍🏽"]),  # WB3c, WB4
        ("漢字", ["漢", "字"]),  # WB999
        ("Привет, мир! γειά", ["Привет", ",", "мир", "!", "γειά"]),
        ("مرحبا بالعالم، نعم؟", ["مرحبا", "بالعالم", "،", "نعم", "؟"]),
        ("नमस्ते दुनिया।", ["नमस्ते", "दुनिया", "।"]),
        ("안녕하세요, 세계", ["안녕하세요", ",", "세계"]),
        ("ひらがなと漢字とカナ", ["ひらがなと", "漢", "字", "と", "カナ"]),  # from here on the scripts that the annex leaves open
        ("ภาษาไทยok", ["ภาษาไทย", "ok"]),
        ("ខ្មែរ ລາວ မြန်မာ", ["ខ្មែរ", "ລາວ", "မြန်မာ"]),
        ("好……吧——嗯？！", ["好", "……", "吧", "——", "嗯", "？！"]),
    ],
)
def test_words_of_all_scripts(text: str, expected: list[str]) -> None:
    assert words(text, "und") == expected


def test_runs_of_ideographs_are_words_in_japanese() -> None:
    assert words("日本語の本を読む。", "ja") == ["日本語", "の", "本", "を", "読", "む", "。"]


def test_apostrophes_cut_where_a_language_elides() -> None:
    assert words("l'homme d’aujourd'hui", "fr") == ["l'", "homme", "d’", "aujourd'hui"]
    assert words("don't", "de") == ["don't"]


def test_dots_make_ordinals_where_a_language_writes_them_so() -> None:
    assert words("am 3. Mai 1999.", "de") == ["am", "3.", "Mai", "1999", "."]
    assert words("Take 3. Go.", "en") == ["Take", "3", ".", "Go", "."]


GRAPHEMES = [
    *"aZé7_ \n.,'’-!?#@:/$字のカก",
    "e\u0301",
    "\u0939\u093f",
    "\u0915\u094d\u0937",
    "\u0e01\u0e33",
    "각",
    "\u1100\u1161\u11a8",
    "👩\u200d👩\u200d👧",
    "👍🏽",
    "❤\ufe0f",
    "1\ufe0f\u20e3",
    "🇩🇪",
    "\u06005",
    "o\u200c",
]
ENGLISH = ["don't", "U.S.", "x@y.org", "3.5", "--", "cannot"]


@settings(deadline=None)
@given(st.lists(st.sampled_from(GRAPHEMES + ENGLISH), max_size=12), st.sampled_from(["en", "zh", "ja", "und"]))
def test_no_grapheme_is_cut(pieces: list[str], lang: str) -> None:
    placed = zip(text_starts(pieces).tolist(), pieces, strict=False)
    inside = {start + i for start, piece in placed if piece in GRAPHEMES for i in range(1, len(piece))}
    assert not inside & {edge for span in spans(["".join(pieces)], lang) for edge in span}


TEXTS = st.lists(st.text() | st.text(st.sampled_from("ab1. '-’@:/\n\u0301\u200d🇩😀好のカก\"")), max_size=5)


@settings(deadline=None)
@given(TEXTS, st.sampled_from(["en", "zh", "ja", "fr", "und"]))
def test_words_cover_all_but_white_space_and_nothing_depends_on_neighbours(texts: list[str], lang: str) -> None:
    found = spans(texts, lang)
    joined = "".join(texts)
    assert all(a < b for a, b in found)
    assert all(b <= c for (_, b), (c, _) in pairwise(found))
    assert "".join(joined[a:b] for a, b in found) == "".join(joined.split())
    placed = zip(text_starts(texts).tolist(), texts, strict=False)
    assert found == [(start + a, start + b) for start, text in placed for a, b in spans([text], lang)]


def test_a_chunk_too_long_for_prose_is_cut_by_its_classes() -> None:
    assert words("a-" * LONGEST) == ["a", "-"] * LONGEST
    assert words("don't" * LONGEST) == ["don't" * LONGEST]


def test_no_text_has_no_words() -> None:
    for texts in ([], [""], ["", " \n"]):
        assert spans(texts) == []
    assert word_spans(np.zeros(0, np.uint32), np.zeros(1, np.int64), "en")[0].dtype == np.int64
