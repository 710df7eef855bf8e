"""The model: a *pattern* is the regular expression by which a byte-level BPE cuts a text into *pieces* that no token crosses.

    cl100k    GPT-4's and Llama 3's: letters with one character before them, digits, punctuation, new lines, spaces
    o200k     GPT-4o's: the same, and a word also begins where capitals follow small letters (`readLine`)
    indent    cl100k with a new line and the indentation after it in one piece: code takes fewer tokens
    han       indent with runs of Han apart: no token joins Chinese with punctuation or with letters of other scripts

*Digits* go in threes from the left (as published), in threes from the `right` (1|234|567, as numbers are read: Singh and
Strouse 2024, arXiv:2402.14903), or `single`.

Whatever the pattern, a run of letters is cut after `RUN` of them, so that text without spaces costs the same a byte as other
text, however long it is. Han characters are letters: Chinese words are learned from data, without a segmenter.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

RUN = 256
"""Letters of one piece at the most."""

HAN = "一-龥"
OTHER_LETTERS = "A-Za-zÀ-ÖØ-öø-ÿΑ-ΡΣ-Ωα-ωА-яא-תء-غف-يक-हก-ฮぁ-ゖァ-ヺ가-힣"
"""Letters that no version of Unicode calls anything else, for a character class of Python's `re`; likewise `HAN`."""


class Pattern(NamedTuple):
    """A pattern, and what is known of where its pieces end."""

    regex: str
    """In the syntax of Oniguruma, for `tokenizers.Regex`."""
    runs: tuple[str, ...]
    """Classes of letters, for Python's `re`. A pattern that names some is *stretchable*: whatever surrounds the place, a piece
    ends between a letter of these classes and a character of `\\x00-@`, `[-`` ` ``, `{-~` or CJK punctuation; between a new line
    and a letter or digit; between letters of two of the classes; and after each `RUN` letters of one class, counted from where
    the run of that class begins (unless an apostrophe stands before it, which may take the first letters along: `'s`).
    Empty: texts are encoded whole."""


_CONTRACTION = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_BEFORE = r"[^\r\n\p{L}\p{N}]?"
_SPACES = r"\s+(?!\S)|\s+"
_PUNCTUATION = r" ?[^\s\p{L}\p{N}]+"
_INDENTED = rf"{_PUNCTUATION}(?:[\r\n]+[ \t]*)?|\s*[\r\n]+[ \t]*|{_SPACES}"
_UPPER, _LOWER = (rf"[{cases}\p{{Lm}}\p{{Lo}}\p{{M}}]" for cases in (r"\p{Lu}\p{Lt}", r"\p{Ll}"))

_DIGITS: Mapping[str, str] = {
    "threes": r"\p{N}{1,3}",
    # Looks at 20 groups ahead at the most: a longer number goes from the left until so much is left, in linear time.
    "right": r"\p{N}{1,3}(?=(?:\p{N}{3}){0,20}(?!\p{N}))|\p{N}{3}",
    "single": r"\p{N}",
}

_LETTERS: Mapping[str, str] = {
    "cl100k": rf"{_CONTRACTION}|{_BEFORE}\p{{L}}{{1,{RUN}}}",
    "o200k": (
        rf"{_BEFORE}{_UPPER}{{0,{RUN}}}{_LOWER}{{1,{RUN}}}{_CONTRACTION}?"
        rf"|{_BEFORE}{_UPPER}{{1,{RUN}}}{_LOWER}{{0,{RUN}}}{_CONTRACTION}?"
    ),
    "indent": rf"{_CONTRACTION}|{_BEFORE}\p{{L}}{{1,{RUN}}}",
    "han": rf"{_CONTRACTION}|\p{{Han}}{{1,{RUN}}}|{_BEFORE}[\p{{L}}&&[^\p{{Han}}]]{{1,{RUN}}}",
}

_REST: Mapping[str, str] = {
    "cl100k": rf"{_PUNCTUATION}[\r\n]*|\s*[\r\n]+|{_SPACES}",
    "o200k": rf"{_PUNCTUATION}[\r\n/]*|\s*[\r\n]+|{_SPACES}",
    "indent": _INDENTED,
    "han": _INDENTED,
}

_RUNS: Mapping[str, tuple[str, ...]] = {
    "cl100k": (OTHER_LETTERS + HAN,),
    "o200k": (),  # a contraction belongs to the word before it, and how long a piece is depends on its capitals
    "indent": (OTHER_LETTERS + HAN,),
    "han": (OTHER_LETTERS, HAN),
}

PATTERNS: Mapping[tuple[str, str], Pattern] = {
    (name, digits): Pattern(f"{_LETTERS[name]}|{number}|{_REST[name]}", _RUNS[name])
    for name in _LETTERS
    for digits, number in _DIGITS.items()
}
"""By the names of pattern and digits in a recipe."""


def pattern_of(pre_tokenizer: Any) -> Pattern | None:
    """The pattern that a `tokenizer.json` cuts by, given its `pre_tokenizer` as JSON; None if it is none of ours."""
    match pre_tokenizer:
        case {
            "type": "Sequence",
            "pretokenizers": [
                {"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": False},
                {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False},
            ],
        }:
            return next((pattern for pattern in PATTERNS.values() if pattern.regex == regex), None)
    return None
