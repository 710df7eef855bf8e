"""The model: a *layout* cuts the streams of a text into *samples* of one window: *blocks* of the concatenated stream, of which
neighbours share one token, so that every token but the stream's first is predicted once an epoch; or *packs* of whole documents.

For decoders the window is context + 1 tokens: a model reads all but the last and predicts all but the first.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from model.packing import Packs
from model.text import Segments, Text

Ints = NDArray[np.int64]


class Layout(Protocol):
    """Samples of one window."""

    window: int
    counts: list[int]
    """Samples of each stream, streams in the order of the index."""

    def segments(self, stream: Ints, number: Ints, sample: Ints) -> Segments:
        """The segments of samples, given as numbers of streams and of samples in them, int64 [n] each; and their global numbers, if
        something is drawn for them."""


class Blocks:
    """Blocks of concatenated streams; all are full. What a stream has beyond its last whole block is left out."""

    def __init__(self, text: Text, window: int) -> None:
        self.window, self._text = window, text
        spans = [text.index.span(stream) for stream in text.index.streams]
        self.counts = [(end - begin - 1) // (window - 1) for begin, end in spans]
        self._begin = np.array([begin for begin, _ in spans], dtype=np.int64)

    def segments(self, stream: Ints, number: Ints, sample: Ints) -> Segments:
        return self._text.segments(self._begin[stream] + number * (self.window - 1), self.window)


class Packed:
    """Packs of whole documents; some end in filling."""

    def __init__(self, text: Text, window: int, packs: Packs) -> None:
        self.window, self._text, self._packs = window, text, packs
        spans = [packs.streams[stream] for stream in text.index.streams]
        self.counts = [last - first for first, last in spans]
        self._first = np.array([first for first, _ in spans], dtype=np.int64)

    def segments(self, stream: Ints, number: Ints, sample: Ints) -> Segments:
        pack = self._first[stream] + number
        first = self._packs.first[pack]
        count = self._packs.first[pack + 1] - first
        row = np.repeat(np.arange(len(pack)), count)
        item = np.arange(len(row)) + (first - np.cumsum(count) + count)[row]
        return self._text.segments_in_documents(row, self._packs.start[item], self._packs.length[item].astype(np.int64))
