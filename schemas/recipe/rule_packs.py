"""The model: a *pack* is a named set of thresholds by language. `any` of its entries serves the languages that it doesn't name; a pack
without one is for those that it names. So what was made for English (stop words, lengths of words, '{') never judges another language.

Sources: Gopher, Rae et al. 2021, arXiv:2112.11446, appendix A.1.1 and table A1; C4, Raffel et al. 2020, arXiv:1910.10683, section 2.2;
FineWeb, Penedo et al. 2024, arXiv:2406.17557, section 3.6; FineWeb-2, Penedo et al. 2025, arXiv:2506.20920, and its published
configuration cmn_Hani with the settings of its pipeline.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

PackName = Literal["gopher_quality", "gopher_repetition", "c4", "fineweb", "fineweb2", "standard"]
Thresholds = Mapping[str, float]

ANY = "any"

_GOPHER = {
    "min_words": 50, "max_words": 100_000, "max_hashes": 0.1, "max_ellipses": 0.1, "max_bullet_lines": 0.9, "max_ellipsis_lines": 0.3,
}  # fmt: skip
"""What Gopher asks of documents in any language: words are what they are in that language."""

_GOPHER_REPETITION = {
    "max_duplicate_lines": 0.3, "max_duplicate_line_chars": 0.2, "max_duplicate_paragraphs": 0.3, "max_duplicate_paragraph_chars": 0.2,
    "max_top_2gram": 0.2, "max_top_3gram": 0.18, "max_top_4gram": 0.16, "max_duplicate_5gram": 0.15, "max_duplicate_6gram": 0.14,
    "max_duplicate_7gram": 0.13, "max_duplicate_8gram": 0.12, "max_duplicate_9gram": 0.11, "max_duplicate_10gram": 0.1,
}  # fmt: skip

_MANDARIN = {"min_mean_word_length": 1, "max_mean_word_length": 5, "min_alphabetic_words": 0.735, "min_stop_words": 2}
_MANDARIN_REPETITION = {
    "max_duplicate_lines": 0.287, "max_top_2gram": 0.256, "max_top_3gram": 0.201, "max_top_4gram": 0.171, "max_duplicate_5gram": 0.198,
    "max_duplicate_6gram": 0.182, "max_duplicate_7gram": 0.167, "max_duplicate_8gram": 0.154, "max_duplicate_9gram": 0.14,
    "max_duplicate_10gram": 0.127,
}  # fmt: skip
_MANDARIN_LINES = {"min_lines_end_punctuation": 0.106, "max_new_lines": 0.178, "max_duplicate_line_chars": 0.1}

_STANDARD = {
    "max_duplicate_lines": 0.3, "max_duplicate_line_chars": 0.3, "max_duplicate_paragraphs": 0.3, "max_duplicate_paragraph_chars": 0.3,
    "max_duplicate_5gram": 0.35, "max_duplicate_10gram": 0.25, "max_hashes": 0.1, "max_symbols": 0.2, "max_digits": 0.3,
    "max_other_script": 0.4,
}  # fmt: skip
"""Wide enough for texts of any length, from a sentence on: no least length, nothing about how lines end, no list of words to be found."""

PACKS: Mapping[PackName, Mapping[str, Thresholds]] = {
    "gopher_quality": {
        "en": _GOPHER | {"min_mean_word_length": 3, "max_mean_word_length": 10, "min_alphabetic_words": 0.8, "min_stop_words": 2},
        "zh": _GOPHER | _MANDARIN,
        ANY: _GOPHER,
    },
    "gopher_repetition": {"zh": _GOPHER_REPETITION | _MANDARIN_REPETITION, ANY: _GOPHER_REPETITION},
    "c4": {
        "en": {
            "min_sentences": 3, "max_longest_word": 1000, "max_curly_brackets": 0, "max_lorem_ipsum": 0, "max_boilerplate_lines": 0.5,
        },
        ANY: {"min_sentences": 3},
    },
    "fineweb": {
        "en": {"min_lines_end_punctuation": 0.12, "max_short_lines": 0.67, "max_duplicate_line_chars": 0.1, "max_new_lines": 0.3},
        "zh": _MANDARIN_LINES,
        ANY: {"max_duplicate_line_chars": 0.1},
    },
    "fineweb2": {"zh": _GOPHER | _MANDARIN | _MANDARIN_REPETITION | _MANDARIN_LINES | {"min_lang_score": 0.692}},
    "standard": {
        "en": _STANDARD | {
            "min_mean_word_length": 2, "max_mean_word_length": 10, "min_alphabetic_words": 0.6, "max_longest_word": 1000,
            "max_new_lines": 0.5, "max_bullet_lines": 0.9, "max_lorem_ipsum": 0, "max_boilerplate_lines": 0.5,
        },
        "zh": _STANDARD | {"max_mean_word_length": 5, "min_alphabetic_words": 0.5, "max_new_lines": 0.4, "max_digits": 0.35},
        ANY: _STANDARD,
    },
}  # fmt: skip


def thresholds_of(pack: PackName, lang: str) -> Thresholds:
    """What a pack says of a language (or of `default`, all others); empty if it is not for it."""
    return PACKS[pack].get(lang, PACKS[pack].get(ANY, {}))


def languages_of(pack: PackName) -> tuple[str, ...]:
    """The languages that a pack names."""
    return tuple(lang for lang in PACKS[pack] if lang != ANY)
