"""The model: a *stream* is read document by document here, for what isn't training: validation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model.text import Special, Text, open_text


class Stream:
    """The documents of one language and subset."""

    def __init__(self, text: Text, name: str) -> None:
        self._text = text
        first, last = text.index.streams[name]
        self._end = text.index.end[first:last]
        self._begin = np.concatenate(([text.index.begin(first)], self._end[:-1]))
        self.n_bytes = text.index.n_bytes[first:last]

    @property
    def documents(self) -> int:
        return len(self.n_bytes)

    def length(self, document: int) -> int:
        """Tokens of a document, bos and eos included."""
        return int(self._end[document] - self._begin[document])

    def document(self, document: int) -> NDArray[np.int64]:
        """All tokens of a document, bos and eos included."""
        length = self.length(document)
        segments = self._text.segments(self._begin[[document]], length)
        return self._text.read(segments, np.zeros(1, dtype=np.int64), length)


def validation_streams(location: str | Path, special: Special) -> dict[str, Stream]:
    """The streams of the validation subset of the tokens artifact at a folder, by language."""
    text, _ = open_text(location, "validation", special)
    return {name: Stream(text, name) for name in text.index.streams}
