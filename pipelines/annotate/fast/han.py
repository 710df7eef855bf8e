"""The model: a *segmenter* decides before which characters of Chinese text a word begins, from the characters around, the
pairs that they make, and the words and tags that jieba's dictionary finds there (`char_features`): the dictionary corrected,
to the segmentation of Universal Dependencies.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipelines.annotate.columns import merged
from pipelines.annotate.fast.char_features import REACH_ROWS, ROWS_OF, char_keys, parts_of_placed, parts_of_spelled, typed
from pipelines.annotate.fast.hashing import Hashes, Indices
from pipelines.annotate.fast.indexes import NumberIndex
from pipelines.annotate.fast.jieba_words import JiebaWords
from pipelines.annotate.fast.known_types import KnownTypes
from pipelines.annotate.fast.weights import SEGMENTER, Weights, packaged, read_weights
from pipelines.annotate.fast.window_net import Projections, Table, Types, union
from pipelines.characters import SPACE, classes_of, codes_of
from schemas.errors import RequestError

BEGINS = 1
"""The label of a character that a word begins with; the other is 0."""

_CLOSING = codes_of("。！？；…!?\n")
"""Behind these another sentence begins, as far as the segmenter looks."""

_BATCH_CHARS = 1 << 17
"""Characters at a time: what the dictionary returns of them is Python objects, and each may be of a type of its own."""

_MOST_CHARACTERS, _MOST_SPELLED, _MOST_ENTRIES, _MOST_PLACED = 1 << 13, 1 << 16, 1 << 11, 1 << 13
"""Types whose projections are kept, of characters and spelled keys, entries and placed keys: about 95 MB, if a text has so many."""

_LONGEST = 1 << 12
"""A longer sentence is looked at in stretches of so many characters."""


class HanSegmenter:
    """The segmenter of one language; see the module."""

    joins_scripts = True
    """It has a say between an ideograph and a letter or digit too (`第18`)."""

    def __init__(self, weights: Weights) -> None:
        """Raises `RequestError` if the weights hold no segmenter."""
        if SEGMENTER not in weights.nets:
            raise RequestError(f"the weights of {weights.lang!r} hold no segmenter")
        self.version = f"segmenter {weights.lang} {weights.digest}"
        self._net, self._words = weights.nets[SEGMENTER], weights.words
        self._jieba = JiebaWords()
        characters, pairs, entries, reaches = (stream.offsets for stream in self._net.streams)
        self._reaches = self._net.streams[3].table(ROWS_OF[3](np.arange(REACH_ROWS, dtype=np.uint64)), self._net.clip)
        self._characters = self._known(partial(self._project, 0, characters), characters, _MOST_CHARACTERS)
        self._entries = self._known(partial(self._project, 2, entries), entries, _MOST_ENTRIES)
        self._spelled = self._known(self._project_spelled, union(characters, pairs), _MOST_SPELLED)
        self._placed = self._known(self._project_placed, union(entries, reaches), _MOST_PLACED)

    @classmethod
    def load(cls, path: Path) -> HanSegmenter:
        """The segmenter in a file of weights."""
        return cls(read_weights(path))

    @classmethod
    def packaged(cls, lang: str) -> HanSegmenter | None:
        """The segmenter that ships for a language, if there is one."""
        path = packaged(lang)
        weights = read_weights(path) if path else None
        return cls(weights) if weights and SEGMENTER in weights.nets else None

    def breaks(self, codes: npt.NDArray[np.uint32], bounds: Indices, places: Indices) -> npt.NDArray[np.bool_]:
        """Whether a word begins at each of `places`, characters that are no white space: bool, of the same shape.

        `codes` are texts joined end to end, `bounds` where each starts, and the end of the last. What is said of a sentence
        depends on nothing outside of it.
        """
        begins = np.zeros(codes.size, bool)
        solid = np.flatnonzero(classes_of(codes) != SPACE)
        closing = np.flatnonzero(np.isin(codes, _CLOSING)) + 1
        ends = np.searchsorted(solid, merged(closing, bounds[1:]))
        text = codes[solid].tobytes().decode("utf-32-le", "surrogatepass")
        for sequences, first in _batches(text, ends):
            keys = char_keys(sequences, self._words, self._jieba)
            (spelled, by_spelling), (placed, by_place) = _look_up(self._spelled, keys.spelled), _look_up(self._placed, keys.placed)
            labels = self._net.labels([spelled, placed], [by_spelling, by_place], np.cumsum([len(sequence) for sequence in sequences]))
            begins[solid[first : first + labels.size]] = labels == BEGINS
        return begins[places]

    def _known(self, project: Callable[[Hashes, Projections], None], offsets: tuple[int, ...], most: int) -> KnownTypes:
        return KnownTypes(NumberIndex(most), project, offsets, self._net.channels, most)

    def _project(self, stream: int, offsets: Sequence[int], keys: Hashes, out: Projections) -> None:
        self._net.streams[stream].add(ROWS_OF[stream](keys), self._net.clip, offsets, out)

    def _project_spelled(self, keys: Hashes, out: Projections) -> None:
        characters, pairs = parts_of_spelled(keys)
        numbers, table = _look_up(self._characters, characters)
        table.add(numbers, self._spelled.offsets, out)
        self._project(1, self._spelled.offsets, pairs, out)

    def _project_placed(self, keys: Hashes, out: Projections) -> None:
        entries, reaches = parts_of_placed(keys)
        numbers, table = _look_up(self._entries, entries)
        table.add(numbers, self._placed.offsets, out)
        self._reaches.add(reaches.astype(np.int32), self._placed.offsets, out)


def _look_up(known: KnownTypes, keys: Hashes) -> tuple[Types, Table]:
    """The number of each key, and the table where it is to be found."""
    types, found = typed(keys)
    numbers, table = known.numbers(found)
    return numbers[types], table


def _batches(text: str, ends: Indices) -> Iterator[tuple[list[str], int]]:
    """Sequences in batches of about `_BATCH_CHARS`, each with where its first begins."""
    batch: list[str] = []
    first = size = 0
    for start, end in pairwise([0, *ends.tolist()]):
        for cut in range(start, end, _LONGEST):
            batch.append(text[cut : min(cut + _LONGEST, end)])
            size += len(batch[-1])
            if size >= _BATCH_CHARS:
                yield batch, first
                batch, first, size = [], first + size, 0
    if batch:
        yield batch, first
