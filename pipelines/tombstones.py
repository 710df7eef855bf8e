"""The model: a *tombstone* stands for a document that was forgotten: its id, and the digest of its clean text if it had one; never text.

The tombstones of a name lie in a file of its newest version, and are an input of each later one: a record that has the id of one, or
becomes the text of one, is rejected as `forgotten`, and that reject holds no text. A record is known by its id before anything of it is
read, and by its text as soon as nothing changes that any more, before anybody else judges it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

import pyarrow as pa

from pipelines.stages import Sifted, sift
from pipelines.text_digests import text_digests
from schemas.arrow import read_shard, write_shard
from schemas.artifact import Artifact, File, Part
from schemas.draft import Draft

STAGE = "forget"
"""Of the part that holds the tombstones, and of the rejects that they make."""
REASON = "forgotten"
ROLE = "tombstones"
"""Of their file, and among the inputs of what was made with them."""
ROOT = "tombstones/file"
"""Where they lie for a draft that is made with them; no source's name has a slash."""

_KEY = "00000"

TOMBSTONES = pa.schema([pa.field("doc_id", pa.binary(16), nullable=False), pa.field("digest", pa.binary(16))])
"""Sorted by id; `digest` is xxh3-128 of the clean text, null for a record that never had one."""


@dataclass(frozen=True)
class Tombstones:
    """Digest of the clean text, or None, by id."""

    by_id: dict[bytes, bytes | None]

    @classmethod
    def read(cls, path: Path) -> Self:
        table = read_shard(path)
        return cls(dict(zip(table["doc_id"].to_pylist(), table["digest"].to_pylist(), strict=True)))

    @classmethod
    def of(cls, documents: Artifact | None) -> Self:
        """Those that a version of documents holds; none if it has none, or there is no version."""
        file = tombstones_file(documents)
        return cls({} if file is None or documents is None else cls.read(documents.path / file.path).by_id)

    @cached_property
    def digests(self) -> frozenset[bytes]:
        return frozenset(digest for digest in self.by_id.values() if digest is not None)

    def with_more(self, by_id: dict[bytes, bytes | None]) -> Tombstones:
        """A record that is forgotten again keeps its digest."""
        return Tombstones(self.by_id | {doc_id: digest or self.by_id.get(doc_id) for doc_id, digest in by_id.items()})

    def write(self, path: Path) -> None:
        rows = sorted(self.by_id.items())
        columns = [pa.array([row[i] for row in rows], pa.binary(16)) for i in range(2)]
        write_shard(path, TOMBSTONES, [pa.RecordBatch.from_arrays(columns, schema=TOMBSTONES)], compress=False)

    def sift_by_id(self, batch: pa.RecordBatch) -> Sifted:
        """Reject the records of a batch that are among the forgotten."""
        return self._sift(batch, (doc_id in self.by_id for doc_id in batch.column("doc_id").to_pylist()))

    def sift_by_text(self, batch: pa.RecordBatch) -> Sifted:
        """Reject the records of a batch whose text is that of one of the forgotten."""
        return self._sift(batch, (digest in self.digests for digest in text_digests(batch)))

    def _sift(self, batch: pa.RecordBatch, forgotten: Iterable[bool]) -> Sifted:
        return sift(batch, STAGE, [(REASON, "") if gone else None for gone in forgotten], keep_text=False)


def tombstones_file(documents: Artifact | None) -> File | None:
    """The file that holds the tombstones of a version of documents, if it has any."""
    files = [] if documents is None else documents.manifest.files(ROLE)
    return files[0] if files else None


def record_tombstones(draft: Draft, written: Path, count: int) -> Part:
    """Make the part that holds the tombstones; `written` is taken away."""
    file = draft.adopt(written, folder=ROLE, stem=_KEY, suffix=".arrow", role=ROLE, rows=count)
    return draft.add_part(STAGE, _KEY, [file], facts={ROLE: count})
