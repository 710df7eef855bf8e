"""The model: a *segmenter* decides before which characters of Chinese text a word begins, from the characters around, the
pairs that they make, and the words and tags that jieba's dictionary finds there (`char_features`): the dictionary corrected,
to the segmentation of Universal Dependencies.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipelines.annotate.fast.char_features import ROWS_OF, char_streams
from pipelines.annotate.fast.hashing import Hashes, Indices, Rows
from pipelines.annotate.fast.known_types import KnownTypes
from pipelines.annotate.fast.weights import SEGMENTER, Weights, packaged, read_weights
from pipelines.annotate.fast.window_net import Projections, Stream
from pipelines.characters import SPACE, classes_of, codes_of
from schemas.errors import RequestError

BEGINS = 1
"""The label of a character that a word begins with; the other is 0."""

_CLOSING = codes_of("。！？；…!?\n")
"""Behind these another sentence begins, as far as the segmenter looks."""

_BATCH_CHARS = 1 << 19
"""Characters at a time: what the dictionary returns of them is Python objects."""

_MOST_TYPES = (1 << 13, 1 << 16, 1 << 11, 1 << 4)
"""Characters, pairs, entries and reaches whose projections are kept: about 75 MB."""

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
        streams = zip(self._net.streams, ROWS_OF, _MOST_TYPES, strict=True)
        self._known = [KnownTypes(partial(_project, stream, rows_of, self._net.clip), most) for stream, rows_of, most in streams]

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
        ends = np.searchsorted(solid, np.union1d(closing, bounds[1:]))
        text = codes[solid].tobytes().decode("utf-32-le", "surrogatepass")
        for sequences, first in _batches(text, ends):
            types, tables = [], []
            for stream, known in zip(char_streams(sequences, self._words), self._known, strict=True):
                numbers, table = known.numbers(stream.keys.tolist())
                types.append(numbers[stream.types])
                tables.append(table)
            labels = self._net.labels(types, tables, np.cumsum([len(sequence) for sequence in sequences]))
            begins[solid[first : first + labels.size]] = labels == BEGINS
        return begins[places]


def _project(stream: Stream, rows_of: Callable[[Hashes], Rows], clip: int, keys: list[int]) -> Projections:
    return stream.projections(rows_of(np.array(keys, np.uint64)), clip)


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
