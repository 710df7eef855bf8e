"""Sentences by rule: terminals, what speaks against them, and lines."""

import pyarrow as pa
import pytest

from pipelines.annotate import open_annotator
from schemas.recipe import Annotator


def sentences(text: str, lang: str = "en") -> list[str]:
    ends = open_annotator(Annotator(), lang).annotate(pa.array([text], pa.string())).sentence_ends[0].as_py()
    return [text.encode()[a:b].decode() for a, b in zip([0, *ends], ends, strict=False)]


@pytest.mark.parametrize(
    "expected",
    [
        "It works. |It does! |Does it? |Yes.",
        "it works. |no capitals here. |ok",
        "Dr. No met Mr. Smith in St. Louis.",
        "He lives in the U.S. |The end.",
        "He lives in the U.S. Army base.",
        "At 5 p.m. we left. |J. R. Smith came.",
        "See Fig. 3 and so on.",
        '"Stop!" he said.',
        '"Stop!" |He left.',
        "(It is.) |Then he left.",
        "He said “Go.” |And went.",
        "Well ... maybe. |Well... |Maybe.",
        "Version 3.5 is out. |Get it at x.org. |3 people did.",
        "One.Two words.",
        "1. Do this. |2. Do that. |Not before 1999. |Then stop.",
        "What?! |No way!!! |OK",
        "  Leading space. |Next.  ",
        "¿Qué? |¡Sí! |Bueno.",
        "नमस्ते। |दुनिया।",
        "مرحبا؟ |نعم.",
    ],
)
def test_sentences_end_at_terminals(expected: str) -> None:
    parts = expected.split("|")
    if expected.startswith("One."):
        parts = ["One.", "Two words."]
    assert sentences(expected.replace("|", "") if len(parts) > 1 else expected) == parts


@pytest.mark.parametrize(
    "parts",
    [
        ["A title\n\n", "a small letter behind a blank line"],
        ["First line\n", "Second line"],
        ["- one\n", "- two\n", "- three\n"],
        ["a line that goes on\nwith a small letter"],
        [
            "The quick brown fox jumps over the lazy dog while the Queen of\nEngland looks on and smiles. ",
            "Then the whole party goes home to\nLondon.",
        ],
        ["It is so\n", "1. Item one.\n", "2. Item two"],
        ["\n\n  Text\n \n", "more"],
    ],
)
def test_line_breaks_end_sentences_unless_the_line_was_wrapped(parts: list[str]) -> None:
    assert sentences("".join(parts)) == parts


def test_chinese_and_japanese_sentences() -> None:
    assert sentences("他说：“很好！”然后走了。3.5元？", "zh") == ["他说：“很好！”", "然后走了。", "3.5元？"]
    assert sentences("「行く。」と言った。そう！", "ja") == ["「行く。」", "と言った。", "そう！"]


def test_a_text_of_white_space_is_one_sentence_without_words() -> None:
    assert sentences(" \n\n ") == [" \n\n "]
    assert sentences("") == []
