"""Cleaning repairs and counts; it is idempotent, and Chinese punctuation survives it."""

import itertools

import pytest
from ftfy import fix_text
from ftfy.badness import MOJIBAKE_CATEGORIES
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipelines.clean import clean_text
from pipelines.clean.text import ftfy_config, suspects
from schemas.recipe import Clean

MOJIBAKE_CHARACTERS = "".join(chr(c) for c in range(0x2660) for group in MOJIBAKE_CATEGORIES.values() if chr(c) in group)
MIXED = st.text(st.sampled_from(MOJIBAKE_CHARACTERS + "aZ. ,1\n\r\x00\x85中。\u0301\u2028\ufeff\ud800")) | st.text(st.characters())
MISREAD = st.builds(
    lambda text, encoding: text.encode().decode(encoding), st.text(st.sampled_from("é中。“ñ a\n™")), st.sampled_from(["latin-1", "cp437"])
)
ON = Clean()


@settings(deadline=None)
@given(MIXED | MISREAD)
@example("Ã\x00©")
@example("\r\r\n")
@example("e\x00\u0301")
def test_cleaning_is_idempotent_and_gives_utf8(text: str) -> None:
    once, _ = clean_text(text, ON)
    assert clean_text(once, ON) == (once, {})
    once.encode()


@settings(deadline=None)
@given(MIXED | MISREAD)
def test_no_change_is_reported_exactly_when_nothing_changed(text: str) -> None:
    cleaned, kinds = clean_text(text, ON)
    assert (kinds == {}) == (cleaned == text)
    assert all(count > 0 for count in kinds.values())


@settings(deadline=None)
@given(MIXED | MISREAD)
def test_what_is_not_suspect_is_a_no_op_for_ftfy(text: str) -> None:
    for line in text.splitlines(keepends=True):
        if not suspects().search(line):
            assert fix_text(line, ftfy_config()) == line


def test_no_short_string_of_unsuspicious_characters_is_suspect_to_ftfy() -> None:
    alphabet = [c for c in MOJIBAKE_CHARACTERS if not suspects().match(c)] + list("aZ.1 中。\t")
    for length in (1, 2, 3):
        # joined by new lines, which ftfy takes apart: one call for all
        text = "\n".join(map("".join, itertools.product(alphabet, repeat=length)))
        assert fix_text(text, ftfy_config()) == text


@settings(deadline=None)
@given(st.lists(MIXED | MISREAD))
def test_repairing_suspect_lines_is_ftfy_on_the_whole_text(lines: list[str]) -> None:
    text = "\n".join(lines)
    if not any("\ud800" <= c <= "\udfff" for c in text):
        assert clean_text(text, Clean(nfc=False, control_characters=False))[0] == _fixpoint(text)


def _fixpoint(text: str) -> str:
    while (fixed := fix_text(text, ftfy_config())) != text:
        text = fixed
    return text


@pytest.mark.parametrize(
    "text",
    [
        "他说：“很好，非常好！”（真的？）——《书名》……『引』·１２３ＡＢＣ　全角；、。",
        "“Curly” quotes, ‘single’ ones, an ellipsis… a dash — and ﬁ.",
        "&lt;b&gt; &amp; AT&T",
        "\x1b[31mred\x1b[0m".replace("\x1b", ""),
        "tab\tand\nnew line\n\n  indented\n",
        "naïve café, Größe, Ελληνικά, русский, 한국어, ภาษาไทย, 👩‍👩‍👧",
    ],
)
def test_clean_text_stays_as_it_is(text: str) -> None:
    assert clean_text(text, ON) == (text, {})


@pytest.mark.parametrize(
    ("text", "cleaned", "kinds"),
    [
        ("schÃ¶n", "schön", {"mojibake": 4}),
        ("ok\næ\x98¯\nok", "ok\n是\nok", {"mojibake": 6}),
        ("a\r\nb\rc\x0cd", "a\nb\nc\nd", {"control": 3}),
        ("a\x00b\x7fc\ufeff", "abc", {"control": 5}),
        ("e\u0301t\u00e9", "\u00e9t\u00e9", {"nfc": 3}),
        ("\ud83d x", "\ufffd x", {"mojibake": 3}),
        ("㎏ \u212b", "㎏ \u00c5", {"nfc": 3}),
    ],
)
def test_changes_are_counted_in_bytes_by_kind(text: str, cleaned: str, kinds: dict[str, int]) -> None:
    assert clean_text(text, ON) == (cleaned, kinds)


def test_what_is_switched_off_is_left_alone() -> None:
    off = Clean(ftfy=False, nfc=False, control_characters=False)
    text = "schÃ¶n\r\n\x00e\u0301"
    assert clean_text(text, off) == (text, {})
