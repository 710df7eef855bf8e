"""The model: a *tagger* gives each word a part of speech (Universal POS) from its own spelling and those of its neighbours in
the sentence. Spellings become features once a word *type*; a window net does the rest (`window_net`).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipelines.annotate.fast.hashing import Indices
from pipelines.annotate.fast.indexes import SpellingIndex
from pipelines.annotate.fast.known_types import KnownTypes
from pipelines.annotate.fast.weights import TAGGER, Weights, packaged, read_weights
from pipelines.annotate.fast.window_net import Projections
from pipelines.annotate.fast.word_features import tagger_features, word_types
from schemas.errors import RequestError

_MOST_TYPES = 1 << 16
"""Word types whose projections are kept: about 52 MB, if a text has so many."""


class Tagger:
    """The tagger of one language; see the module."""

    def __init__(self, weights: Weights) -> None:
        """Raises `RequestError` if the weights hold no tagger."""
        if TAGGER not in weights.nets:
            raise RequestError(f"the weights of {weights.lang!r} hold no tagger")
        self.version = f"tagger {weights.lang} {weights.digest}"
        self._net = weights.nets[TAGGER]
        self._lang = weights.lang
        (self._stream,) = self._net.streams
        self._known = KnownTypes(SpellingIndex(), self._project, self._stream.offsets, self._net.channels, _MOST_TYPES)

    @classmethod
    def load(cls, path: Path) -> Tagger:
        """The tagger in a file of weights."""
        return cls(read_weights(path))

    @classmethod
    def packaged(cls, lang: str) -> Tagger | None:
        """The tagger that ships for a language, if there is one."""
        path = packaged(lang)
        return cls.load(path) if path else None

    def tag(self, data: npt.NDArray[np.uint8], starts: Indices, ends: Indices, sentence_ends: Indices) -> npt.NDArray[np.uint8]:
        """Codes of `schemas.arrow.UPOS`, one a word.

        Words are `data[start:end]` of less than 2 GiB of UTF-8, in order; `sentence_ends` are counts of words up to the end
        of each sentence, increasing, the last all of them. A word's tag depends on nothing outside of its sentence.
        """
        types, spellings = word_types(data, starts, ends)
        numbers, table = self._known.numbers(spellings.to_numpy(zero_copy_only=False))
        return self._net.labels([numbers[types]], [table], sentence_ends)

    def _project(self, words: npt.NDArray[np.object_], out: Projections) -> None:
        self._stream.add(tagger_features(self._lang, pa.array(words, pa.binary())), self._net.clip, self._stream.offsets, out)
