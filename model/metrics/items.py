"""The model: an *item* of a task as an evaluation keeps it for one system: what was said, what was wanted, and the statistics by metric. A
file of them is an Arrow file in `schemas.results.ITEMS`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from model.metrics.metric import Floats
from schemas.arrow import read_shard, write_shard
from schemas.results import ITEMS


@dataclass(frozen=True)
class Item:
    """One item, answered by one system."""

    item: str
    """Names it within its task's data."""
    system: str
    prediction: str | None
    reference: str | None
    statistics: Mapping[str, Sequence[float]]
    group: str | None = None


@dataclass(frozen=True)
class Judged:
    """What one system's items come to."""

    names: tuple[str, ...]
    """In order."""
    statistics: Mapping[str, Floats]
    """By metric, [items, k]."""


def write_items(path: Path, items: Iterable[Item]) -> int:
    """Write a file of items, and return how many there are."""
    rows = [{**vars(item), "statistics": list(item.statistics.items())} for item in items]
    return write_shard(path, ITEMS, [pa.RecordBatch.from_pylist(rows, ITEMS)], compress=True)


def read_items(path: Path, system: str) -> Judged:
    """The items of a system, in order of their names. Raises `ValueError` naming the file and the item if a name is there twice, or the
    items are not judged by the same metrics."""
    table = read_shard(path)
    rows = table.filter(pc.equal(table.column("system").cast(pa.string()), system)).select(["item", "statistics"])
    rows = rows.sort_by("item").combine_chunks()
    names = tuple(rows.column("item").to_pylist())
    if twice := next((a for a, b in pairwise(names) if a == b), None):
        raise ValueError(f"{path}: item {twice!r} of {system} is there twice")
    if not names:
        return Judged((), {})
    return Judged(names, _by_metric(rows.column("statistics").chunk(0), len(names), path))


def _by_metric(column: pa.MapArray, items: int, path: Path) -> dict[str, Floats]:
    """By metric [items, k]."""
    flat = pa.ListArray.from_arrays(column.offsets, pa.StructArray.from_arrays([column.keys, column.items], ["key", "value"])).flatten()
    keys, values = flat.field("key"), flat.field("value")
    found = {}
    for metric in sorted(keys.unique().to_pylist()):
        lists = values.filter(pc.equal(keys, metric))
        if len(lists) != items or len(pc.unique(pc.list_value_length(lists))) != 1:
            raise ValueError(f"{path}: not every item has statistics of {metric}, or they are not of one length")
        found[metric] = np.asarray(pc.list_flatten(lists), dtype=np.float64).reshape(items, -1)
    return found
