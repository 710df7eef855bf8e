"""The model: to *browse* rejects is to count them by stage, source and reason, and to look at some: the first in canonical order, or a
*sample*. A sample is uniform over all reject shards and decided by its seed and the ids alone: it is the same however the shards are
cut, of two sizes the smaller is the beginning of the larger, and rejects that come or go leave the others in their places.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from flows.digests import Digests, scramble
from schemas.arrow import ids_of, read_batches
from schemas.artifact import Artifact
from schemas.errors import RequestError

Json = dict[str, Any]

_SHOWN = 200
"""Characters of a reject's text that are shown."""
_KEYS = ("source", "stage", "reason")


def visible(text: str) -> str:
    """Text as a terminal may show it: control characters, which could move its cursor or worse, as escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


@dataclass(frozen=True)
class Wanted:
    """Which rejects to look at; None: all."""

    reason: str | None = None
    source: str | None = None
    stage: str | None = None


def browse(artifact: Artifact, wanted: Wanted, limit: int, seed: int | None = None) -> tuple[list[Json], list[Json]]:
    """Counts by source, stage and reason (most records first), and at most `limit` rows: the first ones, or by `seed` a sample.

    Shards are read batch by batch, and of their texts only the shown ones. Raises `RequestError` for what no reject has.
    """
    if not artifact.manifest.files("rejects"):
        raise RequestError(f"{artifact.reference}: has no rejects: documents have, and tokens that `gristmill tokenize` made")
    shards = artifact.paths("rejects")
    counts: Counter[tuple[str, str, str]] = Counter()
    sizes: Counter[tuple[str, str, str]] = Counter()
    known: dict[str, set[str]] = {key: set() for key in _KEYS}
    best = np.zeros(0, _PICKED)
    for number, path in enumerate(shards):
        start = 0
        for batch in read_batches(path, ("doc_id", *_KEYS, "record_bytes")):
            for key in _KEYS:
                known[key].update(pc.unique(batch.column(key)).to_pylist())
            rows = np.flatnonzero(_mask(batch, wanted))
            _count(batch.take(rows), counts, sizes)
            best = _picked(best, batch, rows, number, start, limit, seed)
            start += batch.num_rows
    for key in _KEYS:
        value = getattr(wanted, key)
        if value is not None and value not in known[key]:
            there_is = ", ".join(sorted(known[key])) or "none at all"
            raise RequestError(f"{artifact.reference}: no reject has {key} {value!r}; there is {there_is}")
    if not counts and any(known.values()):
        raise RequestError(f"{artifact.reference}: no reject is all of that at once; leave out one of --reason, --source, --stage")
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    told = [{**dict(zip(_KEYS, key, strict=True)), "records": n, "bytes": sizes[key]} for key, n in ordered]
    return told, [_shown(shards[shard], row) for shard, row in zip(best["shard"].tolist(), best["row"].tolist(), strict=True)]


def by_stage(counts: list[Json]) -> list[Json]:
    """The same counts by stage alone, most records first."""
    total: dict[str, Json] = {}
    for count in counts:
        stage = total.setdefault(count["stage"], {"stage": count["stage"], "records": 0, "bytes": 0})
        stage["records"] += count["records"]
        stage["bytes"] += count["bytes"]
    return sorted(total.values(), key=lambda s: (-s["records"], s["stage"]))


_PICKED = np.dtype([("key", np.uint64), ("shard", np.int64), ("row", np.int64)])


def _mask(batch: pa.RecordBatch, wanted: Wanted) -> npt.NDArray[np.bool_]:
    mask = np.ones(batch.num_rows, bool)
    for key in _KEYS:
        if (value := getattr(wanted, key)) is not None:
            mask &= pc.equal(batch.column(key), value).to_numpy(zero_copy_only=False)
    return mask


def _count(batch: pa.RecordBatch, counts: Counter[tuple[str, str, str]], sizes: Counter[tuple[str, str, str]]) -> None:
    grouped = pa.table(batch).group_by(list(_KEYS)).aggregate([("record_bytes", "count"), ("record_bytes", "sum")])
    for row in grouped.to_pylist():
        key = (row["source"], row["stage"], row["reason"])
        counts[key] += row["record_bytes_count"]
        sizes[key] += row["record_bytes_sum"]


def _picked(
    best: npt.NDArray[Any], batch: pa.RecordBatch, rows: npt.NDArray[np.int64], shard: int, start: int, limit: int, seed: int | None
) -> npt.NDArray[Any]:
    """The best so far and of these rows: the smallest keys of a sample, else the first."""
    more = np.zeros(len(rows), _PICKED)
    more["shard"], more["row"] = shard, rows + start
    if seed is not None:
        more["key"] = _sample_keys(ids_of(batch.column("doc_id"))[rows], seed)
    both = np.concatenate([best, more])
    return np.sort(both, order=("key", "shard", "row"))[:limit]


def _sample_keys(ids: npt.NDArray[np.uint64], seed: int) -> Digests:
    """Where each reject stands in the order that a seed gives: a hash of its id, which is one of its record."""
    start = scramble(np.array([seed], np.int64).view(np.uint64))
    return scramble(scramble(ids[:, 0] ^ start) ^ ids[:, 1])


def _shown(path: Path, row: int) -> Json:
    for batch in read_batches(path):
        if row < batch.num_rows:
            (found,) = batch.slice(row, 1).to_pylist()
            return {**found, "doc_id": found["doc_id"].hex(), "text": found["text"] and found["text"][:_SHOWN]}
        row -= batch.num_rows
    raise IndexError(f"{path}: has fewer rows than it had")
