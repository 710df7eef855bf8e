"""The model: the *perplexity* of a document tells how little an n-gram model expected it: ten to the power of minus its log probability
for each word. The model is a file in the ARPA format, which KenLM and SRILM write, with back-off weights (Katz 1987).

A line is a sentence: it begins behind `<s>`, and its end `</s>` counts as a word, as KenLM's `query` has it. A word that the
file doesn't know is its `<unk>`. All words of all texts are scored together: a table is a sorted array of hashes of n-grams.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pipelines.characters import SPACE, classes_of, codes_of
from pipelines.rules.words import find_runs, find_words, hash_of, kind_of
from pipelines.span_hashes import GOLDEN, Hashes, Ints, SpanHashes
from schemas.errors import RequestError
from schemas.recipe import NgramModel

_NEVER = -100.0
"""Log probability of an unknown word where the file has no `<unk>`, as in KenLM."""


class _Table(NamedTuple):
    """All n-grams of one order, sorted by hash."""

    keys: Hashes
    log_probabilities: npt.NDArray[np.float64]
    back_offs: npt.NDArray[np.float64]

    def find(self, keys: Hashes) -> tuple[Ints, npt.NDArray[np.bool_]]:
        """Where each key stands, and whether it does."""
        at = np.minimum(np.searchsorted(self.keys, keys), self.keys.size - 1)
        return at, self.keys[at] == keys


def perplexities(settings: Mapping[str, NgramModel], texts: Sequence[str], langs: Sequence[str]) -> npt.NDArray[np.float32]:
    """The perplexity of each text by its language's model; NaN where there is none, and for a text without a word.

    Raises `RequestError` naming a file that is no n-gram model.
    """
    found = np.full(len(texts), np.nan, np.float32)
    for lang in set(langs):
        if (model := settings.get(lang, settings.get("default"))) is not None:
            rows = [row for row, one in enumerate(langs) if one == lang]
            found[rows] = _of_language([texts[row] for row in rows], lang, model)
    return found


def _of_language(texts: Sequence[str], lang: str, model: NgramModel) -> npt.NDArray[np.float32]:
    joined = "\n".join(texts) + "\n"
    codes = codes_of(joined)
    classes = classes_of(codes)
    if model.unit == "character":
        starts = np.flatnonzero(classes != SPACE)
        ends = starts + 1
    else:
        starts, ends, _ = find_words(joined, codes, classes, kind_of(lang))
    chars = np.fromiter(map(len, texts), np.int64, len(texts))
    line = np.searchsorted(np.flatnonzero(codes == ord("\n")), starts)
    firsts = np.flatnonzero(np.diff(line, prepend=-1))
    lasts = np.append(firsts[1:], line.size)[: firsts.size]
    hashes = SpanHashes(codes.astype(np.uint64) + np.uint64(1)).of(starts, ends)
    tables = _open(model.path)
    hashes = np.where(tables[0].find(hashes)[1], hashes, hash_of("<unk>"))
    text = np.searchsorted(np.cumsum(chars + 1), starts, "right")
    around = np.concatenate([firsts, lasts])  # of equal places the later one's goes behind: an end comes before a beginning
    order = np.lexsort((np.repeat([1, 0], firsts.size), around))
    marks = np.repeat(np.array([hash_of("<s>"), hash_of("</s>")], np.uint64), firsts.size)[order]
    tokens = np.insert(hashes, around[order], marks)
    place = np.insert(np.zeros(hashes.size, np.int64), around[order], np.repeat([1, 0], firsts.size)[order])
    of = np.insert(text, around[order], np.concatenate([text[firsts], text[lasts - 1]])[order])
    scores = _scores(tokens, np.cumsum(place), tables)
    counted = place == 0
    total = np.bincount(of[counted], scores[counted], len(texts))
    count = np.bincount(of[counted], minlength=len(texts))
    with np.errstate(over="ignore"):  # a perplexity beyond float32 is infinite, and above any threshold
        return np.where(count > 0, 10.0 ** (-total / np.maximum(count, 1)), np.nan).astype(np.float32)


def _scores(tokens: Hashes, sentence: Ints, tables: Sequence[_Table]) -> npt.NDArray[np.float64]:
    """Log10 probability of each token behind those before it in its sentence."""
    at, known = tables[0].find(tokens)
    scores = np.where(known, tables[0].log_probabilities[at], _NEVER)
    keys, table = tokens, tables[0]
    for n, longer in enumerate(tables[1:], 2):
        inside = np.flatnonzero(sentence[n - 1 :] == sentence[: max(sentence.size - n + 1, 0)]) + (n - 1)
        context = keys[inside - 1]
        at, known = table.find(context)
        backed_off = scores[inside] + np.where(known, table.back_offs[at], 0.0)
        whole = np.zeros_like(tokens)
        whole[inside] = context * GOLDEN + tokens[inside]
        at, known = longer.find(whole[inside])
        scores[inside] = np.where(known, longer.log_probabilities[at], backed_off)
        keys, table = whole, longer
    return scores


@cache
def _open(path: str) -> tuple[_Table, ...]:
    sections: list[list[str]] = []
    try:
        with gzip.open(path, "rt", encoding="utf-8") if path.endswith(".gz") else open(path, encoding="utf-8") as file:
            for line in _body(file):
                if line.startswith("\\"):
                    sections.append([])
                elif line:
                    sections[-1].append(line)
        return tuple(_table(lines, order) for order, lines in enumerate(sections, 1))
    except (UnicodeDecodeError, ValueError, IndexError, gzip.BadGzipFile) as error:
        hint = "binary models of KenLM aren't read: give the .arpa file that it was made from"
        raise RequestError(f"{path}: can't be read as an n-gram model in ARPA format ({error}); {hint}") from error


def _body(lines: Iterator[str]) -> Iterator[str]:
    """What stands between the table of contents and the end: headings, n-grams, blank lines."""
    inside = False
    for line in lines:
        line = line.strip("\r\n ")
        if line == "\\end\\":
            return
        inside |= line.endswith("-grams:")
        if inside:
            yield line
    raise ValueError("it has no \\end\\")


def _table(lines: Sequence[str], order: int) -> _Table:
    columns = [line.split("\t") for line in lines]
    joined = "\n".join(column[1] for column in columns) + "\n"
    codes = codes_of(joined)
    starts, ends = find_runs(classes_of(codes))
    if not lines or starts.size != order * len(lines):
        raise ValueError(f"not all of its {order}-grams are words that stand between single spaces")
    words = SpanHashes(codes.astype(np.uint64) + np.uint64(1)).of(starts, ends).reshape(-1, order)
    keys = words[:, 0]
    for place in range(1, order):
        keys = keys * GOLDEN + words[:, place]
    log_probabilities = np.array([float(column[0]) for column in columns])
    back_offs = np.array([float(column[2]) if len(column) > 2 else 0.0 for column in columns])
    by_key = np.argsort(keys)
    return _Table(keys[by_key], log_probabilities[by_key], back_offs[by_key])
