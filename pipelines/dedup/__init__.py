"""The model: *duplicates* are found by digests alone. Preparing a split writes them as sorted *runs*; each hash
*partition* is then merged by itself from the runs of all splits, in memory that the recipe bounds.

Exact duplicates are found by digests of the text, near ones by bands of MinHash signatures. Both are *losers*; where a
document is both, it is an exact one.
"""

from __future__ import annotations

from collections.abc import Sequence

from pipelines.dedup.exact import find_duplicates
from pipelines.dedup.near import find_near_duplicates
from pipelines.job import Handle, Job

LOSERS = ("losers", "near")
"""Kinds of handles to rows that go."""


def find_losers(job: Job, partition: int, handles: Sequence[Handle]) -> list[tuple[int, Handle]]:
    """(Split, handle) of all losers among the runs of one partition; `handles` may hold other kinds, too."""
    found = find_duplicates(job, partition, [handle for handle in handles if handle.kind == "digests"])
    near = job.settings.dedup.near
    return found if near is None else [*found, *find_near_duplicates(job, partition, near, handles)]
