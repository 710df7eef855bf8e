"""The model: what a segmenter sees of Chinese text, in four *streams*: the *character*; the *pair* that it makes with the
next one; the *entry*, where it stands in the word that jieba finds there (begin, middle, end, alone) and that word's tag; and
the *reach*, how long a word of the word set can begin there and how long a one can end. A *sequence* is a sentence without
its white space.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipelines.annotate.fast.hashing import Hashes, Rows, Spellings, mixed, rows_of
from pipelines.annotate.fast.word_features import fold
from pipelines.annotate.fast.word_set import Bits, contains
from pipelines.characters import classes_of, codes_of

CHAR_ROWS, PAIR_ROWS, ENTRY_ROWS, REACH_ROWS = 1 << 13, 1 << 15, 1 << 10, 1 << 4

_SIZES = (2, 3, 4)
"""Lengths of the words that reach is told for, in characters."""

_ALONE, _BEGIN, _MIDDLE, _END = range(4)
_POSITIONS = 4


class CharStream(NamedTuple):
    """One stream of characters."""

    types: npt.NDArray[np.int32]
    """(characters,)"""
    keys: Hashes
    """(types,), what tells the types apart."""


def char_streams(sequences: Sequence[str], words: Bits) -> list[CharStream]:
    """The streams of sequences, joined end to end, in the order of `ROWS_OF`; none has white space. `words` is the word set."""
    codes = codes_of("".join(sequences))
    folded = fold(codes)
    ends = np.cumsum(np.fromiter(map(len, sequences), np.int64, len(sequences)))
    following = np.zeros(codes.size, np.uint64)
    following[:-1] = folded[1:]
    following[ends[ends > 0] - 1] = 0
    pairs = folded.astype(np.uint64) << np.uint64(32) | following
    return [_typed(keys) for keys in (codes.astype(np.uint64), pairs, _entries(sequences, codes.size), _reach(codes, ends, words))]


def _typed(keys: Hashes) -> CharStream:
    encoded = pa.array(keys).dictionary_encode()
    return CharStream(encoded.indices.to_numpy(), encoded.dictionary.to_numpy())


def _char_rows(keys: Hashes) -> Rows:
    codes = keys.astype(np.uint32)
    kind = mixed(classes_of(codes).astype(np.uint64))
    return np.stack(
        [rows_of(keys, 0, CHAR_ROWS), rows_of(fold(codes).astype(np.uint64), 1, CHAR_ROWS), rows_of(kind, 2, CHAR_ROWS)], axis=1
    )


def _pair_rows(keys: Hashes) -> Rows:
    return np.stack([rows_of(keys, 3, PAIR_ROWS), rows_of(keys, 4, PAIR_ROWS)], axis=1)


def _entry_rows(keys: Hashes) -> Rows:
    return np.stack([rows_of(keys, 5, ENTRY_ROWS), rows_of(keys % np.uint64(_POSITIONS), 6, ENTRY_ROWS)], axis=1)


def _reach_rows(keys: Hashes) -> Rows:
    return keys.astype(np.int32)[:, None]


ROWS_OF: tuple[Callable[[Hashes], Rows], ...] = (_char_rows, _pair_rows, _entry_rows, _reach_rows)
"""Feature rows of the types of each stream, int32 (types, features), from their keys."""


def _reach(codes: npt.NDArray[np.uint32], ends: npt.NDArray[np.int64], words: Bits) -> Hashes:
    """For each character: the longest word that begins there (0: none of two or more) and the longest that ends there, as one number."""
    spellings, places = Spellings(codes), np.arange(codes.size)
    end_of = np.repeat(ends, np.diff(ends, prepend=0))
    begins, closes = np.zeros(codes.size, np.uint64), np.zeros(codes.size, np.uint64)
    for number, size in enumerate(_SIZES, 1):
        starts = places[places + size <= end_of]
        starts = starts[contains(words, spellings.hashes(starts, starts + size))]
        begins[starts] = number
        closes[starts + size - 1] = number
    return begins * np.uint64(len(_SIZES) + 1) + closes


def _entries(sequences: Sequence[str], size: int) -> Hashes:
    """For each character: number of its word's tag and length (up to 4), and its position in the word."""
    import rjieba

    # one call for all sequences: jieba takes text apart at new lines before it looks for words
    found, tags = zip(*rjieba.tag("\n".join(sequences)) or [("\n", "x")], strict=True)
    lengths = np.fromiter(map(len, found), np.int64, len(found))
    numbers = {tag: _number(tag) for tag in set(tags)}
    numbered = np.fromiter(map(numbers.__getitem__, tags), np.uint64, len(tags))
    words = np.fromiter(map("\n".__ne__, found), np.bool_, len(found))
    length, tag_of = lengths[words], numbered[words]
    ends = np.cumsum(length)
    if size != (ends[-1] if ends.size else 0):
        raise ValueError("the dictionary's words do not add up to the text")
    position = np.full(size, _MIDDLE, np.uint64)
    position[ends - length] = _BEGIN
    position[ends - 1] = _END
    position[(ends - 1)[length == 1]] = _ALONE
    entry = ((tag_of << np.uint64(2)) | np.minimum(length - 1, 3).astype(np.uint64)) * np.uint64(_POSITIONS)
    return np.repeat(entry, length) + position


def _number(tag: str) -> int:
    """The tag's bytes (at most 7) as a number."""
    return int.from_bytes(tag.encode()[:7], "little")
