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
    harmful                 share of characters in terms of word lists (pipelines/harmful); measured there, handed on here

A ratio whose denominator is 0 is 0. Definitions follow Gopher (Rae et al. 2021, arXiv:2112.11446, table A1), C4 (Raffel
et al. 2020, arXiv:1910.10683) and FineWeb-2 (Penedo et al. 2025, arXiv:2506.20920), whose thresholds for Chinese they fit.

All is arithmetic on arrays over many texts joined by new lines; a text's signals never depend on its neighbours.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.metadata import version
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipelines.characters import DIGIT, HAN, JIEBA_CUTS, LETTER, MARK, SPACE, SYMBOL, blocks, classes_of, codes_of
from pipelines.span_hashes import SpanHashes
from schemas.arrow import SIGNALS

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

_END_MARKS = codes_of(".!?…。！？｡．؟।॥;；\"'”’»」』")
"""Terminal punctuation, and the quotes that close a sentence after it."""

_MEASURED = SIGNALS[:-1]
"""All but `harmful`, which is the last."""

_GROUP_CHARS = 1 << 17
"""Characters measured at a time: the arrays stay in cache and memory stays small."""

_CLASSES = 8
"""A number of character classes that is enough."""
_MIX = np.uint64(0x9E3779B97F4A7C15)


def measure(texts: Sequence[str], langs: Sequence[str], harmful: npt.NDArray[np.float32] | None = None) -> pa.StructArray:
    """Signals of each text: a struct array of float32 fields `schemas.arrow.SIGNALS`, row i for text i. Null: `harmful` wasn't scored."""
    columns = np.zeros((len(_MEASURED), len(texts)), np.float32)
    for chinese in (False, True):
        rows = [i for i, lang in enumerate(langs) if (lang == "zh") == chinese]
        for group in _groups(texts, rows):
            columns[:, group] = _measure([texts[i] for i in group], chinese)
    scores = pa.array(harmful) if harmful is not None else pa.nulls(len(texts), pa.float32())
    return pa.StructArray.from_arrays([*(pa.array(column) for column in columns), scores], names=[*_MEASURED, "harmful"])


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
    text = np.repeat(np.arange(len(texts), dtype=np.int32), chars + 1)
    kinds = np.bincount(text * _CLASSES + classes, minlength=len(texts) * _CLASSES).reshape(-1, _CLASSES).T
    ink = chars + 1 - kinds[SPACE]  # the new line behind each text is a space, too
    hashes = codes == ord("#")  # punctuation by its category, a symbol by Gopher's account
    symbols = kinds[SYMBOL] + (np.bincount(text[hashes], minlength=len(texts)) if hashes.any() else 0)

    values = codes.astype(np.uint64)
    values += 1
    spans = SpanHashes(values)
    words = _Words(classes)
    if chinese:
        counts, word_chars = _chinese_words(joined, classes, text, len(texts))
        inked = classes != SPACE
        top = 2 * _top_character_pairs(codes[inked], ink) / np.maximum(ink, 1)
    else:
        counts, word_chars = np.bincount(text[words.starts], minlength=len(texts)), ink
        top = _top_word_pairs(spans.of(words.starts, words.ends), words.ends - words.starts, counts) / np.maximum(chars, 1)
    line_ends = np.flatnonzero(codes == ord("\n"))
    lines = np.bincount(text[line_ends], minlength=len(texts))
    end_share, duplicate_share = _lines(codes, spans, words, line_ends, text[line_ends], len(texts))
    signals = {
        "chars": chars,
        "words": counts,
        "mean_word_length": _ratio(word_chars, counts),
        "alphabetic": _ratio(kinds[LETTER] + kinds[MARK] + kinds[HAN], ink),
        "digits": _ratio(kinds[DIGIT], ink),
        "symbols": _ratio(symbols, ink),
        "han": _ratio(kinds[HAN], ink),
        "lines_end_punctuation": end_share,
        "new_lines": np.minimum(_ratio(lines - 1, counts), 1),
        "duplicate_lines": duplicate_share,
        "top_2gram": np.minimum(top, 1),
    }
    return np.stack([signals[name] for name in _MEASURED])


class _Words:
    """Where characters that are not white space stand together, as `str.split` finds them."""

    def __init__(self, classes: npt.NDArray[np.uint8]) -> None:
        inked = np.zeros(classes.size + 1, np.bool_)
        np.not_equal(classes, SPACE, out=inked[1:])  # all ends with a space
        edges = np.flatnonzero(inked[1:] != inked[:-1])
        self.starts: Ints = edges[::2]
        self.ends: Ints = edges[1::2]


def _ratio(part: Ints, whole: Ints) -> Floats:
    return part / np.maximum(whole, 1) * (whole > 0)


def _chinese_words(joined: str, classes: npt.NDArray[np.uint8], text: npt.NDArray[np.int32], texts: int) -> tuple[Ints, Ints]:
    """rjieba's words that hold a letter or digit, and the characters in them, for each text."""
    import rjieba

    lengths = np.concatenate([_lengths(rjieba.cut(block)) for block in blocks(joined, JIEBA_CUTS)])
    starts = np.cumsum(lengths) - lengths
    is_word = np.logical_or.reduceat(_spoken()[classes], starts)
    text = text[starts[is_word]]
    lengths = lengths[is_word]
    return np.bincount(text, minlength=texts), np.bincount(text, lengths, texts).astype(np.int64)


@cache
def _spoken() -> Mask:
    """By class, whether a character makes a word."""
    return np.isin(np.arange(_CLASSES), (HAN, LETTER, DIGIT))


def _lengths(words: list[str]) -> Ints:
    return np.fromiter(map(len, words), np.int64, len(words))


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


def _top_word_pairs(hashes: npt.NDArray[np.uint64], lengths: Ints, per_text: Ints) -> Ints:
    """Characters in the occurrences of the most frequent pair of adjacent words of each text; the first such pair's."""
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


def _lines(
    codes: npt.NDArray[np.uint32], spans: SpanHashes, words: _Words, ends: Ints, text: npt.NDArray[np.int32], texts: int
) -> tuple[Floats, Floats]:
    """Shares of non-blank lines that end in punctuation, and that repeat an earlier line of their text.

    `ends` are the new lines, and `text` the number of the text of each.
    """
    after = np.searchsorted(words.starts, ends)  # no word goes on beyond a line
    before = np.concatenate(([0], after[:-1]))
    filled = after > before
    text, first, last = text[filled], before[filled], after[filled] - 1
    ended = np.isin(codes[words.ends[last] - 1], _END_MARKS)
    distinct = _count(spans.of(words.starts[first], words.ends[last]) * _MIX + text.astype(np.uint64))[1]
    total, marked, different = (np.bincount(rows, minlength=texts) for rows in (text, text[ended], text[distinct]))
    return _ratio(marked, total), _ratio(total - different, total)
