"""The model: a *pair* is a sample of two stretches of text, `bos A eos B eos`. It is laid at a *seam*, a sentence end inside a document:
A is what stands before it, and B what stands behind it, or, in half of the pairs, behind a seam of another document, its *partner*.

Of the seams in each stretch of a window the last one serves, so that an epoch reads a text about once. Partners are dealt by a
permutation, and whether B follows is drawn, both by the sample's global number.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.draws import FOLLOW, draw
from model.index import Index
from model.order import Permutations
from model.text import Segments, Text
from model.token_space import TokenSpace

AROUND = 3
"""Special tokens of a pair."""

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Seams:
    """Sentence ends inside documents, in the order of the index; int64 [seams] each."""

    place: Ints
    """Of the first token behind it, in the space."""
    left: Ints
    """Tokens of the document before it."""
    right: Ints
    """Tokens of the document behind it."""
    streams: Mapping[str, tuple[int, int]]
    """First seam of each stream, and the one after its last; none for a stream with less than two documents that have one."""


def follows(seed: int, samples: Ints) -> NDArray[np.bool_]:
    """Whether the second stretch of each sample follows the first; half do."""
    return draw(seed, samples, FOLLOW, 1)[:, 0] >> np.uint64(63) == 0


def find_seams(space: TokenSpace, index: Index, room: int) -> Seams:
    """The seams of an index's documents, at most one in each ``room`` tokens; every shard is touched."""
    place, first, ends = _sentence_ends(space, index.width)
    row = np.searchsorted(place, index.place)
    known = np.flatnonzero((row < len(place)) & (place[np.minimum(row, max(len(place) - 1, 0))] == index.place)) if len(place) else row[:0]
    row = row[known]
    count = first[row + 1] - first[row]
    document = np.repeat(known, count)
    end = ends[np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count) + np.repeat(first[row], count)]
    length = np.diff(index.end, prepend=0)[document] - 2
    inside = (end > 0) & (end < length)
    document, end, length = document[inside], end[inside], length[inside]
    stretch = end // room
    last = np.append((np.diff(document) != 0) | (np.diff(stretch) != 0), [True] * min(len(end), 1)).astype(bool)
    document, end, length = document[last], end[last], length[last]
    streams = {}
    for name, (begin, stop) in index.streams.items():
        span = np.searchsorted(document, [begin, stop])
        texts = index.place[document[span[0] : span[1]]]
        streams[name] = (int(span[0]), int(span[1]) if len(np.unique(texts)) > 1 else int(span[0]))
    return Seams(index.place[document] + end, end, length - end, streams)


def _sentence_ends(space: TokenSpace, width: int) -> tuple[Ints, Ints, Ints]:
    """Of documents with several sentences: the places of their first tokens, ascending; the number of each one's first sentence end, and
    one more; all sentence ends, in tokens of the document."""
    places, counts, ends = ([np.zeros(0, dtype=np.int64)] for _ in range(3))
    for number in range(len(space.files)):
        with space.hold_shards(np.array([number])):
            table, address, _ = space.table(number)
            if "sentence_ends" not in table.column_names:
                continue
            for batch in table.select(["tokens", "sentence_ends"]).to_batches():
                ids, told = batch.column("tokens").values, batch.column("sentence_ends")
                offsets = told.offsets.to_numpy().astype(np.int64)
                several = np.diff(offsets) > 1
                if not len(ids) or not several.any():
                    continue
                first = (ids.buffers()[1].address - address) // width + ids.offset + batch.column("tokens").offsets.to_numpy()[:-1]
                places.append(first[several])
                counts.append(np.diff(offsets)[several])
                ends.append(told.values.to_numpy()[offsets[0] :][np.repeat(several, np.diff(offsets))].astype(np.int64))
    return np.concatenate(places), np.concatenate(([0], np.cumsum(np.concatenate(counts)))), np.concatenate(ends)


class Pairs:
    """The layout of pairs; see the module."""

    def __init__(self, text: Text, window: int, seams: Seams, seed: int) -> None:
        self.window, self._text, self._seams, self._seed = window, text, seams, seed
        spans = [seams.streams[stream] for stream in text.index.streams]
        self.counts = [last - first for first, last in spans]
        self._first = np.array([first for first, _ in spans], dtype=np.int64)
        self._size = np.array(self.counts, dtype=np.int64)
        keys = [f"{seed}/{stream}/partner".encode() for stream in text.index.streams]
        self._text_of = seams.place - seams.left
        self._partners = Permutations([max(count, 1) for count in self.counts], keys)

    def segments(self, stream: Ints, number: Ints, sample: Ints) -> Segments:
        seams, room = self._seams, self.window - AROUND
        one = self._first[stream] + number
        other = np.where(follows(self._seed, sample), one, self._partner(stream, one, sample))
        left = np.minimum(seams.left[one], np.maximum(room // 2, room - seams.right[other]))
        right = np.minimum(seams.right[other], room - left)
        row = np.repeat(np.arange(len(one)), 2)
        place = np.stack((seams.place[one] - left - 1, seams.place[other]), axis=1).ravel()
        length = np.stack((left + 2, right + 1), axis=1).ravel()
        return Segments(row, place, length, opens=np.arange(len(row)) % 2 == 0, closes=np.ones(len(row), dtype=np.bool_))

    def _partner(self, stream: Ints, one: Ints, sample: Ints) -> Ints:
        """A seam of another document of the stream."""
        first, size = self._first[stream], self._size[stream]
        text, partner = self._text_of, self._partners(stream, *np.divmod(sample, size))
        while len(same := np.flatnonzero(text[first + partner] == text[one])):
            partner[same] = (partner[same] + 1) % size[same]
        return first + partner
