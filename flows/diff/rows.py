"""The model: an *index* has for each row of an artifact its id, its *group* (source and language) and a digest for each *aspect*
of it: the text, its annotation, and so on.

An index takes some 60 bytes a row: shards are read batch by batch. Of shards that both sides have, by
digest, only the groups are read: no row of them can differ.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from flows.diff.matching import Ids
from flows.digests import Digests, column_digests, mixed
from schemas.arrow import ids_of, read_batches
from schemas.artifact import Artifact

ASPECTS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "documents": {
        "text": ("text",),
        "annotation": ("sentence_ends", "word_starts", "word_ends", "pos"),
        "language": ("lang", "lang_score"),
        "subset": ("origin_group", "subset"),
        "weight": ("weight",),
        "fields": (),
    },
    "tokens": {
        "tokens": ("tokens", "token_starts"),
        "words": ("word_start", "sentence_ends"),
        "language": ("lang",),
        "subset": ("subset",),
        "weight": ("weight",),
        "fields": (),
    },
}
"""Columns of each aspect of a row, by kind of artifact; `fields` has all that no other has."""

_PLACE = ("doc_id", "source", "uri", "record", "record_bytes")
"""What the id already stands for."""


class Names:
    """Numbers for pairs of source and language, the same for all indexes that are compared."""

    def __init__(self) -> None:
        self.pairs: list[tuple[str, str]] = []
        self._numbers: dict[tuple[str, str], int] = {}

    def numbers(self, batch: pa.RecordBatch) -> npt.NDArray[np.int32]:
        """int32 [rows]."""
        sources, langs = (batch.column(name).dictionary_encode() for name in ("source", "lang"))
        wide = len(langs.dictionary)
        codes = sources.indices.to_numpy().astype(np.int64) * wide + langs.indices.to_numpy()
        unique, inverse = np.unique(codes, return_inverse=True)
        known = [self._number(sources.dictionary[int(c) // wide].as_py(), langs.dictionary[int(c) % wide].as_py()) for c in unique]
        return np.array(known, np.int32)[inverse]

    def _number(self, source: str, lang: str) -> int:
        number = self._numbers.setdefault((source, lang), len(self.pairs))
        if number == len(self.pairs):
            self.pairs.append((source, lang))
        return number

    def counted(self, groups: npt.NDArray[np.int32]) -> dict[tuple[str, str], int]:
        """Rows by source and language, in order of these."""
        counts = np.bincount(groups, minlength=len(self.pairs)).tolist()
        return {pair: n for pair, n in sorted(zip(self.pairs, counts, strict=True)) if n}


@dataclass
class Index:
    """The rows of some shards, in canonical order."""

    shards: list[Path]
    starts: list[int]
    """Number of the first row of each shard."""
    ids: Ids
    groups: npt.NDArray[np.int32]
    digests: Digests
    """uint64 [rows, aspects]."""
    shared: npt.NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, np.int32))
    """Groups of the rows that both sides have in shards of the same bytes."""

    def place(self, row: int) -> tuple[Path, int]:
        """The shard of a row, and its number in there."""
        shard = int(np.searchsorted(self.starts, row, side="right")) - 1
        return self.shards[shard], row - self.starts[shard]


def index_pair(a: Artifact, b: Artifact, names: Names) -> tuple[Index, Index]:
    """Index two artifacts of one kind of `ASPECTS`. Raises `pa.ArrowInvalid` or `OSError`, which name the file."""
    files = [artifact.manifest.files(a.kind) for artifact in (a, b)]
    same = {f.digest for f in files[0]} & {f.digest for f in files[1]}
    left, right = (_index(x, [f.path for f in listed if f.digest not in same], names) for x, listed in zip((a, b), files, strict=True))
    shared = [a.path / f.path for f in files[0] if f.digest in same]
    groups = [names.numbers(batch) for path in shared for batch in read_batches(path, ("source", "lang"))]
    left.shared = right.shared = np.concatenate([left.shared, *groups])
    return left, right


def _index(artifact: Artifact, paths: Sequence[str], names: Names) -> Index:
    aspects = ASPECTS[artifact.kind]
    ids, groups, digests, starts = [np.zeros((0, 2), np.uint64)], [np.zeros(0, np.int32)], [np.zeros((0, len(aspects)), np.uint64)], []
    rows = 0
    for path in paths:
        starts.append(rows)
        for batch in read_batches(artifact.path / path):
            rows += batch.num_rows
            ids.append(ids_of(batch.column("doc_id")))
            groups.append(names.numbers(batch))
            digests.append(_digests(batch, aspects))
    shards = [artifact.path / path for path in paths]
    return Index(shards, starts, np.concatenate(ids), np.concatenate(groups), np.concatenate(digests))


def _digests(batch: pa.RecordBatch, aspects: Mapping[str, tuple[str, ...]]) -> Digests:
    """uint64 [rows, aspects]; a column that an older version did not write has no part in it."""
    named = {column for columns in aspects.values() for column in columns}
    others = sorted(set(batch.schema.names) - named - set(_PLACE))
    by_aspect = [
        mixed([column_digests(batch.column(name)) for name in columns or others if name in batch.schema.names], batch.num_rows)
        for columns in aspects.values()
    ]
    return np.stack(by_aspect, axis=1)
