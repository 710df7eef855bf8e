"""The model: a *piece* is what n-grams are made of, a *word* a piece that counts as one:

    spaced languages    pieces are what white space parts, and all are words
    Chinese             pieces are rjieba's, punctuation marks too; those with a letter or digit are words
    other languages that put no spaces between words (Japanese, Thai, ...), for which no segmenter is at hand: pieces and words are
                        single characters, and runs of letters and digits of other scripts

All are places in one array of the code points of many texts; a text ends with a new line there, so that no piece goes on beyond it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from pipelines.characters import DIGIT, HAN, JIEBA_CUTS, LETTER, SPACE, blocks, codes_of
from pipelines.span_hashes import Hashes, SpanHashes
from pipelines.units import find_units, stands

Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
Kind = Literal["spaced", "chinese", "unspaced"]

STOP_WORDS = {
    "en": "the be to of and that have with",  # Gopher (Rae et al. 2021, appendix A.1.1)
    "zh": "的 年 在 月 是 和 日 了 於 · 為 有 被 人 中 为 他 與 後 也 而 由",  # FineWeb-2's for Mandarin
}

_UNSPACED = frozenset({"ja", "th", "lo", "km", "my", "bo", "yue", "wuu"})


class Words(NamedTuple):
    """Pieces, in order; a row of the arrays is one of them."""

    starts: Ints
    ends: Ints
    counted: Mask
    """Which pieces are words."""


def kind_of(lang: str) -> Kind:
    """How words are found in texts of a language."""
    return "chinese" if lang == "zh" else "unspaced" if lang in _UNSPACED else "spaced"


def find_runs(classes: npt.NDArray[np.uint8]) -> tuple[Ints, Ints]:
    """Where characters that are not white space stand together, as `str.split` finds them."""
    inked = np.zeros(classes.size + 1, np.bool_)
    np.not_equal(classes, SPACE, out=inked[1:])  # all ends with a space
    edges = np.flatnonzero(inked[1:] != inked[:-1])
    return edges[::2], edges[1::2]


def find_words(joined: str, codes: npt.NDArray[np.uint32], classes: npt.NDArray[np.uint8], kind: Kind) -> Words:
    """The pieces of texts of one kind."""
    if kind == "chinese":
        return _chinese_words(joined, classes)
    starts, ends = find_runs(classes) if kind == "spaced" else find_units(stands()[codes])
    return Words(starts, ends, np.ones(starts.size, np.bool_))


def _chinese_words(joined: str, classes: npt.NDArray[np.uint8]) -> Words:
    import rjieba

    lengths = np.concatenate([_lengths(rjieba.cut(block)) for block in blocks(joined, JIEBA_CUTS)])
    ends = np.cumsum(lengths)
    starts = ends - lengths
    inked = classes[starts] != SPACE
    starts, ends = starts[inked], ends[inked]
    return Words(starts, ends, hold((classes == HAN) | (classes == LETTER) | (classes == DIGIT), starts, ends))


def _lengths(words: list[str]) -> Ints:
    return np.fromiter(map(len, words), np.int64, len(words))


def hold(marked: Mask, starts: Ints, ends: Ints) -> Mask:
    """Which spans hold a marked character."""
    before = np.zeros(marked.size + 1, np.int32)
    np.cumsum(marked, out=before[1:])
    return before[ends] > before[starts]


def count_stop_words(hashes: Hashes, text: npt.NDArray[np.int32], langs: Sequence[str]) -> npt.NDArray[np.float64]:
    """How many different stop words of its language each text has; NaN for languages whose stop words aren't listed.

    `hashes` and `text`, the number of its text, are of each piece. Words count in lower and upper case, and with a capital.
    """
    counts = np.full(len(langs), np.nan)
    for lang in STOP_WORDS.keys() & set(langs):
        rows = np.array([one == lang for one in langs])
        keys, words, filtered = _stop_words(lang)
        likely = np.flatnonzero(filtered[(hashes >> _FILTER_SHIFT).astype(np.intp)])
        at = np.minimum(np.searchsorted(keys, hashes[likely]), keys.size - 1)
        hit = keys[at] == hashes[likely]
        stands = np.zeros((len(langs), words.max() + 1), np.bool_)
        stands[text[likely[hit]], words[at[hit]]] = True
        counts[rows] = stands.sum(1)[rows]
    return counts


_FILTER_SHIFT = np.uint64(52)


@cache
def _stop_words(lang: str) -> tuple[Hashes, Ints, Mask]:
    """Hashes of the stop words in each case, sorted; the number of the word of each; and by their highest bits, which there are."""
    listed = STOP_WORDS[lang].split()
    number = {hash_of(form): k for k, word in enumerate(listed) for form in (word, word.capitalize(), word.upper())}
    keys = np.array(sorted(number), np.uint64)
    filtered = np.zeros(1 << 12, np.bool_)
    filtered[(keys >> _FILTER_SHIFT).astype(np.intp)] = True
    return keys, np.array([number[key] for key in sorted(number)]), filtered


def hash_of(word: str) -> int:
    """As that of a piece."""
    return int(SpanHashes(codes_of(word).astype(np.uint64) + np.uint64(1)).of(np.array([0]), np.array([len(word)]))[0])
