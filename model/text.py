"""The model: a *text* is an index over its token space: positions turned into token ids. A *segment* is a run of positions
inside one document; whatever is read (a block, a pack, a document) is a list of segments laid one after another.

Segments are copied in *strips* of equal length, which numpy does at the speed of memory: the last strip of a segment overshoots
its end, and what comes next overwrites that. At 2,048 tokens a block it takes a third of the time of gathering single tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.addresses import MARGIN
from model.index import By, Index, build_index, kept_index
from model.known import Known
from model.shard_cache import ShardCache
from model.shards import open_location
from model.token_space import TokenSpace
from schemas.artifact import Artifact
from schemas.errors import RequestError

STRIP = 256
"""Tokens copied at a time; the margin after each shard must hold as many."""

assert STRIP * 4 < MARGIN


@dataclass(frozen=True)
class Special:
    """The ids that stand around every document."""

    bos: int
    eos: int


@dataclass(frozen=True)
class Segments:
    """Runs of positions inside one document each, in the order they are to be laid; arrays [segments]."""

    row: NDArray[np.int64]
    """Which of the things asked for each belongs to; ascending."""
    place: NDArray[np.int64]
    """Of its first position: of a bos, one before the document's first token."""
    length: NDArray[np.int64]
    opens: NDArray[np.bool_]
    """Whether it begins with the document's bos."""
    closes: NDArray[np.bool_]
    """Whether it ends with the document's eos."""

    def take(self, which: slice | NDArray[np.bool_], row: NDArray[np.int64]) -> Segments:
        """Some of them, with other rows."""
        return Segments(row, self.place[which], self.length[which], self.opens[which], self.closes[which])

    def first(self) -> NDArray[np.int64]:
        """Number of the first segment of each one's row."""
        return np.searchsorted(self.row, self.row)

    def laid(self, rows: int, window: int) -> NDArray[np.int64]:
        """Where each is laid if every row takes ``window`` tokens."""
        end = np.cumsum(self.length)
        before = end - self.length
        if end[-1] == rows * window:
            return before
        return before + self.row * window - before[self.first()]


class Text:
    """An index and its token space, with the ids that stand around every document."""

    def __init__(self, space: TokenSpace, index: Index, special: Special) -> None:
        self.space, self.index, self.special = space, index, special
        self._strips = _strips(space.ids(index.width))

    def segments(self, start: NDArray[np.int64], length: int) -> Segments:
        """Cut runs of positions, of one length from each of int64 [n], at the documents' ends."""
        end = self.index.end
        first = np.searchsorted(end, start, side="right")
        count = np.searchsorted(end, start + (length - 1), side="right") - first + 1
        row = np.repeat(np.arange(len(start)), count)
        document = np.arange(len(row)) + (first - np.cumsum(count) + count)[row]
        start = start[row]
        begin = self._begin(document)
        begins = np.maximum(begin, start)
        return self._cut(row, document, begin, begins, np.minimum(end[document], start + length) - begins)

    def segments_in_documents(self, row: NDArray[np.int64], start: NDArray[np.int64], length: NDArray[np.int64]) -> Segments:
        """Runs of positions that lie in one document each."""
        document = np.searchsorted(self.index.end, start, side="right")
        return self._cut(row, document, self._begin(document), start, length)

    def _cut(
        self,
        row: NDArray[np.int64],
        document: NDArray[np.int64],
        begin: NDArray[np.int64],
        start: NDArray[np.int64],
        length: NDArray[np.int64],
    ) -> Segments:
        inside = start - begin
        closes = start + length == self.index.end[document]
        return Segments(row, self.index.place[document] + (inside - 1), length, inside == 0, closes)

    def _begin(self, document: NDArray[np.int64]) -> NDArray[np.int64]:
        """Positions of the documents' bos."""
        begin = self.index.end[document - 1]
        begin[document == 0] = 0
        return begin

    def read(self, segments: Segments, at: NDArray[np.int64], size: int) -> NDArray[np.int64]:
        """Lay each segment's ids from ``at`` (ascending, not overlapping) in an array int64 [size]; what no segment covers is eos.

        Raises Damaged if a shard that is touched for the first time is not what it should be.
        """
        if not self.space.fits(segments.place, self.index.width):
            return self._read_in_halves(segments, at, size)
        with self.space.hold(segments.place, self.index.width):
            ids = self._copy(segments, at, size)
        stop = at + segments.length
        for gap in np.flatnonzero(stop[:-1] < at[1:]).tolist():
            ids[stop[gap] : at[gap + 1]] = self.special.eos
        ids[stop[-1] :] = self.special.eos
        ids[at[segments.opens]] = self.special.bos
        ids[stop[segments.closes] - 1] = self.special.eos
        return ids

    def _copy(self, segments: Segments, at: NDArray[np.int64], size: int) -> NDArray[np.int64]:
        count = (segments.length + (STRIP - 1)) // STRIP
        end = np.cumsum(count)
        before = (end - count) * STRIP
        step = np.arange(0, end[-1] * STRIP, STRIP)
        target, source = (np.repeat(first - before, count) + step for first in (at, segments.place))
        flat = np.empty(size + STRIP, dtype=f"<u{self.index.width}")
        _strips(flat)[target] = self._strips[source]  # in order: later strips overwrite what overshot
        return flat[:size].astype(np.int64)

    def _read_in_halves(self, segments: Segments, at: NDArray[np.int64], size: int) -> NDArray[np.int64]:
        """More shards than the cache holds at a time: read the first half of the segments, then the second."""
        middle = len(at) // 2
        if middle == 0:
            raise RequestError(f"the shard cache can't hold the shard of one sample: allow it more than {self.space.limit:,} bytes")
        cut = int(at[middle])
        former, latter = (segments.take(which, segments.row[which]) for which in (slice(middle), slice(middle, None)))
        return np.concatenate((self.read(former, at[:middle], cut), self.read(latter, at[middle:] - cut, size - cut)))


def _strips(ids: NDArray[Any]) -> NDArray[Any]:
    """The strip that starts at each id, as overlapping views: [ids - STRIP + 1, STRIP]."""
    return np.ndarray((len(ids) - STRIP + 1, STRIP), ids.dtype, ids, 0, (ids.itemsize, ids.itemsize))


def open_text(
    location: str | Path,
    subset: str,
    special: Special,
    *,
    by_source: bool = False,
    before: Path | None = None,
    cache: ShardCache | None = None,
    keep: Path | None = None,
) -> tuple[Text, str]:
    """The text of a subset of the tokens artifact at a folder or URL, and the artifact's content digest.

    ``before``: a folder of earlier tokens; streams of documents that they have are named `old/...` then, the others' `new/...`.
    With ``keep``, a folder, the index is kept there and found again. Raises Damaged or RequestError.
    """
    manifest, shards = open_location(location, cache)
    space = TokenSpace(manifest.files("tokens"), shards)
    by = By(by_source, Known(Artifact.open(before), space.files) if before else None)
    index = kept_index(space, subset, by, keep) if keep else build_index(space, subset, by)
    return Text(space, index, special), manifest.content_digest
