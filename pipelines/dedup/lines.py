"""The model: a *shared line* stands in a held-out document and in one that is trained on. Held-out text that was trained
on measures memory, so such lines are cut from the held-out side.

Lines are merged a partition at a time like digests, after duplicates are known: a document that is dropped shares nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipelines.dedup.exact import STAGE as DUPLICATES
from pipelines.dedup.exact import split_handles, write_by_split
from pipelines.dedup.near import STAGE as NEAR_DUPLICATES
from pipelines.dedup.runs import line_digest
from pipelines.job import Handle, Job, key_of

STAGE = "shared_lines"

SHARED = pa.schema([pa.field("split", pa.uint32(), nullable=False), pa.field("line", pa.uint64(), nullable=False)])
"""Lines to cut from the held-out documents of a split."""


def find_shared_lines(job: Job, partition: int, runs: Sequence[Handle], losers: Mapping[int, Sequence[Handle]]) -> list[tuple[int, Handle]]:
    """Merge the lines of one partition, unless a part record says that it is done; return (split, handle) of what to cut.

    `losers` has the handles of the rows that duplicates drop, by split.
    """
    part = job.draft.part(STAGE, key_of(partition))
    if part is None:
        with job.attempt(STAGE, key_of(partition)):
            ordered = sorted(runs, key=lambda run: run.split)
            tables = [(run.split, _without_losers(job, run, losers.get(run.split, ()))) for run in ordered]
            part = write_by_split(job, STAGE, partition, shared(tables), SHARED)
    return split_handles(part, "shared")


def shared(runs: Sequence[tuple[int, pa.Table]]) -> pa.Table:
    """The shared lines among runs of schema LINES, which come with their splits' ordinals: each once a split."""
    trained = _lines(runs, held_out=False)
    splits, lines = [np.empty(0, np.uint32)], [np.empty(0, np.uint64)]
    for split, run in runs:
        cut = np.intersect1d(_lines([(split, run)], held_out=True), trained, assume_unique=True)
        splits.append(np.full(len(cut), split, np.uint32))
        lines.append(cut)
    return pa.table([np.concatenate(splits), np.concatenate(lines)], schema=SHARED)


def cut_lines(text: str, shared_lines: frozenset[int], longer_than: int) -> str:
    """The text without the lines that are shared."""
    lines = text.split("\n")
    return "\n".join(line for line in lines if len(s := line.strip()) <= longer_than or line_digest(s) not in shared_lines)


def _lines(runs: Sequence[tuple[int, pa.Table]], *, held_out: bool) -> npt.NDArray[np.uint64]:
    found = [run["line"].to_numpy()[run["held_out"].to_numpy() == held_out] for _, run in runs]
    return np.unique(np.concatenate([np.empty(0, np.uint64), *found]))


def _without_losers(job: Job, run: Handle, losers: Sequence[Handle]) -> pa.Table:
    table = job.read(run)
    rows = [job.read(handle)["row"].to_numpy() for handle in losers]
    return table.filter(pa.array(~np.isin(table["row"].to_numpy(), np.concatenate(rows)))) if rows else table


def finish_handles(job: Job) -> dict[int, list[Handle]]:
    """By split, all that its finishing needs to know, from the part records of the stages before."""
    handles: dict[int, list[Handle]] = {split["ordinal"]: [] for split in job.splits}
    for stage, kind in ((DUPLICATES, "losers"), (NEAR_DUPLICATES, "near"), (STAGE, "shared")):
        for part in job.draft.parts(stage):
            for split, handle in split_handles(part, kind):
                handles[split].append(handle)
    return handles
