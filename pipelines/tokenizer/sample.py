"""The model: a *sample* is some documents of one subset, drawn for training or for measuring. A *group* is the documents of
one language and source.

A document's place is drawn by its `doc_id`, which is a hash: documents with the smallest ids are taken, in each weighted
language, source or group, until its share of the wanted bytes is reached. So the sample depends neither on the order of
shards nor on their number, and a larger one holds the smaller. What training never reads (`schemas.sampling`) is not drawn, and how
often it reads the rest doesn't matter: shares are the recipe's, by language and source.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from schemas.arrow import read_shard
from schemas.errors import RequestError
from schemas.sampling import SAMPLED, times_read

Group = tuple[str, str]
"""Language and source."""


@dataclass(frozen=True)
class Text:
    """A drawn document."""

    group: Group
    text: str
    words: int


@dataclass(frozen=True)
class Sample:
    """Documents drawn: rows by shard, in order, and what they come to by group."""

    shards: list[Path]
    rows: list[npt.NDArray[np.int64]]
    groups: dict[Group, tuple[int, int]]
    """Documents and bytes of text."""

    @property
    def documents(self) -> int:
        return sum(documents for documents, _ in self.groups.values())

    @property
    def bytes(self) -> dict[str, int]:
        """Bytes of text by language."""
        found: dict[str, int] = {}
        for (lang, _), (_, size) in self.groups.items():
            found[lang] = found.get(lang, 0) + size
        return found

    def __iter__(self) -> Iterator[Text]:
        """The documents, shard by shard."""
        for path, drawn in zip(self.shards, self.rows, strict=True):
            if drawn.size:
                table = read_shard(path).select(["lang", "source", "text", "word_starts"]).take(drawn)
                words = pc.list_value_length(table.column("word_starts")).to_pylist()
                names = zip(table.column("lang").to_pylist(), table.column("source").to_pylist(), strict=True)
                for group, text, count in zip(names, table.column("text").to_pylist(), words, strict=True):
                    yield Text(group, text, count)


def draw(
    shards: list[Path],
    sample_bytes: int,
    weights: Mapping[str, float] | None = None,
    source_weights: Mapping[str, float] | None = None,
    subset: str = "train",
) -> Sample:
    """About `sample_bytes` of text, shared by weights of languages and sources (none: as the corpus is).

    The document that passes a share is still taken. A group with less text than its share gives all it has. Raises
    `RequestError` for a weighted language or source without text.
    """
    listing = _Listing(shards, subset)
    kept = np.zeros(listing.sizes.size, bool)
    for lang, source, share in _shares(weights or {}, source_weights or {}, set(listing.groups)):
        wanted = [n for n, group in enumerate(listing.groups) if lang in (None, group[0]) and source in (None, group[1])]
        members = np.flatnonzero(np.isin(listing.group, wanted))
        members = members[np.argsort(listing.order[members], kind="stable")]
        before = np.cumsum(listing.sizes[members]) - listing.sizes[members]
        kept[members[before < share * sample_bytes]] = True
    groups = {}
    for number, group in sorted(enumerate(listing.groups), key=lambda item: item[1]):
        members = kept & (listing.group == number)
        if members.any():
            groups[group] = (int(members.sum()), int(listing.sizes[members].sum()))
    return Sample(shards, [listing.row[kept & (listing.shard == number)] for number in range(len(shards))], groups)


def _shares(
    weights: Mapping[str, float], source_weights: Mapping[str, float], present: set[Group]
) -> Iterator[tuple[str | None, str | None, float]]:
    """Language, source and their share of the whole; None stands for all. `present` are the groups that hold text."""
    for key, given, place in (("weights", weights, 0), ("source_weights", source_weights, 1)):
        known = sorted({group[place] for group in present})
        for name, weight in given.items():
            if weight > 0 and name not in known:
                what = "language" if place == 0 else "source"
                raise RequestError(f"tokenizer.{key}: no training text in {what} {name!r}; there is text of {', '.join(known) or 'none'}")
    for lang, share in _normal(weights).items():
        there = {s: w for s, w in source_weights.items() if lang is None or (lang, s) in present}
        if source_weights and not sum(there.values()):
            raise RequestError(f"tokenizer.source_weights: none of these sources has text in language {lang!r}; add one that has")
        for source, part in _normal(there).items():
            if share * part > 0:
                yield lang, source, share * part


def _normal(weights: Mapping[str, float]) -> dict[str | None, float]:
    """Weights that add up to one; no weights are one share for all together."""
    total = sum(weights.values())
    return {name: weight / total for name, weight in weights.items()} if total > 0 else {None: 1.0}


class _Listing:
    """The documents of a subset that hold text and are read, in the order of the shards; all arrays have shape (documents,)."""

    def __init__(self, shards: list[Path], subset: str) -> None:
        numbers: dict[Group, int] = {}
        columns = [self._columns(path, subset, numbers) for path in shards]
        self.groups = list(numbers)
        """The groups there are, by their numbers in `group`."""
        self.order = _joined([column[0] for column in columns], np.uint64)
        """The first 8 bytes of the document's id."""
        self.sizes = _joined([column[1] for column in columns], np.int64)
        self.group = _joined([column[2] for column in columns], np.int64)
        self.row = _joined([column[3] for column in columns], np.int64)
        self.shard = np.repeat(np.arange(len(shards)), [column[3].size for column in columns])

    @staticmethod
    def _columns(path: Path, subset: str, numbers: dict[Group, int]) -> tuple[npt.NDArray[Any], ...]:
        table = read_shard(path).select(["doc_id", "text", "lang", "source", "subset", "weight"])
        sizes = pc.binary_length(table.column("text")).to_numpy().astype(np.int64)
        times = _joined([times_read(batch) for batch in table.select(SAMPLED).to_batches()], np.int64)
        row = np.flatnonzero(pc.equal(table.column("subset"), subset).to_numpy() & (sizes > 0) & (times > 0))
        table = table.select(["doc_id", "lang", "source"]).take(row)
        ids = np.frombuffer(b"".join(table.column("doc_id").to_pylist()), ">u8").reshape(-1, 2)[:, 0]
        names = zip(table.column("lang").to_pylist(), table.column("source").to_pylist(), strict=True)
        group = np.array([numbers.setdefault(name, len(numbers)) for name in names], np.int64)
        return ids, sizes[row], group, row


def _joined(columns: list[npt.NDArray[Any]], kind: type) -> npt.NDArray[Any]:
    return np.concatenate([np.zeros(0, kind), *columns])
