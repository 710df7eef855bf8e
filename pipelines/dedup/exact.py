"""The model: equal clean texts form a group. Its first member in canonical order (split, then row) stays and the others
are *losers*; if the members' labels differ, all of them are.

The entries of one partition are put together in canonical order and sorted by digest; the sort is stable, so the
first entry of a group is the one that stays. O(n log n) in time, `dedup.memory` in space.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipelines.dedup.ancestors import matching
from pipelines.dedup.runs import DIGESTS, bytes16, concatenated, fixed, halves
from pipelines.job import Handle, Job, key_of
from schemas.arrow import write_shard
from schemas.artifact import Part

STAGE = "duplicates"

LOSERS = pa.schema(
    [
        pa.field("split", pa.uint32(), nullable=False),
        pa.field("row", pa.uint32(), nullable=False),
        pa.field("first", pa.binary(16), nullable=False),
        pa.field("conflict", pa.string()),
    ]
)
"""Rows to drop, by split and row: `first` is the first document of the group, `conflict` says how labels differ (null: they don't)."""


def find_duplicates(job: Job, partition: int, runs: Sequence[Handle]) -> list[tuple[int, Handle]]:
    """Merge one partition, unless a part record says that it is done; return (split, handle) of its losers."""
    part = job.draft.part(STAGE, key_of(partition))
    if part is None:
        dedup = job.settings.dedup
        with job.attempt(STAGE, key_of(partition)):
            tables = [(run.split, job.read(run)) for run in sorted(runs, key=lambda run: run.split)]
            # Of a text that is old the first copy is enough, but for labels: any of them may differ.
            old = matching(job, job.ancestors("digests"), [run for _, run in tables], most=None if dedup.conflict_field else 1)
            table = losers([*old, *tables], exact=dedup.exact, label_field=dedup.conflict_field)
            part = write_by_split(job, STAGE, partition, table.filter(job.is_new(table["split"])), LOSERS)
    return split_handles(part, "losers")


def losers(runs: Sequence[tuple[int, pa.Table]], *, exact: bool, label_field: str | None) -> pa.Table:
    """The losers among runs of schema DIGESTS, which come with their splits' ordinals, in order."""
    table = concatenated([run for _, run in runs], DIGESTS)
    splits = np.repeat(np.array([split for split, _ in runs], np.uint32), [len(run) for _, run in runs])
    high, low = halves(bytes16(table["digest"]))
    order = np.lexsort((low, high))
    high, low = high[order], low[order]
    begins = np.flatnonzero(np.concatenate([[True], (high[1:] != high[:-1]) | (low[1:] != low[:-1])])[: len(order)])
    sizes = np.diff(np.append(begins, len(order)))
    lose = np.ones(len(order), np.bool_) if exact else np.zeros(len(order), np.bool_)
    lose[begins] = False
    conflicts: dict[int, str] = _conflicts(table, order, begins, sizes, label_field) if label_field else {}
    for group in conflicts:
        lose[begins[group] : begins[group] + sizes[group]] = True
    groups = np.repeat(np.arange(len(begins)), sizes)[lose]
    columns = {
        "split": pa.array(splits[order][lose]),
        "row": pa.array(table["row"].to_numpy()[order][lose]),
        "first": fixed(bytes16(table["doc_id"])[order][begins[groups]]),
        "conflict": pa.array([conflicts.get(group) for group in groups.tolist()] if conflicts else [None] * len(groups), pa.string()),
    }
    return pa.table(columns, schema=LOSERS).sort_by([("split", "ascending"), ("row", "ascending")])


def _conflicts(
    table: pa.Table, order: npt.NDArray[np.int64], begins: npt.NDArray[np.int64], sizes: npt.NDArray[np.int64], label_field: str
) -> dict[int, str]:
    """By number of the group, how the labels of its members differ; members without a label have no say."""
    encoded: Any = table["label"].combine_chunks().dictionary_encode()
    names = encoded.dictionary.to_pylist()
    codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)[order]
    if not len(codes):
        return {}
    highest = np.maximum.reduceat(codes, begins)
    lowest = np.minimum.reduceat(np.where(codes < 0, len(names), codes), begins)
    return {
        int(group): f"{label_field} is " + " and ".join(sorted(names[code] for code in (lowest[group], highest[group])))
        for group in np.flatnonzero((sizes > 1) & (lowest < highest))
    }


def write_by_split(job: Job, stage: str, partition: int, table: pa.Table, schema: pa.Schema) -> Part:
    """Record a table that is sorted by split, with the rows of each split as a fact."""
    path = job.temporary(f"{stage}-{key_of(partition)}")
    write_shard(path, schema, table.combine_chunks().to_batches(), compress=False)
    file = job.draft.adopt(path, folder=f"work/{stage}", stem=key_of(partition), suffix=".arrow", role="work", rows=table.num_rows)
    splits, counts = np.unique(table["split"].to_numpy(), return_counts=True)
    facts = {"rows": [[int(split), int(count)] for split, count in zip(splits, counts, strict=True)]}
    return job.draft.add_part(stage, key_of(partition), [file], facts=facts)


def split_handles(part: Part, kind: str) -> list[tuple[int, Handle]]:
    """(split, handle) of what a part holds for each split."""
    handles, offset = [], 0
    for split, rows in part.facts["rows"]:
        handles.append((split, Handle(kind, split, part.files[0].path, offset, rows, part.files[0].digest)))
        offset += rows
    return handles
