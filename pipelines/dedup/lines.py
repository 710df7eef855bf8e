"""The model: a *shared line* stands in a held-out document and in one that is trained on. Held-out text that was trained
on measures memory, so such lines are cut from the held-out side.

Lines are merged a partition at a time like digests, after duplicates are known: a document that is dropped shares nothing.

Of a version that extends another one the older side is *frozen*: a line that training documents of an ancestor hold is cut from new
held-out documents; a line that is left in held-out documents of an ancestor is cut from new training documents.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipelines.dedup.ancestors import by_generation, matching
from pipelines.dedup.exact import STAGE as DUPLICATES
from pipelines.dedup.exact import split_handles, write_by_split
from pipelines.dedup.near import STAGE as NEAR_DUPLICATES
from pipelines.dedup.runs import LINES, concatenated, line_digest
from pipelines.job import Handle, Job, key_of

STAGE = "shared_lines"

SHARED = pa.schema(
    [
        pa.field("split", pa.uint32(), nullable=False),
        pa.field("line", pa.uint64(), nullable=False),
        pa.field("held_out", pa.bool_(), nullable=False),
    ]
)
"""Lines to cut from documents of a split: from its held-out ones, or from those that are trained on."""

Lines = npt.NDArray[np.uint64]


class Frozen(NamedTuple):
    """Lines of ancestors, by the side that they are left on."""

    trained: Lines
    held_out: Lines


NONE = Frozen(np.empty(0, np.uint64), np.empty(0, np.uint64))


def find_shared_lines(job: Job, partition: int, runs: Sequence[Handle], losers: Mapping[int, Sequence[Handle]]) -> list[tuple[int, Handle]]:
    """Merge the lines of one partition, unless a part record says that it is done; return (split, handle) of what to cut.

    `losers` has the handles of the rows that duplicates drop, by split.
    """
    part = job.draft.part(STAGE, key_of(partition))
    if part is None:
        with job.attempt(STAGE, key_of(partition)):
            ordered = sorted(runs, key=lambda run: run.split)
            tables = [(run.split, _without(job.read(run), [job.read(lost) for lost in losers.get(run.split, ())])) for run in ordered]
            frozen = _frozen(job, [table for _, table in tables])
            part = write_by_split(job, STAGE, partition, shared(tables, frozen), SHARED)
    return split_handles(part, "shared")


def shared(runs: Sequence[tuple[int, pa.Table]], frozen: Frozen = NONE) -> pa.Table:
    """The shared lines among runs of schema LINES, which come with their splits' ordinals: each once a split and side."""
    trained = np.union1d(np.setdiff1d(_lines([run for _, run in runs], held_out=False), frozen.held_out), frozen.trained)
    splits, lines, sides = [np.empty(0, np.uint32)], [np.empty(0, np.uint64)], [np.empty(0, np.bool_)]
    for split, run in runs:
        for held_out, others in ((True, trained), (False, frozen.held_out)):
            cut = np.intersect1d(_lines([run], held_out=held_out), others, assume_unique=True)
            splits.append(np.full(len(cut), split, np.uint32))
            lines.append(cut)
            sides.append(np.full(len(cut), held_out))
    return pa.table([np.concatenate(columns) for columns in (splits, lines, sides)], schema=SHARED)


def _frozen(job: Job, runs: Sequence[pa.Table]) -> Frozen:
    """What the ancestors left of the lines of `runs`: the first generation that has a line decides on which side it stays."""
    frozen, unknown = NONE, pa.table([np.unique(concatenated(runs, LINES)["line"].to_numpy())], names=["line"])
    dropped = {handle.split: [handle] for handle in job.ancestors("dropped")}
    for generation in by_generation(job, job.ancestors("lines")):
        found = matching(job, generation, [unknown], most=None)
        left = [_without(table, [job.read(handle) for handle in dropped.get(split, ())]) for split, table in found]
        trained, held_out = _lines(left, held_out=False), _lines(left, held_out=True)
        held_out = np.setdiff1d(held_out, trained, assume_unique=True)
        frozen = Frozen(np.union1d(frozen.trained, trained), np.union1d(frozen.held_out, held_out))
        known = np.union1d(trained, held_out)
        unknown = pa.table([np.setdiff1d(unknown["line"].to_numpy(), known, assume_unique=True)], names=["line"])
    return frozen


def cut_lines(text: str, shared_lines: frozenset[int], longer_than: int) -> str:
    """The text without the lines that are shared."""
    lines = text.split("\n")
    return "\n".join(line for line in lines if len(s := line.strip()) <= longer_than or line_digest(s) not in shared_lines)


def _lines(runs: Sequence[pa.Table], *, held_out: bool) -> Lines:
    found = [run["line"].to_numpy()[run["held_out"].to_numpy() == held_out] for run in runs]
    return np.unique(np.concatenate([np.empty(0, np.uint64), *found]))


def _without(table: pa.Table, losers: Sequence[pa.Table]) -> pa.Table:
    rows = [rows["row"].to_numpy() for rows in losers]
    return table.filter(pa.array(~np.isin(table["row"].to_numpy(), np.concatenate(rows)))) if rows else table


def finish_handles(job: Job) -> dict[int, list[Handle]]:
    """By split, all that its finishing needs to know, from the part records of the stages before."""
    handles: dict[int, list[Handle]] = {split["ordinal"]: [] for split in job.splits}
    for stage, kind in ((DUPLICATES, "losers"), (NEAR_DUPLICATES, "near"), (STAGE, "shared")):
        for part in job.draft.parts(stage):
            for split, handle in split_handles(part, kind):
                handles[split].append(handle)
    return handles
