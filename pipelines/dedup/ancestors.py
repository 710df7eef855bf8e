"""The model: the *ancestors* of a draft are the splits of its parent, whoever in the chain holds them. They are frozen: they come before
all new splits in canonical order, so none of their documents ever loses, and every new one loses to them as it would in one build.

Their runs stay on disk, sorted by key, and are read memory-mapped. Only the rows are taken whose key some new row has: by bisection,
O(new x log old), and nothing of the ancestors' text is read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipelines.dedup.runs import concatenated
from pipelines.job import Handle, Job

Keys = npt.NDArray[np.uint64]
Ints = npt.NDArray[np.int64]


def matching(job: Job, ancestors: Sequence[Handle], runs: Sequence[pa.Table], most: int | None) -> list[tuple[int, pa.Table]]:
    """Of each ancestors' run, in order, the rows that share a key with some row of `runs`; of each key the first `most` of them all.

    Keys are the first column: uint64, or the leading 64 bits of a digest.
    """
    keys = np.unique(np.concatenate([np.empty(0, np.uint64), *(_keys(batch) for run in runs for batch in run.to_batches())]))
    left = np.full(len(keys), np.iinfo(np.int64).max if most is None else most)
    found = []
    for handle in ancestors if len(keys) else ():
        table = job.read(handle)
        tables = [table.schema.empty_table()]
        for batch in table.to_batches():
            at, counts = _ranges(batch, keys, left)
            left -= counts
            tables.append(pa.Table.from_batches([batch.take(pa.array(at))]))
        if rows := concatenated(tables[1:], tables[0].schema):
            found.append((handle.split, rows))
    return found


def _ranges(batch: pa.RecordBatch, keys: Keys, most: Ints) -> tuple[Ints, Ints]:
    """The rows of a sorted batch that have one of `keys` (ascending), at most so many of each; and how many of each there are."""
    ours = _keys(batch, convert=False)
    first = _bisected(ours, keys, before=True)
    counts = np.minimum(_bisected(ours, keys, before=False) - first, most)
    starts = np.cumsum(counts) - counts
    return np.repeat(first - starts, counts) + np.arange(counts.sum()), counts


def _bisected(ours: Keys, keys: Keys, *, before: bool) -> Ints:
    """Where each of `keys` would stand among `ours`, before or behind its equals. `numpy.searchsorted` would copy a column that
    is big-endian and strided, and so read all of it."""
    low, high = np.zeros(len(keys), np.int64), np.full(len(keys), len(ours), np.int64)
    while (open_ := np.flatnonzero(low < high)).size:
        middle = (low[open_] + high[open_]) // 2
        there = ours[middle]
        goes_on = there < keys[open_] if before else there <= keys[open_]
        low[open_[goes_on]] = middle[goes_on] + 1
        high[open_[~goes_on]] = middle[~goes_on]
    return low


def _keys(batch: pa.RecordBatch, *, convert: bool = True) -> Keys:
    """The keys of a run; without `convert` they may be a strided big-endian view, of which nothing is read."""
    column = batch.column(0)
    if not len(column):
        return np.empty(0, np.uint64)
    if pa.types.is_uint64(column.type):
        return column.to_numpy()
    whole = np.frombuffer(column.buffers()[1], ">u8", offset=16 * column.offset, count=2 * len(column))[::2]
    return whole.astype(np.uint64) if convert else whole


def by_generation(job: Job, ancestors: Sequence[Handle]) -> Iterator[list[Handle]]:
    """The ancestors' handles of one generation after the other, oldest first."""
    groups: dict[int, list[Handle]] = {}
    for handle in ancestors:
        groups.setdefault(job.generations[handle.split], []).append(handle)
    yield from (groups[generation] for generation in sorted(groups))
