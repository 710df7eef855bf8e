"""The model: parts of ancestors' documents are *frozen*: what they hold stays, and what they share decides for new documents.

    repeated    ancestors' documents count among the first ones that may keep a part
    shared      a line that training documents of an ancestor hold is cut from new held-out documents; a line that is left in
                held-out documents of an ancestor is cut from new training documents

Documents that duplicates dropped have no part in this, in whatever version they were. Runs hold what a document had before cuts; a
line of which repeats were cut has its full number of documents, so new ones lose it whatever its side.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipelines.dedup.ancestors import by_generation, matching
from pipelines.job import SHARED_LINES, Handle, Job

Parts = npt.NDArray[np.uint64]
"""Digests, ascending, none twice."""

Run = tuple[int, pa.Table]
"""A split's ordinal and its run of schema PARTS."""


class Frozen(NamedTuple):
    """Lines of ancestors, by the side that they are left on."""

    trained: Parts
    held_out: Parts


NOTHING = Frozen(np.empty(0, np.uint64), np.empty(0, np.uint64))


def frozen_lines(job: Job, runs: Sequence[Run]) -> Frozen:
    """What the ancestors left of the lines of new runs: the first generation that has a line decides on which side it stays."""
    frozen, unknown = NOTHING, parts_in(runs, held_out=None)
    for generation in by_generation(job, job.ancestors(SHARED_LINES)):
        left = left_of(job, generation, [(0, pa.table([unknown], names=["line"]))])
        trained, held_out = parts_in(left, held_out=False), parts_in(left, held_out=True)
        held_out = np.setdiff1d(held_out, trained, assume_unique=True)
        frozen = Frozen(np.union1d(frozen.trained, trained), np.union1d(frozen.held_out, held_out))
        unknown = np.setdiff1d(unknown, np.union1d(trained, held_out), assume_unique=True)
    return frozen


def left_of(job: Job, ancestors: Sequence[Handle], runs: Sequence[Run]) -> list[Run]:
    """The rows of ancestors' runs that have a part which new runs have, without those that duplicates dropped."""
    dropped = {handle.split: job.read(handle)["row"].to_numpy() for handle in job.ancestors("dropped")}
    return [(split, without(run, dropped.get(split))) for split, run in matching(job, ancestors, [run for _, run in runs], most=None)]


def without(run: pa.Table, lost: npt.NDArray[np.uint32] | None) -> pa.Table:
    """A run without the rows that are lost."""
    return run if lost is None else run.filter(pa.array(~np.isin(run["row"].to_numpy(), lost)))


def parts_in(runs: Sequence[Run], *, held_out: bool | None) -> Parts:
    """All parts of runs, of one side or (None) of both."""
    found = [
        run["line"].to_numpy() if held_out is None else run["line"].to_numpy()[run["held_out"].to_numpy() == held_out] for _, run in runs
    ]
    return np.unique(np.concatenate([np.empty(0, np.uint64), *found]))
