"""The model: *samples* are texts that a model wrote, as token ids. A *match* is a run of a sample's tokens that stands, in the same order
and whole, in one training document. Of each sample are found its *longest* match, and all *spans*: matches of `at_least` tokens that are
part of no longer one. Both are exact: what a search of every sample in every document would find.

Samples are few and shards many, so shards are read once, a *piece* of `PIECE` tokens at a time. All windows of w tokens of a piece are
hashed at once (polynomials modulo 2**64, from one cumulative sum) and looked up among the samples' windows; what is found is compared token
by token. w is the least length that would still tell something new: as soon as each sample has a match of nine tokens, windows of ten are
looked for, which are rare. Memory is that of a piece, whatever the shards have.

Comparing longest match and spans follows Carlini et al., arXiv:2202.07646, who search a suffix array of the training text.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from schemas.arrow import read_shard

PIECE = 1 << 20
"""Tokens of a shard that are hashed at a time."""
FIRST = 1 << 14
"""Tokens of the first piece: while no match is known, any would be news."""
PAIRS = 1 << 18
"""Places of samples and shards that are compared at a time; bounds their memory."""
STEP = 32
"""Tokens that are compared at a time."""

_BASE = 0x9E3779B97F4A7C15
_INVERSE = pow(_BASE, -1, 1 << 64)
_SIEVE_BITS = 20

Ints = npt.NDArray[np.int64]
Hashes = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class Span:
    """A run of a sample's tokens that stands in a document."""

    sample: int
    start: int
    """Token of the sample."""
    length: int
    doc_id: str
    """The document, the first of several."""
    at: int
    """Token of the document."""


@dataclass(frozen=True)
class Memorised:
    """What of samples stands in the shards."""

    longest: tuple[Span | None, ...]
    """For each sample; None if not one token of it is in the shards."""
    spans: tuple[Span, ...]
    generated: int
    """Tokens of all samples."""
    inside: int
    """Those that stand in spans."""
    searched: int
    """Tokens of the shards."""

    @property
    def rate(self) -> float:
        """Share of generated tokens inside spans."""
        return self.inside / self.generated if self.generated else 0.0


def memorised(shards: Iterable[Path], samples: Sequence[Sequence[int]], at_least: int = 50, subset: str | None = "train") -> Memorised:
    """What of the samples stands in documents of a subset (None: all) of token shards. Raises ValueError for ``at_least`` below 1."""
    if at_least < 1:
        raise ValueError(f"at_least {at_least}: a span has a token or more")
    search = _Search(samples, at_least)
    searched, size = 0, FIRST
    for shard in shards:
        table = read_shard(shard)
        for batch in table.to_batches():
            documents = _Documents(batch, subset)
            searched += documents.counted
            begin = 0
            while begin < len(documents.tokens) and search.goes_on:
                end = min(begin + size, len(documents.tokens))
                search.look(documents, begin, end)
                begin, size = end, PIECE
    return search.result(searched)


class _Documents:
    """The documents of a batch as one array of tokens; those of other subsets are there, and count as empty."""

    def __init__(self, batch: pa.RecordBatch, subset: str | None) -> None:
        column = batch.column("tokens")
        offsets = column.offsets.to_numpy()
        self.starts = (offsets - offsets[0])[:-1].astype(np.int64)
        self.ends = (offsets - offsets[0])[1:].astype(np.int64)
        self.tokens: npt.NDArray[Any] = column.values.to_numpy(zero_copy_only=True)[offsets[0] : offsets[-1]]
        self.wanted = np.ones(len(self.ends), bool)
        if subset is not None:
            self.wanted = np.asarray(pc.equal(batch.column("subset"), subset).to_numpy(zero_copy_only=False), bool)
        self.counted = int((self.ends - self.starts)[self.wanted].sum())
        self._ids = batch.column("doc_id")

    def rows(self, places: Ints) -> Ints:
        """The document of each place."""
        return np.searchsorted(self.ends, places, side="right")

    def doc_id(self, row: int) -> str:
        value: bytes = self._ids[row].as_py()
        return value.hex()


class _Windows:
    """Hashes of windows of any one length over an array of tokens."""

    def __init__(self, tokens: npt.NDArray[Any], powers: tuple[Hashes, Hashes]) -> None:
        """``powers`` of the base, and of its inverse: at least one for each token."""
        # A mixer first: ids that differ little get values that share nothing.
        mixed = (tokens.astype(np.uint64) + np.uint64(1)) * np.uint64(0xBF58476D1CE4E5B9)
        mixed ^= mixed >> np.uint64(29)
        mixed *= np.uint64(0x94D049BB133111EB)
        mixed ^= mixed >> np.uint64(32)
        mixed *= powers[0][: len(tokens)]
        self._sums = np.concatenate((np.zeros(1, np.uint64), np.cumsum(mixed, dtype=np.uint64)))
        self._inverses = powers[1]

    def first(self, count: int, width: int) -> Hashes:
        """Of the windows at the first ``count`` places, or as many as there are."""
        count = max(0, min(count, len(self._sums) - width))
        return _spread((self._sums[width : width + count] - self._sums[:count]) * self._inverses[:count])

    def at(self, places: Ints, width: int) -> Hashes:
        """Of the windows at these places; each must have so many tokens."""
        return _spread((self._sums[places + width] - self._sums[places]) * self._inverses[places])


def _spread(hashes: Hashes) -> Hashes:
    """Have all bits of a hash decide its highest ones, by which it is sieved."""
    hashes ^= hashes >> np.uint64(32)
    hashes *= np.uint64(_BASE)
    return hashes


def _powers(base: int, count: int) -> Hashes:
    return np.concatenate((np.ones(1, np.uint64), np.cumprod(np.full(count, base, np.uint64))))


class _Search:
    """What is known of the samples so far."""

    def __init__(self, samples: Sequence[Sequence[int]], at_least: int) -> None:
        self._lengths = np.array([len(sample) for sample in samples], np.int64)
        self._starts = np.concatenate(([0], np.cumsum(self._lengths)))
        total, self._at_least = int(self._starts[-1]), at_least
        self._ids = np.array([token for sample in samples for token in sample], np.int64)
        self._of = np.repeat(np.arange(len(samples)), self._lengths)
        self._left = self._starts[1:][self._of] - np.arange(total)
        self._reach = int(self._lengths.max(initial=0))
        count = PIECE + self._reach + total
        self._powers = _powers(_BASE, count), _powers(_INVERSE, count)
        self._windows = _Windows(self._ids, self._powers)
        self._best = np.zeros(total, np.int64)
        """For each place of the samples, the longest match that starts there; of matches that could begin sooner, only the soonest
        counts."""
        self._where: dict[int, tuple[str, int]] = {}
        self._longest = np.zeros(len(samples), np.int64)

    @property
    def goes_on(self) -> bool:
        """Whether any sample is not found whole yet."""
        return bool((self._longest < self._lengths).any())

    def look(self, documents: _Documents, begin: int, end: int) -> None:
        """Take in the matches that start at places ``begin`` to ``end`` of the documents."""
        windows = _Windows(documents.tokens[begin : end + self._reach], self._powers)
        if not self._best.any():  # nothing is known: the longest matches first, as they say what need not be looked for
            width = 1 << self._reach.bit_length()
            while width > 1:
                width //= 2
                self._look(documents, begin, end, windows, {width: np.flatnonzero((self._longest < width) & (self._lengths >= width))})
        wanted = np.minimum(self._longest + 1, self._at_least)
        groups = {int(width): np.flatnonzero((wanted == width) & (self._longest < self._lengths)) for width in np.unique(wanted)}
        self._look(documents, begin, end, windows, groups)

    def _look(self, documents: _Documents, begin: int, end: int, windows: _Windows, groups: dict[int, Ints]) -> None:
        """Matches of at least so many tokens of so many samples, by that number."""
        groups = {width: samples for width, samples in groups.items() if len(samples)}
        if not groups:
            return
        least = min(groups)
        places = begin + self._sieve(windows.first(end - begin, least), np.concatenate(list(groups.values())), least)
        rows = documents.rows(places)
        room = np.where(documents.wanted[rows], documents.ends[rows] - places, 0) if len(places) else places
        for width, samples in sorted(groups.items()):
            own, hashes = self._own(samples, width)
            fits = room >= width
            self._pair(documents, places[fits], windows.at(places[fits] - begin, width), own, hashes)

    def _own(self, samples: Ints, width: int) -> tuple[Ints, Hashes]:
        """Places of the samples with so many tokens left, and their windows' hashes, by rising hash."""
        chosen = np.zeros(len(self._lengths), bool)
        chosen[samples] = True
        own = np.flatnonzero(chosen[self._of] & (self._left >= width))
        hashes = self._windows.at(own, width)
        order = np.argsort(hashes, kind="stable")
        return own[order], hashes[order]

    def _sieve(self, hashes: Hashes, samples: Ints, width: int) -> Ints:
        """Which of a piece's windows may be one of the samples'. A table of bits, small enough to stay in cache, lets few others
        through."""
        table = np.zeros(1 << _SIEVE_BITS, bool)
        table[self._own(samples, width)[1] >> np.uint64(64 - _SIEVE_BITS)] = True
        return np.flatnonzero(table[hashes >> np.uint64(64 - _SIEVE_BITS)])

    def _pair(self, documents: _Documents, places: Ints, hashes: Hashes, own: Ints, own_hashes: Hashes) -> None:
        """Compare what has equal hashes, some pairs at a time."""
        low, high = np.searchsorted(own_hashes, hashes, "left"), np.searchsorted(own_hashes, hashes, "right")
        found = np.flatnonzero(high > low)
        counts = (high - low)[found]
        edges = np.cumsum(counts)
        while len(found):
            take = max(1, int(np.searchsorted(edges, PAIRS, "right")))
            n, first = counts[:take], low[found[:take]]
            within = np.arange(int(n.sum())) - np.repeat(np.cumsum(n) - n, n)
            self._compare(documents, own[np.repeat(first, n) + within], np.repeat(places[found[:take]], n))
            found, counts = found[take:], counts[take:]
            edges = np.cumsum(counts)

    def _compare(self, documents: _Documents, ours: Ints, theirs: Ints) -> None:
        """Keep how far each pair of places goes on alike, unless it begins sooner."""
        rows = documents.rows(theirs)
        first = (theirs == documents.starts[rows]) | (self._left[ours] == self._lengths[self._of[ours]])
        sooner = ~first & (self._ids[ours - 1] == documents.tokens[theirs - 1])
        ours, theirs, rows = ours[~sooner], theirs[~sooner], rows[~sooner]
        most = np.minimum(self._left[ours], documents.ends[rows] - theirs)
        alike, going = np.zeros(len(ours), np.int64), np.arange(len(ours))
        while len(going):
            steps = alike[going][:, None] + np.arange(STEP)
            inside = steps < most[going][:, None]
            a = self._ids[np.minimum(ours[going][:, None] + steps, len(self._ids) - 1)]
            b = documents.tokens[np.minimum(theirs[going][:, None] + steps, len(documents.tokens) - 1)]
            same = np.logical_and.accumulate(inside & (a == b), axis=1).sum(1)
            alike[going] += same
            going = going[same == STEP]
        self._keep(documents, ours, theirs, alike)

    def _keep(self, documents: _Documents, ours: Ints, theirs: Ints, alike: Ints) -> None:
        better = np.flatnonzero(alike > self._best[ours])
        better = better[np.lexsort((theirs[better], -alike[better], ours[better]))]
        _, firsts = np.unique(ours[better], return_index=True)
        for number in better[firsts]:
            place, at = int(ours[number]), int(theirs[number])
            row = int(documents.rows(np.array([at]))[0])
            self._best[place] = alike[number]
            self._where[place] = documents.doc_id(row), at - int(documents.starts[row])
        np.maximum.at(self._longest, self._of[ours], alike)

    def result(self, searched: int) -> Memorised:
        longest: list[Span | None] = []
        spans: list[Span] = []
        inside = 0
        for number, (start, length) in enumerate(zip(self._starts[:-1], self._lengths, strict=True)):
            best = self._best[start : start + length]
            place = int(best.argmax()) if length else 0
            longest.append(self._span(number, place) if length and best[place] else None)
            covered = 0
            for place in np.flatnonzero(best >= self._at_least).tolist():
                end = place + int(best[place])
                if end > covered:
                    spans.append(self._span(number, place))
                    inside += end - max(place, covered)
                    covered = end
        return Memorised(tuple(longest), tuple(spans), int(self._lengths.sum()), inside, searched)

    def _span(self, sample: int, place: int) -> Span:
        whole = int(self._starts[sample]) + place
        return Span(sample, place, int(self._best[whole]), *self._where[whole])
