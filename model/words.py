"""The model: *word starts* say which tokens of a text begin a word, as the corpus's annotator found words. Token shards hold them as
bits beside the ids. A *run* is a stretch of the token space whose bits lie in one line.

Like ids, bits are read where the shards are mapped; only the table of runs is kept in memory, a few for each shard.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.text import Segments, Text
from model.token_space import TokenSpace

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Runs:
    """Stretches of the token space, in order; int64 [runs] each."""

    first: Ints
    """Place of the first token."""
    end: Ints
    """Place after the last."""
    bit: Ints
    """Of the first token, counted from the space's first byte."""


def find_runs(space: TokenSpace, width: int) -> Runs:
    """Read the runs off all shards, whose ids have ``width`` bytes; every shard is touched. Documents that nobody looked for words in
    are in none."""
    found = [np.zeros((3, 0), dtype=np.int64)]
    for number in range(len(space.files)):
        with space.hold_shards(np.array([number])):
            table, address, _ = space.table(number)
            if "word_start" not in table.column_names:
                continue
            for batch in table.select(["tokens", "word_start"]).to_batches():
                ids, words = batch.column("tokens").values, batch.column("word_start").values
                if not len(ids) or not len(words):
                    continue
                place = (ids.buffers()[1].address - address) // width + ids.offset + batch.column("tokens").offsets.to_numpy()
                bit = (words.buffers()[1].address - address) * 8 + words.offset + batch.column("word_start").offsets.to_numpy()
                told = np.flatnonzero((np.diff(place) == np.diff(bit)) & (np.diff(place) > 0))
                shift = (bit - place)[told]
                starts = np.flatnonzero(np.diff(shift, prepend=-1) != 0) if len(told) else told
                ends = np.append(starts[1:], len(told)) - 1 if len(told) else told
                found.append(np.stack((place[told[starts]], place[told[ends] + 1], bit[told[starts]])))
    first, end, bit = np.concatenate(found, axis=1)
    return Runs(first, end, bit)


class WordStarts:
    """The word starts of a text."""

    def __init__(self, text: Text) -> None:
        self._space, self._width = text.space, text.index.width
        self._runs, self._bytes = find_runs(text.space, text.index.width), text.space.ids(1)

    @property
    def known(self) -> bool:
        """Whether some document has words."""
        return bool(len(self._runs.first))

    def read(self, segments: Segments, at: Ints, size: int) -> NDArray[np.bool_]:
        """Whether each token of an array [size], in which segments are laid from ``at`` on, begins a word. What stands around documents,
        filling and each segment's first token do; so do all tokens of a document without words."""
        starts = np.ones(size, dtype=np.bool_)
        if self.known:
            self._fill(segments, at, starts)
        starts[at] = True
        starts[(at + segments.length)[segments.closes] - 1] = True
        return starts

    def _fill(self, segments: Segments, at: Ints, starts: NDArray[np.bool_]) -> None:
        if not self._space.fits(segments.place, self._width) and len(at) > 1:  # more shards than the cache holds at a time
            middle = len(at) // 2
            for which in (slice(middle), slice(middle, None)):
                self._fill(segments.take(which, segments.row[which]), at[which], starts)
            return
        inside = np.arange(segments.length.sum()) - np.repeat(np.cumsum(segments.length) - segments.length, segments.length)
        place = np.repeat(segments.place, segments.length) + inside
        run = np.searchsorted(self._runs.first, place, side="right") - 1
        told = (run >= 0) & (place < self._runs.end[run])
        run, place = run[told], place[told]
        bit = self._runs.bit[run] + place - self._runs.first[run]
        with self._space.hold(segments.place, self._width):
            found = (self._bytes[bit >> 3] >> (bit & 7).astype(np.uint8)) & 1
        starts[(np.repeat(at, segments.length) + inside)[told]] = found.astype(np.bool_)
