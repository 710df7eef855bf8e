"""The model: a document is a *near duplicate* if an earlier one in canonical order (split, then row) shares a band of
its MinHash signature with it, and the *estimate* of their Jaccard similarity passes. It goes, whatever became of the
earlier one, which may itself be a copy: so one pass decides, and chains need no connected components.

Like digests, bands are written as one sorted run a split and merged a partition at a time. Signatures stay where they
were written, in order of rows, and only those of documents that meet in a band are looked at. An estimate passes down to
one standard deviation below the threshold: lower, and more pairs pass that are far from alike; higher, and more are missed
that are (`tests/bench/near_quality.py` has the figures).

In a group of documents that share a band, only the first `MAX_COMPARED` are compared with the later ones, so that a
million pages of one template cost no square. What goes depends on the documents alone, never on how they are split.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipelines.dedup.ancestors import matching
from pipelines.dedup.exact import split_handles, write_by_split
from pipelines.dedup.minhash import Hashes, Ints, Signatures, agreements, band_keys, signatures
from pipelines.dedup.runs import bytes16, concatenated, fixed, partition_offsets
from pipelines.job import Handle, Job, key_of
from schemas.arrow import write_shard
from schemas.recipe import Near

STAGE = "near_duplicates"

MAX_COMPARED = 256
"""Documents of a group that later ones are compared with."""

BANDS = pa.schema([pa.field("key", pa.uint64(), nullable=False), pa.field("row", pa.uint32(), nullable=False)])
"""The key of each band of each document; `row` is the document's row among the prepared ones of its split."""

NEAR = pa.schema(
    [
        pa.field("split", pa.uint32(), nullable=False),
        pa.field("row", pa.uint32(), nullable=False),
        pa.field("first_split", pa.uint32(), nullable=False),
        pa.field("first_row", pa.uint32(), nullable=False),
        pa.field("first", pa.binary(16), nullable=False),
        pa.field("estimate", pa.float32(), nullable=False),
    ]
)
"""Rows to drop, by split and row; `first` is the earliest document of the partition that drops it, with their similarity."""

_BLOCK = 1 << 12
"""Pairs to compare at a time."""

Documents = npt.NDArray[np.uint64]
"""Split and row of documents in one number: its order is the canonical one."""
_ROW = np.uint64(0xFFFFFFFF)


def signatures_schema(near: Near) -> pa.Schema:
    """Row i for row i of the prepared documents; null for a text that is too short to have a signature."""
    return pa.schema([pa.field("doc_id", pa.binary(16), nullable=False), pa.field("signature", pa.list_(pa.uint16(), near.hashes))])


class NearRun:
    """Gathers the signatures of a split's documents."""

    kind = "bands"
    folder, role = "bands", "digests"

    def __init__(self, near: Near) -> None:
        self._near = near
        self._ids: list[bytes] = []
        self._signatures: list[Signatures] = []
        self._signed: list[npt.NDArray[np.bool_]] = []

    def add(self, batch: pa.RecordBatch) -> None:
        """Add a batch of schema PREPARED."""
        near = self._near
        found, signed = signatures(batch.column("text").to_pylist(), ngram=near.ngram, hashes=near.hashes, seed=near.seed)
        self._ids.append(b"".join(batch.column("doc_id").to_pylist()))
        self._signatures.append(found)
        self._signed.append(signed)

    def write(self, path: Path, partitions: int) -> list[int]:
        """Write the bands sorted by key, then row; return the offsets of the partitions, and the end."""
        found, signed = self._gathered()
        rows = np.flatnonzero(signed).astype(np.uint32)
        keys = band_keys(found[rows], self._near.bands).ravel()
        order = np.argsort(keys, kind="stable")
        columns = [pa.array(keys[order]), pa.array(np.repeat(rows, self._near.bands)[order])]
        write_shard(path, BANDS, [pa.RecordBatch.from_arrays(columns, schema=BANDS)], compress=False)
        return partition_offsets(keys[order], partitions)

    def write_signatures(self, path: Path) -> int:
        """Write the signatures in order of rows; return how many rows there are."""
        found, signed = self._gathered()
        schema = signatures_schema(self._near)
        ids = np.frombuffer(b"".join(self._ids), "V16")
        lists = pa.FixedSizeListArray.from_arrays(pa.array(found.ravel()), type=schema.field("signature").type, mask=pa.array(~signed))
        return write_shard(path, schema, [pa.RecordBatch.from_arrays([fixed(ids), lists], schema=schema)], compress=False)

    def _gathered(self) -> tuple[Signatures, npt.NDArray[np.bool_]]:
        none = np.empty((0, self._near.hashes), np.uint16)
        return np.concatenate([none, *self._signatures]), np.concatenate([np.empty(0, np.bool_), *self._signed])


def find_near_duplicates(job: Job, partition: int, near: Near, handles: Sequence[Handle]) -> list[tuple[int, Handle]]:
    """Merge one partition, unless a part record says that it is done; return (split, handle) of its losers.

    `handles` are the bands of the partition and the signatures of every split.
    """
    part = job.draft.part(STAGE, key_of(partition))
    if part is None:
        with job.attempt(STAGE, key_of(partition)):
            bands = sorted((handle for handle in handles if handle.kind == "bands"), key=lambda handle: handle.split)
            signed = [*job.ancestors("signatures"), *(handle for handle in handles if handle.kind == "signatures")]
            tables = [(handle.split, job.read(handle)) for handle in bands]
            old = matching(job, job.ancestors("bands"), [table for _, table in tables], MAX_COMPARED)
            look = _Signatures(job, {handle.split: handle for handle in signed})
            table = near_losers([*old, *tables], near, look, first_new=min(job.split))
            part = write_by_split(job, STAGE, partition, table, NEAR)
    return split_handles(part, "near")


class _Signatures:
    """Looks documents up in the files of signatures, which are opened when the first document of theirs is wanted."""

    def __init__(self, job: Job, handles: Mapping[int, Handle]) -> None:
        self._job = job
        self._handles = handles
        self._open: dict[int, pa.Table] = {}

    def signatures(self, documents: Documents, hashes: int) -> Signatures:
        found = np.empty((len(documents), hashes), np.uint16)
        for split, at, rows in _by_split(documents):
            lists: Any = self._table(split)["signature"].chunk(0)  # a file holds one batch
            found[at] = lists.values.to_numpy().reshape(-1, hashes)[rows]
        return found

    def doc_ids(self, documents: Documents) -> npt.NDArray[np.void]:
        found = np.empty(len(documents), "V16")
        for split, at, rows in _by_split(documents):
            found[at] = bytes16(self._table(split)["doc_id"])[rows]
        return found

    def _table(self, split: int) -> pa.Table:
        if split not in self._open:
            self._open[split] = self._job.read(self._handles[split])
        return self._open[split]


def _by_split(documents: Documents) -> Iterator[tuple[int, Ints, Ints]]:
    """Of each split among some documents, where they stand there and their rows."""
    splits = documents >> np.uint64(32)
    for split in np.unique(splits).tolist():
        at = np.flatnonzero(splits == split)
        yield split, at, (documents[at] & _ROW).astype(np.int64)


def near_losers(runs: Sequence[tuple[int, pa.Table]], near: Near, look: _Signatures, first_new: int = 0) -> pa.Table:
    """The losers among runs of schema BANDS, which come with their splits' ordinals, in order; none of splits before `first_new`."""
    table = concatenated([run for _, run in runs], BANDS)
    splits = np.repeat(np.array([split for split, _ in runs], np.uint64), [len(run) for _, run in runs])
    documents = splits << np.uint64(32) | table["row"].to_numpy()
    lost, winners, agreed = _first_alike(*_meetings(table["key"].to_numpy(), documents), near, look, np.uint64(first_new) << np.uint64(32))
    order = np.lexsort((winners, lost))  # a document may lose in several bands: to the earliest that drops it
    lost, first = np.unique(lost[order], return_index=True)
    winners, agreed = winners[order][first], agreed[order][first]
    columns = {
        "split": pa.array((lost >> np.uint64(32)).astype(np.uint32)),
        "row": pa.array((lost & _ROW).astype(np.uint32)),
        "first_split": pa.array((winners >> np.uint64(32)).astype(np.uint32)),
        "first_row": pa.array((winners & _ROW).astype(np.uint32)),
        "first": fixed(look.doc_ids(winners)),
        "estimate": pa.array((agreed / near.hashes).astype(np.float32)),
    }
    return pa.table(columns, schema=NEAR)


def _meetings(keys: Hashes, documents: Documents) -> tuple[Documents, Ints]:
    """The documents of all groups of two or more that share a key, each group in canonical order; and where groups start."""
    order = np.argsort(keys, kind="stable")  # runs come in order of splits, and each in order of rows
    keys = keys[order]
    same = keys[1:] == keys[:-1]
    shared = np.zeros(len(keys), np.bool_)
    shared[1:] = same
    shared[:-1] |= same
    begins = np.flatnonzero(np.concatenate([[True], ~same])[: len(keys)][shared])
    return documents[order[shared]], begins


def _first_alike(
    documents: Documents, begins: Ints, near: Near, look: _Signatures, first_new: np.uint64
) -> tuple[Documents, Documents, Ints]:
    """New documents with an earlier one of their group that is alike, the first such one, and in how many hashes they agree."""
    starts = np.repeat(begins, np.diff(np.append(begins, len(documents))))
    left = np.flatnonzero(documents >= first_new)  # those that nobody has dropped yet
    lost, winners, agreed = [np.empty(0, np.int64)], [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for number in range(MAX_COMPARED):
        left = left[left > starts[left] + number]
        if not left.size:
            break
        alike = np.zeros(left.size, np.int64)
        for at in range(0, left.size, _BLOCK):
            later = left[at : at + _BLOCK]
            pair = (look.signatures(documents[place], near.hashes) for place in (starts[later] + number, later))
            alike[at : at + _BLOCK] = agreements(*pair)
        passes = alike >= least_agreement(near)
        lost.append(left[passes])
        winners.append(starts[left[passes]] + number)
        agreed.append(alike[passes])
        left = left[~passes]
    return documents[np.concatenate(lost)], documents[np.concatenate(winners)], np.concatenate(agreed)


def least_agreement(near: Near) -> int:
    """Hashes of two signatures that must agree for their documents to count as alike."""
    deviation = math.sqrt(near.threshold * (1 - near.threshold) / near.hashes)
    return math.ceil(near.hashes * (near.threshold - deviation))
