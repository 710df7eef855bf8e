"""The model: a *part* of a document is one of its lines or paragraphs (lines between blank ones), white space at its ends aside.
Parts are known by digests, and short ones don't count.

    repeated    earlier documents have it, as many as the recipe lets keep it: it is cut from the later ones
    shared      a held-out document has it, and one that is trained on: it is cut from the held-out ones, for held-out text
                that was trained on measures memory

Parts are merged a partition at a time like digests, after duplicates are known: a document that is dropped has no part in this.
What is cut as repeated is in its document no more, so it isn't shared either (a paragraph that is cut still counts by its lines).
For versions that extend others see `pipelines.dedup.frozen`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import xxhash

from pipelines.dedup.exact import STAGE as DUPLICATES
from pipelines.dedup.exact import split_handles, write_by_split
from pipelines.dedup.frozen import NOTHING, Frozen, frozen_lines, left_of, parts_in, without
from pipelines.dedup.near import STAGE as NEAR_DUPLICATES
from pipelines.dedup.runs import concatenated, partition_offsets
from pipelines.job import REPEATED_LINES, REPEATED_PARAGRAPHS, SHARED_LINES, Handle, Job, key_of
from schemas.arrow import read_shard, write_shard

PARTS = pa.schema(
    [
        pa.field("line", pa.uint64(), nullable=False),
        pa.field("row", pa.uint32(), nullable=False),
        pa.field("held_out", pa.bool_(), nullable=False),
    ]
)
"""xxh3-64 of each longer line, or paragraph, of a document, once a document; `row` is its row among the prepared ones of its split."""

REPEATED = pa.schema(
    [
        pa.field("split", pa.uint32(), nullable=False),
        pa.field("row", pa.uint32(), nullable=False),
        pa.field("line", pa.uint64(), nullable=False),
    ]
)
"""Parts to cut from single documents."""

SHARED = pa.schema(
    [
        pa.field("split", pa.uint32(), nullable=False),
        pa.field("line", pa.uint64(), nullable=False),
        pa.field("held_out", pa.bool_(), nullable=False),
    ]
)
"""Parts to cut from all held-out documents of a split, or from all that are trained on."""

_BLANK_LINES = re.compile(r"(\n\s*\n)")
_LINE_BREAKS = re.compile(r"(\n)")


class PartRun:
    """Gathers the longer parts of a split's documents."""

    def __init__(self, kind: str, at_least: int) -> None:
        self.kind = kind
        self.folder, self.role = kind, "digests"
        self._at_least = at_least
        self._parts: list[npt.NDArray[np.uint64]] = []
        self._held_out: list[bool] = []

    def add(self, batch: pa.RecordBatch) -> None:
        """Add a batch of schema PREPARED."""
        for text in batch.column("text").to_pylist():
            parts = (stripped for part in parts_of(text, self.kind) if len(stripped := part.strip()) >= self._at_least)
            self._parts.append(np.fromiter(set(map(part_digest, parts)), np.uint64))
        self._held_out += [subset != "train" for subset in batch.column("subset").to_pylist()]

    def write(self, path: Path, partitions: int) -> list[int]:
        """Write the run sorted by part, then row; return the offsets of the partitions, and the end."""
        counts = np.fromiter(map(len, self._parts), np.int64, len(self._parts))
        parts = np.concatenate([np.empty(0, np.uint64), *self._parts])
        rows = np.repeat(np.arange(len(counts), dtype=np.uint32), counts)
        held_out = np.repeat(np.array(self._held_out, np.bool_), counts)
        order = np.lexsort((rows, parts))
        columns = [pa.array(column[order]) for column in (parts, rows, held_out)]
        write_shard(path, PARTS, [pa.RecordBatch.from_arrays(columns, schema=PARTS)], compress=False)
        return partition_offsets(parts[order], partitions)


def part_digest(part: str) -> int:
    return xxhash.xxh3_64_intdigest(part.encode())


def parts_of(text: str, kind: str) -> list[str]:
    return _BLANK_LINES.split(text)[::2] if kind == REPEATED_PARAGRAPHS else text.split("\n")


def without_parts(text: str, kind: str, gone: frozenset[int] | set[int], at_least: int) -> str:
    """The text without the parts of a kind whose digests are in `gone`. What stood between a part and the next goes with it, and
    what stood before the last one if that goes."""
    pieces = _BLANK_LINES.split(text) if kind == REPEATED_PARAGRAPHS else _LINE_BREAKS.split(text)
    kept = [
        at for at in range(0, len(pieces), 2)
        if len(stripped := pieces[at].strip()) < at_least or part_digest(stripped) not in gone
    ]  # fmt: skip
    return "".join(pieces[at] + (pieces[at + 1] if at != kept[-1] else "") for at in kept)


def find_parts(job: Job, partition: int, runs: Sequence[Handle], losers: Mapping[int, Sequence[Handle]]) -> list[tuple[int, Handle]]:
    """Merge the parts of one partition, unless part records say that it is done; return (split, handle) of what to cut.

    `losers` has the handles of the rows that duplicates drop, by split. `runs` may hold handles of other kinds, too.
    """
    found = []
    lost: dict[int, npt.NDArray[np.uint32]] | None = None
    for kind in job.kinds_of_parts:  # repeated ones come first
        part = job.draft.part(kind, key_of(partition))
        if part is None:
            with job.attempt(kind, key_of(partition)):
                lost = _lost_rows(job, losers) if lost is None else lost
                ordered = sorted((run for run in runs if run.kind == kind), key=lambda run: run.split)
                tables = [(run.split, without(job.read(run), lost.get(run.split))) for run in ordered]
                if kind == SHARED_LINES:
                    cut = _cut_before(job, partition)
                    tables = [(split, _difference(table, job.read(cut[split])) if split in cut else table) for split, table in tables]
                    part = write_by_split(job, kind, partition, shared(tables, frozen_lines(job, tables)), SHARED)
                else:
                    old = left_of(job, job.ancestors(kind), tables)
                    table = repeated([*old, *tables], job.repeats(kind).documents)
                    part = write_by_split(job, kind, partition, table.filter(job.is_new(table["split"])), REPEATED)
        found += split_handles(part, kind)
    return found


def repeated(runs: Sequence[tuple[int, pa.Table]], documents: int) -> pa.Table:
    """What to cut of runs of schema PARTS, which come with their splits' ordinals, in order: a part stays in its first `documents`."""
    table = concatenated([run for _, run in runs], PARTS)
    parts, rows = table["line"].to_numpy(), table["row"].to_numpy()
    splits = np.repeat(np.array([split for split, _ in runs], np.uint32), [len(run) for _, run in runs])
    order = np.argsort(parts, kind="stable")  # runs come in order of splits, and each in order of rows
    at_end = np.flatnonzero(parts[order[1:]] != parts[order[:-1]]) + 1
    begins = np.concatenate([[0], at_end])
    rank = np.arange(len(order)) - np.repeat(begins, np.diff(np.append(begins, len(order))))
    cut = order[rank >= documents]
    cut = cut[np.lexsort((parts[cut], rows[cut], splits[cut]))]
    return pa.table([splits[cut], rows[cut], parts[cut]], schema=REPEATED)


def shared(runs: Sequence[tuple[int, pa.Table]], frozen: Frozen = NOTHING) -> pa.Table:
    """The shared lines among runs of schema PARTS, which come with their splits' ordinals: each once a split and side."""
    trained = np.union1d(np.setdiff1d(parts_in(runs, held_out=False), frozen.held_out, assume_unique=True), frozen.trained)
    splits, parts, sides = [np.empty(0, np.uint32)], [np.empty(0, np.uint64)], [np.empty(0, np.bool_)]
    for split, run in runs:
        for held_out, others in ((True, trained), (False, frozen.held_out)):
            if len(others):
                own = parts_in([(split, run)], held_out=held_out)
                # Sorting both again would cost a square.
                cut = own[np.searchsorted(others, own, "right") > np.searchsorted(others, own, "left")]
                splits.append(np.full(len(cut), split, np.uint32))
                parts.append(cut)
                sides.append(np.full(len(cut), held_out))
    return pa.table([np.concatenate(columns) for columns in (splits, parts, sides)], schema=SHARED)


def _lost_rows(job: Job, losers: Mapping[int, Sequence[Handle]]) -> dict[int, npt.NDArray[np.uint32]]:
    """By split, the rows that duplicates drop; each file, which has rows of many splits, is opened once."""
    opened = {path: read_shard(job.draft.path / path)["row"].to_numpy() for path in {h.path for hs in losers.values() for h in hs}}
    return {
        split: np.concatenate([opened[handle.path][handle.offset : handle.offset + handle.rows] for handle in handles])
        for split, handles in losers.items()
        if handles
    }


def _cut_before(job: Job, partition: int) -> dict[int, Handle]:
    """What is cut as repeated lines, by split: the same partition holds all that is said about a line."""
    part = job.draft.part(REPEATED_LINES, key_of(partition))
    return {} if part is None else dict(split_handles(part, REPEATED_LINES))


def _difference(table: pa.Table, cut: pa.Table) -> pa.Table:
    """Rows of schema PARTS without those whose part and row are in `cut`; no pair stands twice in either."""
    parts, rows = (np.concatenate([table[name].to_numpy(), cut[name].to_numpy()]) for name in ("line", "row"))
    order = np.lexsort((rows, parts))  # stable: of equal pairs the table's comes first
    twice = (np.diff(parts[order]) == 0) & (np.diff(rows[order]) == 0)
    keep = np.ones(len(table), np.bool_)
    keep[order[:-1][twice]] = False
    return table.filter(pa.array(keep))


def finish_handles(job: Job) -> dict[int, list[Handle]]:
    """By split, all that its finishing needs to know, from the part records of the stages before."""
    handles: dict[int, list[Handle]] = {split["ordinal"]: [] for split in job.splits}
    for stage, kind in ((DUPLICATES, "losers"), (NEAR_DUPLICATES, "near"), *((kind, kind) for kind in job.kinds_of_parts)):
        for part in job.draft.parts(stage):
            for split, handle in split_handles(part, kind):
                handles[split].append(handle)
    return handles
