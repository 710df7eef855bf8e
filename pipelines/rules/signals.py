"""The model: a *signal* is a number measured on a text that tells prose from boilerplate; rules judge by it. See `words` for what words
and pieces are, and `lines` for lines and paragraphs.

    chars                   characters (code points), white space included
    words                   words
    mean_word_length        characters a word
    alphabetic              share of letters (Han included) and combining marks   \\
    digits                  share of numbers (N*)                                  |  of the characters that are
    symbols                 share of symbols, controls (S*, C*) and '#'            |  not white space
    han                     share of Han characters                               /
    lines_end_punctuation   share of lines that end in a terminal mark or a closing quote (C4), full-width too
    new_lines               new lines over words, at most 1 (FineWeb)
    duplicate_lines         share of lines that repeat an earlier one (Gopher)
    duplicate_line_chars    the same, of the characters in lines (Gopher, FineWeb)
    duplicate_paragraphs, duplicate_paragraph_chars     the same of paragraphs (Gopher)
    top_2gram .. 4gram      share of characters in the most frequent n-gram of pieces, 0 if none repeats, at most 1 (Gopher)
    duplicate_5gram .. 10gram   share of characters in n-grams of pieces that repeat an earlier one (Gopher)
    short_lines             share of lines of at most 30 characters (FineWeb)
    bullet_lines            share of lines that begin with a bullet (Gopher)
    ellipsis_lines          share of lines that end in an ellipsis (Gopher)
    boilerplate_lines       share of lines that mention JavaScript, cookies, terms of use or privacy policies, in English (C4)
    ellipses, hashes        ellipses, and '#', over words (Gopher); a Chinese …… is one ellipsis
    alphabetic_words        share of pieces with a letter in them (Gopher); Chinese pieces are punctuation marks too, as in FineWeb-2
    stop_words              how many different stop words stand there (Gopher, FineWeb-2); null for languages without a list
    longest_word            characters of the longest piece (C4)
    sentences               sentence ends: a run of full-width end marks, or of ASCII ones before white space (C4)
    curly_brackets          how many '{' stand there (C4)
    lorem_ipsum             how often "lorem ipsum" does, in upper or lower case (C4)
    other_script            share of letters in lines where another script than the text's prevails

A ratio whose denominator is 0 is 0. Definitions follow Gopher (Rae et al. 2021, arXiv:2112.11446, table A1), C4 (Raffel
et al. 2020, arXiv:1910.10683), FineWeb (Penedo et al. 2024, arXiv:2406.17557) and FineWeb-2 (Penedo et al. 2025, arXiv:2506.20920), whose
thresholds for Chinese they fit.

All is arithmetic on arrays over many texts joined by new lines; a text's signals never depend on its neighbours.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.metadata import version

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipelines.categories import CODE_POINTS, text_of
from pipelines.characters import DIGIT, HAN, LETTER, MARK, SPACE, SYMBOL, classes_of, codes_of
from pipelines.rules.grams import repeated_characters
from pipelines.rules.lines import Lines, places_of, ratio
from pipelines.rules.words import Kind, Words, count_stop_words, find_runs, find_words, hold, kind_of
from pipelines.span_hashes import Hashes, SpanHashes
from pipelines.units import lower_cases
from schemas.arrow import MEASURED, SCORED

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Codes = npt.NDArray[np.uint32]

_GROUP_CHARS = 1 << 17
"""Characters measured at a time: the arrays stay in cache and memory stays small."""

_CLASSES = 8
"""A number of character classes that is enough."""

_KINDS: tuple[Kind, ...] = ("spaced", "chinese", "unspaced")
_WIDE_ENDS = "。！？｡．؟।॥"
_ASCII_ENDS = ".!?…"
_CLOSERS = codes_of("\"'”’)]»")


def measure(texts: Sequence[str], langs: Sequence[str], scored: Mapping[str, npt.NDArray[np.float32]] | None = None) -> pa.StructArray:
    """Signals of each text: a struct array of float32 fields `schemas.arrow.SIGNALS`, row i for text i.

    `scored` are the signals that aren't measured here; those that it lacks, and NaN, are null.
    """
    columns = np.zeros((len(MEASURED), len(texts)), np.float32)
    for kind in _KINDS:
        rows = [i for i, lang in enumerate(langs) if kind_of(lang) == kind]
        for group in _groups(texts, rows):
            columns[:, group] = _measure([texts[i] for i in group], [langs[i] for i in group], kind)
    missing = np.full(len(texts), np.nan, np.float32)
    found = dict(zip(MEASURED, columns, strict=True)) | {name: (scored or {}).get(name, missing) for name in SCORED}
    return pa.StructArray.from_arrays([pa.array(column, from_pandas=True) for column in found.values()], names=list(found))


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


def _measure(texts: Sequence[str], langs: Sequence[str], kind: Kind) -> Floats:
    """Signals of texts of one kind of language, shape (signals, texts)."""
    joined = "\n".join(texts) + "\n"
    codes = codes_of(joined)
    classes = classes_of(codes)
    values = codes.astype(np.uint64)
    values += 1
    spans = SpanHashes(values)
    chars = np.fromiter(map(len, texts), np.int64, len(texts))
    text = np.repeat(np.arange(len(texts), dtype=np.int32), chars + 1)
    runs = find_runs(classes)
    lines = Lines(codes, *runs, text, len(texts))
    lower = _lower(joined, codes)

    def per_text(at: Ints) -> Ints:
        return np.bincount(text[at], minlength=len(texts))

    words = Words(*runs, np.ones(runs[0].size, np.bool_)) if kind == "spaced" else find_words(joined, codes, classes, kind)
    counts = per_text(words.starts[words.counted])
    hashes = spans.of(words.starts, words.ends)
    signals = {
        **_character_signals(codes, classes, text, chars),
        **_word_signals(hashes, classes, words, text[words.starts], counts, langs),
        **_gram_signals(hashes, words, text[words.starts], chars, kind),
        **lines.measure(spans),
        "boilerplate_lines": lines.boilerplate(lower),
        "other_script": np.zeros(len(texts)) if joined.isascii() else lines.other_script(),
        "new_lines": np.minimum(ratio(per_text(lines.breaks) - 1, counts), 1),
        "ellipses": ratio(per_text(_ellipses(codes)), counts),
        "hashes": ratio(per_text(np.flatnonzero(codes == ord("#"))), counts),
        "sentences": per_text(_sentence_ends(codes, classes)),
        "curly_brackets": per_text(np.flatnonzero(codes == ord("{"))),
        "lorem_ipsum": per_text(places_of("lorem ipsum", lower)),
    }
    return np.stack([signals[name] for name in MEASURED])


def _character_signals(codes: Codes, classes: npt.NDArray[np.uint8], text: npt.NDArray[np.int32], chars: Ints) -> dict[str, Floats]:
    kinds = np.bincount(text * _CLASSES + classes, minlength=chars.size * _CLASSES).reshape(-1, _CLASSES).T
    ink = chars + 1 - kinds[SPACE]  # the new line behind each text is a space, too
    hashes = codes == ord("#")  # punctuation by its category, a symbol by Gopher's account
    symbols = kinds[SYMBOL] + (np.bincount(text[hashes], minlength=chars.size) if hashes.any() else 0)
    return {
        "chars": chars.astype(np.float64),
        "alphabetic": ratio(kinds[LETTER] + kinds[MARK] + kinds[HAN], ink),
        "digits": ratio(kinds[DIGIT], ink),
        "symbols": ratio(symbols, ink),
        "han": ratio(kinds[HAN], ink),
    }


def _word_signals(
    hashes: Hashes, classes: npt.NDArray[np.uint8], words: Words, text: npt.NDArray[np.int32], counts: Ints, langs: Sequence[str]
) -> dict[str, Floats]:
    """`text` is the text of each piece, `counts` are the words of each text."""
    lengths = words.ends - words.starts
    lettered = hold((classes == LETTER) | (classes == HAN), words.starts, words.ends)
    pieces = np.bincount(text, minlength=len(langs))
    longest = np.zeros(len(langs))
    if text.size:
        filled = np.flatnonzero(pieces)
        longest[filled] = np.maximum.reduceat(lengths, (np.cumsum(pieces) - pieces)[filled])
    return {
        "words": counts.astype(np.float64),
        "mean_word_length": ratio(np.bincount(text[words.counted], lengths[words.counted], len(langs)), counts),
        "alphabetic_words": ratio(np.bincount(text[lettered], minlength=len(langs)), pieces),
        "stop_words": count_stop_words(hashes, text, langs),
        "longest_word": longest,
    }


def _gram_signals(hashes: Hashes, words: Words, text: npt.NDArray[np.int32], chars: Ints, kind: Kind) -> dict[str, Floats]:
    """Shares of the characters in pieces; of top n-grams in spaced languages, whose spaces count, of all characters."""
    lengths = words.ends - words.starts
    pieces = np.bincount(text, minlength=chars.size)
    size = np.bincount(text, lengths, chars.size)
    gap = 1 if kind == "spaced" else 0
    found = repeated_characters(hashes, lengths, pieces, gap)
    return {name: np.minimum(ratio(part, chars if gap and name.startswith("top") else size), 1) for name, part in found.items()}


def _lower(joined: str, codes: Codes) -> str:
    """The text in lower case, with every character in its place: a few have more than one for it."""
    lower = joined.lower()
    return lower if len(lower) == len(joined) else text_of(lower_cases()[codes])


def _ellipses(codes: Codes) -> Ints:
    """Where ellipses begin: runs of '…', and runs of three or more full stops."""
    marks = np.flatnonzero(codes == ord("…"))
    dots = np.flatnonzero(codes == ord("."))
    if dots.size:
        starts = np.flatnonzero(np.diff(dots, prepend=-2) > 1)
        dots = dots[starts[np.diff(starts, append=dots.size) >= 3]]
    return np.concatenate([marks[np.diff(marks, prepend=-2) > 1], dots])


def _sentence_ends(codes: Codes, classes: npt.NDArray[np.uint8]) -> Ints:
    """Last characters of runs of end marks that end a sentence."""
    at = np.flatnonzero(_end_marks()[codes])
    at = at[np.diff(at, append=codes.size + 1) > 1]
    closed = np.minimum(at + 1 + np.isin(codes[at + 1], _CLOSERS), codes.size - 1)  # all ends with a new line
    return at[(_end_marks()[codes[at]] == 2) | (classes[closed] == SPACE)]


@cache
def _end_marks() -> npt.NDArray[np.uint8]:
    """By code point: 2, a full-width end mark; 1, an ASCII one; 0, none."""
    table = np.zeros(CODE_POINTS, np.uint8)
    table[codes_of(_ASCII_ENDS)] = 1
    table[codes_of(_WIDE_ENDS)] = 2
    return table
