"""The model: a *signal* is a number measured on a text that tells prose from boilerplate; rules judge by it.

    chars                   characters (code points), white space included
    words                   spaced languages: white-space tokens; Chinese: rjieba's words with a letter or digit in them
    mean_word_length        characters a word
    alphabetic              share of letters (Han included) and combining marks   \\
    digits                  share of numbers (N*)                                  |  of the characters that are
    symbols                 share of symbols, controls (S*, C*) and '#'            |  not white space
    han                     share of Han characters                               /
    lines_end_punctuation   share of non-blank lines that end in a terminal mark or a closing quote (C4), full-width too
    new_lines               new lines over words, at most 1 (FineWeb)
    duplicate_lines         share of non-blank lines that repeat an earlier one, white space at the ends aside (Gopher)
    top_2gram               share of characters in the most frequent 2-gram, 0 if none repeats, at most 1 (Gopher); over
                            words for spaced languages, over characters that are not white space for Chinese

A ratio whose denominator is 0 is 0. Definitions follow Gopher (Rae et al. 2021, arXiv:2112.11446, table A1), C4 (Raffel
et al. 2020, arXiv:1910.10683) and FineWeb-2 (Penedo et al. 2025, arXiv:2506.20920), whose thresholds for Chinese they fit.

All is arithmetic on arrays over many texts joined by new lines; a text's signals never depend on its neighbours.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipelines.characters import DIGIT, HAN, JIEBA_CUTS, LETTER, MARK, SPACE, SYMBOL, blocks, classes_of, codes_of
from schemas.arrow import SIGNALS

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

_END_MARKS = frozenset(".!?…。！？｡．؟।॥;；\"'”’»」』")
"""Terminal punctuation, and the quotes that close a sentence after it."""

_GROUP_CHARS = 1 << 20
"""Characters measured at a time: the arrays stay in cache and memory stays small."""

_SPACE = re.compile(r"\s")
_MIX = np.uint64(0x9E3779B97F4A7C15)


def measure(texts: Sequence[str], langs: Sequence[str]) -> pa.StructArray:
    """Signals of each text: a struct array of float32 fields `schemas.arrow.SIGNALS`, row i for text i."""
    columns = np.zeros((len(SIGNALS), len(texts)), np.float32)
    for chinese in (False, True):
        rows = [i for i, lang in enumerate(langs) if (lang == "zh") == chinese]
        for group in _groups(texts, rows):
            columns[:, group] = _measure([texts[i] for i in group], chinese)
    return pa.StructArray.from_arrays([pa.array(column) for column in columns], names=list(SIGNALS))


def engines() -> dict[str, str]:
    """Versions of what decides the signals, for fingerprints."""
    return {"rjieba": version("rjieba"), "unicode": unicodedata.unidata_version}


def _groups(texts: Sequence[str], rows: Sequence[int]) -> Iterator[list[int]]:
    group: list[int] = []
    chars = 0
    for row in rows:
        if group and chars + len(texts[row]) > _GROUP_CHARS:
            yield group
            group, chars = [], 0
        group.append(row)
        chars += len(texts[row])
    if group:
        yield group


def _measure(texts: Sequence[str], chinese: bool) -> Floats:
    """Signals of texts of one kind of language, shape (signals, texts)."""
    joined = "\n".join(texts) + "\n"
    codes = codes_of(joined)
    classes = classes_of(codes)
    chars = np.fromiter(map(len, texts), np.int64, len(texts))
    ends = np.cumsum(chars + 1) - 1
    rows = _Rows(ends - chars, ends)

    inked = classes != SPACE
    ink = rows.count(inked)
    han = rows.count(classes == HAN)
    if chinese:
        words, word_chars = _chinese_words(joined, classes, rows)
        top = 2 * _top_character_pairs(codes[inked], ink) / np.maximum(ink, 1)
    else:
        starts = inked.copy()
        starts[1:] &= ~inked[:-1]
        words, word_chars = rows.count(starts), ink
        top = _top_word_pairs(joined, words) / np.maximum(chars, 1)
    lines = rows.count(codes == ord("\n")) + 1
    end_share, duplicate_share = _lines(joined, lines)
    signals = {
        "chars": chars,
        "words": words,
        "mean_word_length": _ratio(word_chars, words),
        "alphabetic": _ratio(rows.count((classes == LETTER) | (classes == MARK)) + han, ink),
        "digits": _ratio(rows.count(classes == DIGIT), ink),
        "symbols": _ratio(rows.count((classes == SYMBOL) | (codes == ord("#"))), ink),
        "han": _ratio(han, ink),
        "lines_end_punctuation": end_share,
        "new_lines": np.minimum(_ratio(lines - 1, words), 1),
        "duplicate_lines": duplicate_share,
        "top_2gram": np.minimum(top, 1),
    }
    return np.stack([signals[name] for name in SIGNALS])


class _Rows:
    """Where texts lie in the joined characters; counts marked characters text by text."""

    def __init__(self, starts: Ints, ends: Ints) -> None:
        self._bounds = np.stack([starts, ends], axis=1).ravel()
        self._filled = ends > starts

    def count(self, mask: Mask) -> Ints:
        """Marked characters in each text, shape (texts,)."""
        sums = np.add.reduceat(mask.view(np.uint8), self._bounds, dtype=np.int64)[::2]
        return np.where(self._filled, sums, 0)


def _ratio(part: Ints, whole: Ints) -> Floats:
    return part / np.maximum(whole, 1) * (whole > 0)


def _chinese_words(joined: str, classes: npt.NDArray[np.uint8], rows: _Rows) -> tuple[Ints, Ints]:
    """rjieba's words that hold a letter or digit, and the characters in them, for each text."""
    import rjieba

    lengths = np.concatenate([_lengths(rjieba.cut(block)) for block in blocks(joined, JIEBA_CUTS)])
    ends = np.cumsum(lengths)
    spoken = (classes == HAN) | (classes == LETTER) | (classes == DIGIT)
    is_word = np.logical_or.reduceat(spoken, ends - lengths)
    at_start = np.zeros(classes.size, bool)
    at_start[(ends - lengths)[is_word]] = True
    return rows.count(at_start), rows.count(np.repeat(is_word, lengths))


def _lengths(words: list[str]) -> Ints:
    return np.fromiter(map(len, words), np.int64, len(words))


def _hashes(words: list[str]) -> npt.NDArray[np.uint64]:
    """Python's hashes: they differ from process to process, but only equality of words is asked of them."""
    return np.fromiter(map(hash, words), np.int64, len(words)).view(np.uint64)


def _top_character_pairs(codes: npt.NDArray[np.uint32], per_text: Ints) -> Ints:
    """Count of the most frequent pair of adjacent characters in each text, 0 if none repeats."""
    text = np.repeat(np.arange(per_text.size, dtype=np.uint64), per_text)
    wide = codes.astype(np.uint64)
    keys = text[1:] << np.uint64(42) | wide[:-1] << np.uint64(21) | wide[1:]
    keys = np.sort(keys[text[1:] == text[:-1]])
    best = np.zeros(per_text.size, np.int64)
    if keys.size:
        starts = _runs(keys)
        counts = np.diff(starts, append=keys.size)
        text_of_pair = (keys[starts] >> np.uint64(42)).astype(np.int64)
        filled = _runs(text_of_pair)
        best[text_of_pair[filled]] = np.maximum.reduceat(counts, filled)
    return np.where(best > 1, best, 0)


def _top_word_pairs(joined: str, per_text: Ints) -> Ints:
    """Characters in the occurrences of the most frequent pair of adjacent words of each text; the first such pair's."""
    found = [(_hashes(words), _lengths(words)) for words in map(str.split, blocks(joined, _SPACE))]
    hashes, lengths = (np.concatenate(arrays) for arrays in zip(*found, strict=True))
    text = np.repeat(np.arange(per_text.size), per_text)
    pairs = np.flatnonzero(text[1:] == text[:-1])
    keys = (hashes[pairs] * _MIX + hashes[pairs + 1]) * _MIX + text[pairs].astype(np.uint64)
    counts, first = _count(keys)
    at = pairs[first]
    best = np.zeros(per_text.size, np.int64)
    np.maximum.at(best, text[at], counts)
    winners = np.flatnonzero(counts == best[text[at]])
    winners = winners[np.argsort(-at[winners])]  # of equals the first in the text, written last, stays
    covered = np.zeros(per_text.size, np.int64)
    covered[text[at[winners]]] = counts[winners] * (lengths[at[winners]] + 1 + lengths[at[winners] + 1])
    return np.where(best > 1, covered, 0)


def _count(keys: npt.NDArray[np.uint64]) -> tuple[Ints, Ints]:
    """How often each distinct key stands in `keys`, and where first; in no particular order."""
    if not keys.size:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    order = np.argsort(keys)
    starts = _runs(keys[order])
    return np.diff(starts, append=keys.size), np.minimum.reduceat(order, starts)


def _runs(values: npt.NDArray[Any]) -> Ints:
    """Where runs of equal values start; `values` is not empty."""
    return np.concatenate(([0], np.flatnonzero(values[1:] != values[:-1]) + 1))


def _lines(joined: str, per_text: Ints) -> tuple[Floats, Floats]:
    """Shares of non-blank lines that end in punctuation, and that repeat an earlier line of their text."""
    lines = [line.strip() for line in joined.split("\n")]
    hashes = _hashes(lines)[:-1]  # behind the last new line is no line
    ended = np.fromiter((line[-1:] in _END_MARKS for line in lines), bool, len(lines))[:-1]
    filled = np.fromiter(map(bool, lines), bool, len(lines))[:-1]
    text = np.repeat(np.arange(per_text.size), per_text)
    in_text = text[filled]
    first = _count(hashes[filled] * _MIX + in_text.astype(np.uint64))[1]
    total, ends, distinct = (np.bincount(rows, minlength=per_text.size) for rows in (in_text, text[ended], in_text[first]))
    return _ratio(ends, total), _ratio(total - distinct, total)
