"""The model: a *word type* is a distinct spelling; most words of a text are copies of a few types (Zipf's law), so whatever
depends on the spelling alone is computed once a type. *Features* of a type are rows of an embedding table: its spelling, the
*folded* spelling (lower case, digits as zeros, quotes and dashes as their ASCII kin, full width as half), the ends and
beginnings of that, its *shape* (runs of upper case, lower case, digits, Han, other letters; other characters stand for
themselves), and its length.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from xxhash import xxh3_64_intdigest

from pipelines.annotate.fast.hashing import Hashes, Indices, Rows, Spellings, rows_of
from pipelines.annotate.fast.jieba_words import tags_of
from pipelines.categories import having, text_of
from pipelines.characters import DIGIT, HAN, LETTER, MARK, classes_of, codes_of

WORD_ROWS, AFFIX_ROWS, SHAPE_ROWS = 1 << 15, 1 << 13, 1 << 10
TABLE_ROWS = WORD_ROWS + AFFIX_ROWS + SHAPE_ROWS

_SUFFIXES = (1, 2, 3, 4)
_PREFIXES = (1, 2, 3)
_LONGEST = 15
_BMP = 1 << 16
_LIKE = {"‘": "'", "’": "'", "`": "'", "´": "'", "“": '"', "”": '"', "«": '"', "»": '"', "–": "-", "—": "-", "−": "-", "…": "."}


def word_types(data: npt.NDArray[np.uint8], starts: Indices, ends: Indices) -> tuple[npt.NDArray[np.int32], pa.BinaryArray]:
    """Type of each word `data[start:end]`, int32 as `starts`, and the types in order of first appearance.

    `data` is less than 2 GiB of UTF-8; words are in order and do not overlap.
    """
    if not starts.size:
        return np.zeros(0, np.int32), pa.array([], pa.binary())
    # Words and the gaps between them, alternating, are one array of strings over `data` as it lies there.
    bounds = np.empty(2 * starts.size, np.int32)
    bounds[0::2], bounds[1::2] = starts, ends
    pieces = pa.Array.from_buffers(pa.binary(), bounds.size - 1, [None, pa.py_buffer(bounds), pa.py_buffer(data)])
    encoded = pieces.dictionary_encode()
    indices = encoded.indices.to_numpy()[0::2]
    used, first, types = np.unique(indices, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty_like(order)
    rank[order] = np.arange(order.size)
    return rank[types].astype(np.int32), encoded.dictionary.take(pa.array(used[order]))


def type_features(types: pa.BinaryArray) -> Rows:
    """Feature rows of word types, int32 of shape (types, 12)."""
    codes = codes_of(b"".join(types.to_pylist()).decode())
    sizes = _lengths(types)
    ends = np.cumsum(sizes)
    starts = ends - sizes
    folded = fold(codes)
    exact, spelled = Spellings(codes), Spellings(folded)
    whole = spelled.hashes(starts, ends)
    columns = [rows_of(exact.hashes(starts, ends), 0, WORD_ROWS), rows_of(whole, 1, WORD_ROWS), rows_of(whole, 2, WORD_ROWS)]
    for size in _SUFFIXES:
        columns.append(WORD_ROWS + rows_of(spelled.hashes(np.maximum(ends - size, starts), ends), 10 + size, AFFIX_ROWS))
    for size in _PREFIXES:
        columns.append(WORD_ROWS + rows_of(spelled.hashes(starts, np.minimum(starts + size, ends)), 20 + size, AFFIX_ROWS))
    kinds = _shapes(codes, folded)
    shape = _collapsed(kinds, starts, ends)
    length = np.minimum(sizes, _LONGEST).astype(np.uint64)
    first = kinds[np.minimum(starts, max(codes.size - 1, 0))].astype(np.uint64) if codes.size else length
    base = WORD_ROWS + AFFIX_ROWS
    columns.append(base + rows_of(shape, 30, SHAPE_ROWS))
    columns.append(base + rows_of(length << np.uint64(32) | first, 31, SHAPE_ROWS))
    return np.stack(columns, axis=1)


def tagger_features(lang: str, types: pa.BinaryArray) -> Rows:
    """What the tagger of a language sees of word types, int32 (types, features); Chinese has jieba's dictionary beside the spelling."""
    rows = type_features(types)
    return np.concatenate([rows, _dictionary_features(types)], axis=1) if lang == "zh" else rows


def _dictionary_features(types: pa.BinaryArray) -> Rows:
    """The tags that jieba gives each type by itself: all of them as one, and the last."""
    rows: dict[tuple[str, ...], tuple[int, int]] = {}
    out = np.empty((len(types), 2), np.int32)
    base = WORD_ROWS + AFFIX_ROWS
    for number, tags in enumerate(tags_of([word.decode() for word in types.to_pylist()])):
        found = rows.get(tags)
        if found is None:
            spelled = np.array([xxh3_64_intdigest("+".join(part).encode()) for part in (tags, tags[-1:])], np.uint64)
            first, second = rows_of(spelled[:1], 32, SHAPE_ROWS), rows_of(spelled[1:], 33, SHAPE_ROWS)
            found = rows[tags] = (base + int(first[0]), base + int(second[0]))
        out[number] = found
    return out


def fold(codes: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
    """Folded code points, same shape; those beyond the basic plane stay."""
    return np.where(codes < _BMP, _folds()[np.minimum(codes, _BMP - 1)], codes)


def _lengths(types: pa.BinaryArray) -> Indices:
    """Characters of each type."""
    data = np.frombuffer(types.buffers()[2] or b"", np.uint8)
    begins = np.zeros(data.size + 1, np.int64)
    np.cumsum((data & 0xC0) != 0x80, out=begins[1:])
    offsets = np.frombuffer(types.buffers()[1], np.int32)[types.offset : types.offset + len(types) + 1]
    return np.diff(begins[offsets])


def _collapsed(kinds: npt.NDArray[np.uint32], starts: Indices, ends: Indices) -> Hashes:
    """Hash of each word's kinds with runs of one kind told once."""
    kept = np.ones(kinds.size, bool)
    kept[1:] = kinds[1:] != kinds[:-1]
    kept[starts[starts < kinds.size]] = True
    place = np.zeros(kinds.size + 1, np.int64)
    np.cumsum(kept, out=place[1:])
    return Spellings(kinds[kept]).hashes(place[starts], place[ends])


def _shapes(codes: npt.NDArray[np.uint32], folded: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
    """The kind of each character in a shape: a letter's name for a class, or its own folded code point."""
    classes = classes_of(codes)
    shapes = folded.copy()
    letter = (classes == LETTER) | (classes == MARK)
    shapes[letter] = ord("x")
    shapes[letter & (codes < _BMP) & _uppers()[np.minimum(codes, _BMP - 1)]] = ord("X")
    shapes[classes == DIGIT] = ord("0")
    shapes[classes == HAN] = ord("漢")
    return shapes


@cache
def _folds() -> npt.NDArray[np.uint32]:
    plain = np.arange(_BMP, dtype=np.uint32)
    like = plain.copy()
    like[list(map(ord, _LIKE))] = list(map(ord, _LIKE.values()))
    narrow = plain.copy()
    narrow[0xFF01 : 0xFF5E + 1] -= 0xFEE0
    lower = list(map(str.lower, text_of(like[narrow])))
    alone = np.fromiter(map(len, lower), np.int64, _BMP) == 1
    folds = plain.copy()
    folds[alone] = codes_of("".join(char for char in lower if len(char) == 1))
    folds[np.isin(folds, having("Nd"))] = ord("0")
    return folds


@cache
def _uppers() -> npt.NDArray[np.bool_]:
    return np.isin(np.arange(_BMP), having(("Lu", "Lt")))
