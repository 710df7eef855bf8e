"""The model: a *match* is a place in a text where an entry of the index stands. Texts are searched many at a time: the heads
of all grams go through a filter, what passes is looked up by its key, and what has a key is compared letter for letter.

A long text is searched in *stretches* that overlap by a gram, so memory is bounded whatever its length.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np

from pipelines.characters import codes_of
from pipelines.contamination.grams import Grams, Windows
from pipelines.contamination.head_filter import let_through
from pipelines.contamination.index import Index
from pipelines.span_hashes import Ints

_GROUP_CHARS = 1 << 17
"""Characters to search at a time: the arrays stay in cache."""


class Matches(NamedTuple):
    """Matches in order of texts; places are in characters of the text."""

    texts: Ints
    entries: Ints
    starts: Ints
    ends: Ints


_NONE = np.empty(0, np.int64)


def find_matches(texts: Sequence[str], index: Index) -> Matches:
    """All matches of many texts. What is found in a text doesn't depend on its neighbours."""
    found = [Matches(_NONE, _NONE, _NONE, _NONE)]
    for first, last in _groups(texts):
        if last == first + 1 and len(texts[first]) > _GROUP_CHARS:
            for start, matches in _stretches(texts[first], index):
                found.append(Matches(matches.texts + first, matches.entries, matches.starts + start, matches.ends + start))
        else:
            matches = _Searched(texts[first:last], index).matches
            found.append(matches._replace(texts=matches.texts + first))
    return Matches(*(np.concatenate(columns) for columns in zip(*found, strict=True)))


def _groups(texts: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Ranges of texts that hold up to `_GROUP_CHARS` characters; a longer text is alone."""
    ends = np.cumsum(np.fromiter(map(len, texts), np.int64, len(texts)) + 1)
    first = 0
    while first < ends.size:
        begin = int(ends[first - 1]) if first else 0
        last = max(first + 1, int(np.searchsorted(ends, begin + _GROUP_CHARS, side="right")))
        yield first, last
        first = last


def _stretches(text: str, index: Index) -> Iterator[tuple[int, Matches]]:
    """(Where a stretch starts, matches in it) of a long text; each match is told once."""
    start, size = 0, _GROUP_CHARS
    while True:
        searched = _Searched([text[start : start + size]], index)
        if start + size >= len(text):
            yield start, searched.matches
            return
        # The last unit may go on behind the stretch, and so may all runs that end in it or could have gone on.
        sure = searched.grams.units - 1 - index.weights.most_units
        if sure <= 0:
            size *= 2
            continue
        inside = searched.firsts < sure
        yield start, Matches(*(column[inside] for column in searched.matches))
        start += int(searched.grams.places(Windows(np.array([sure]), np.array([sure + 1])))[0][0])
        size = _GROUP_CHARS


class _Searched:
    """Texts, each of which is searched as a whole."""

    def __init__(self, texts: Sequence[str], index: Index) -> None:
        joined = "\n".join(texts) + "\n"
        codes = np.frombuffer(joined.encode(), np.uint8) if joined.isascii() else codes_of(joined)
        sizes = np.fromiter(map(len, texts), np.int64, len(texts)) + 1
        text_ends = np.cumsum(sizes)
        self.grams = Grams(codes, text_ends, index.weights)
        passed = let_through(index.filter, self.grams.heads())
        self.firsts, entries, behind = self._compared(passed, index) if passed.size else (_NONE, _NONE, _NONE)
        starts, ends = self.grams.places(Windows(self.firsts, behind))
        rows = np.searchsorted(text_ends, starts, side="right")
        before = (text_ends - sizes)[rows]
        self.matches = Matches(rows, entries, starts - before, ends - before)

    def _compared(self, passed: Ints, index: Index) -> tuple[Ints, Ints, Ints]:
        """Of each match, its first unit, its entry, and the unit behind it, in order of first units."""
        found = [np.empty((0, 3), np.int64)]
        for weight in (index.weights.whole, index.weights.least)[: 1 + index.has_whole]:
            windows = self.grams.windows(passed, weight)
            keys = self.grams.keys(windows)
            entries = np.searchsorted(index.keys, keys)
            firsts = windows.firsts
            while firsts.size:  # once, but for entries that share a key: they stand side by side
                known = index.keys[np.minimum(entries, index.keys.size - 1)] == keys
                known &= entries < index.keys.size
                firsts, entries, keys = firsts[known], entries[known], keys[known]
                if firsts.size:
                    found.append(self._equal(firsts, entries, index))
                entries = entries + 1
        ordered = np.unique(np.concatenate(found), axis=0)
        return ordered[:, 0], ordered[:, 1], ordered[:, 2]

    def _equal(self, firsts: Ints, entries: Ints, index: Index) -> Ints:
        """(First unit, entry, unit behind) where the texts themselves are equal, shape (matches, 3)."""
        bounds, (spelled, offsets) = self.grams.bounds, self._spelled
        behind = firsts + index.units[entries]
        fits = behind <= bounds[np.searchsorted(bounds, firsts, side="right")]
        firsts, entries, behind = firsts[fits], entries[fits], behind[fits]
        items = index.spelled.view(np.uint8)
        starts = index.starts[entries]
        ends = starts + index.lengths[entries]
        places = zip(*((4 * column).tolist() for column in (offsets[firsts], offsets[behind], starts, ends)), strict=True)
        equal = np.array([spelled[a:b] == items[c:d].tobytes() for a, b, c, d in places], np.bool_)
        return np.stack([firsts, entries, behind], axis=1)[equal]

    @cached_property
    def _spelled(self) -> tuple[bytes, Ints]:
        codes, offsets = self.grams.spelled()
        return codes.tobytes(), offsets
