"""The model: a *hit* is an item of which a document holds enough: any of its grams, or the share of them that the recipe asks
for. Its *share* counts a gram as often as the item has it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from pipelines.contamination.index import Index
from pipelines.span_hashes import Ints

NAMED = 3
"""Items that are named of all that a document holds: a detail must not flood."""


class Hit(NamedTuple):
    """An item in a document."""

    item: int
    found: int
    grams: int
    """How many of the item's grams there are, in the document and at all."""

    @property
    def share(self) -> float:
        return self.found / self.grams


def hits(entries: Ints, index: Index, min_share: float) -> list[Hit]:
    """The hits among the items that hold entries which a document holds, the largest share first, then in order of items."""
    rows, _ = _postings(np.unique(entries), index)
    items, where = np.unique(index.items[rows], return_inverse=True)
    found = np.bincount(where, index.counts[rows], items.size).astype(np.int64)
    told = [Hit(*triple) for triple in zip(items.tolist(), found.tolist(), index.grams[items].tolist(), strict=True)]
    return sorted((hit for hit in told if hit.share >= min_share), key=lambda hit: (-hit.share, hit.item))


def of_hits(entries: Ints, hit: Sequence[Hit], index: Index) -> Ints:
    """Which of some entries, by place, belong to an item that is a hit."""
    rows, places = _postings(entries, index)
    return np.unique(places[np.isin(index.items[rows], [one.item for one in hit])])


def _postings(entries: Ints, index: Index) -> tuple[Ints, Ints]:
    """The postings of some entries, by number, and the place of the entry that each belongs to."""
    firsts = index.postings[entries]
    sizes = index.postings[entries + 1] - firsts
    rows = np.repeat(firsts - (np.cumsum(sizes) - sizes), sizes) + np.arange(int(sizes.sum()))
    return rows, np.repeat(np.arange(entries.size), sizes)


def told(found: Sequence[Hit], index: Index) -> str:
    """The detail of a reject: ``mbpp 17 text: 9 of 9 grams (1.00); ...``."""
    named = [f"{index.labels[hit.item].as_py()}: {hit.found} of {hit.grams} grams ({hit.share:.2f})" for hit in found[:NAMED]]
    more = [f"{len(found) - NAMED} more items"] if len(found) > NAMED else []
    return "; ".join(named + more)
