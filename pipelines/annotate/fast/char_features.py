"""The model: what a segmenter sees of Chinese text, in four *streams*: the *character*; the *pair* that it makes with the
next one; the *entry*, where it stands in the word that jieba finds there (begin, middle, end, alone) and that word's tag; and
the *reach*, how long a word of the word set can begin there and how long a one can end. A *sequence* is a sentence without
its white space. A *key* is a number that tells the types of a stream apart.

Characters and pairs, entries and reaches go together, as *spelled* and *placed* keys: two tables to look up instead of four.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipelines.annotate.fast.hashing import Hashes, Indices, Rows, Spellings, mixed, rows_of
from pipelines.annotate.fast.jieba_words import JiebaWords
from pipelines.annotate.fast.word_features import fold
from pipelines.annotate.fast.word_set import Bits, contains
from pipelines.characters import classes_of, codes_of

CHAR_ROWS, PAIR_ROWS, ENTRY_ROWS, REACH_ROWS = 1 << 13, 1 << 15, 1 << 10, 1 << 4

_SIZES = (2, 3, 4)
"""Lengths of the words that reach is told for, in characters."""

_ALONE, _BEGIN, _MIDDLE, _END = range(4)
_POSITIONS = 4
_REACHES = np.uint64((len(_SIZES) + 1) ** 2)
_HALF, _LOW = np.uint64(32), np.uint64((1 << 32) - 1)


class CharKeys(NamedTuple):
    """Keys of the characters of sequences, joined end to end, uint64 (characters,) for each stream, in the order of `ROWS_OF`."""

    characters: Hashes
    pairs: Hashes
    entries: Hashes
    reaches: Hashes

    @property
    def spelled(self) -> Hashes:
        """Character and pair as one; see `parts_of_spelled`."""
        return self.characters << _HALF | self.pairs & _LOW

    @property
    def placed(self) -> Hashes:
        """Entry and reach as one; see `parts_of_placed`. (A tag has 56 bits at most, so nothing is lost.)"""
        return self.entries * _REACHES + self.reaches


def parts_of_spelled(keys: Hashes) -> tuple[Hashes, Hashes]:
    """The characters and the pairs of spelled keys."""
    characters = keys >> _HALF
    return characters, _folded(characters) << _HALF | keys & _LOW


def parts_of_placed(keys: Hashes) -> tuple[Hashes, Hashes]:
    """The entries and the reaches of placed keys."""
    return keys // _REACHES, keys % _REACHES


def char_keys(sequences: Sequence[str], words: Bits, jieba: JiebaWords) -> CharKeys:
    """The keys of sequences, none of which has white space. `words` is the word set."""
    codes = codes_of("".join(sequences))
    ends = np.cumsum(np.fromiter(map(len, sequences), np.int64, len(sequences)))
    folded = fold(codes).astype(np.uint64)
    following = np.zeros(codes.size, np.uint64)
    following[:-1] = folded[1:]
    following[ends[ends > 0] - 1] = 0
    return CharKeys(codes.astype(np.uint64), folded << _HALF | following, _entries(*jieba.words(sequences)), _reach(codes, ends, words))


def typed(keys: Hashes) -> tuple[npt.NDArray[np.int32], Hashes]:
    """The type of each key, int32 of its shape, and the keys of the types."""
    encoded = pa.array(keys).dictionary_encode()
    return encoded.indices.to_numpy(), encoded.dictionary.to_numpy()


def _folded(characters: Hashes) -> Hashes:
    return fold(characters.astype(np.uint32)).astype(np.uint64)


def _char_rows(keys: Hashes) -> Rows:
    codes = keys.astype(np.uint32)
    kind = mixed(classes_of(codes).astype(np.uint64))
    return np.stack([rows_of(keys, 0, CHAR_ROWS), rows_of(_folded(keys), 1, CHAR_ROWS), rows_of(kind, 2, CHAR_ROWS)], axis=1)


def _pair_rows(keys: Hashes) -> Rows:
    return np.stack([rows_of(keys, 3, PAIR_ROWS), rows_of(keys, 4, PAIR_ROWS)], axis=1)


def _entry_rows(keys: Hashes) -> Rows:
    return np.stack([rows_of(keys, 5, ENTRY_ROWS), rows_of(keys % np.uint64(_POSITIONS), 6, ENTRY_ROWS)], axis=1)


def _reach_rows(keys: Hashes) -> Rows:
    return keys.astype(np.int32)[:, None]


ROWS_OF: tuple[Callable[[Hashes], Rows], ...] = (_char_rows, _pair_rows, _entry_rows, _reach_rows)
"""Feature rows of the types of each stream, int32 (types, features), from their keys."""


def _reach(codes: npt.NDArray[np.uint32], ends: Indices, words: Bits) -> Hashes:
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


def _entries(lengths: Indices, tags: Hashes) -> Hashes:
    """For each character: number of its word's tag and length (up to 4), and its position in the word, from the words' lengths and tags."""
    ends = np.cumsum(lengths)
    position = np.full(int(ends[-1]) if ends.size else 0, _MIDDLE, np.uint64)
    position[ends - lengths] = _BEGIN
    position[ends - 1] = _END
    position[(ends - 1)[lengths == 1]] = _ALONE
    entry = (tags << np.uint64(2) | np.minimum(lengths - 1, 3).astype(np.uint64)) * np.uint64(_POSITIONS)
    return np.repeat(entry, lengths) + position
