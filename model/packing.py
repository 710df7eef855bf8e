"""The model: *best-fit packing* (Ding et al. 2024, arXiv:2404.10830) lays whole documents into *packs*, rows of a window of
tokens, so that no document is cut that fits into one. An *item* is a document, or, of one that is longer than the window, a
run of a window's length: neighbouring runs share one token, so every token but the first is predicted from its own document.

Items go from the longest to the shortest, each into the pack with the least room that still takes it; of equal packs, into
the oldest; items of equal length in the order of their documents. Items of one length are dealt together, so the cost
grows with the window, not with the number of documents (but for sorting). In a pack, items lie in document order.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from model.index import Index, keep
from schemas.arrow import read_shard
from schemas.artifact import Damaged
from schemas.fingerprint import digest_json

FORMAT = 1
_SCHEMA = pa.schema([pa.field("start", pa.large_list(pa.int64())), pa.field("length", pa.large_list(pa.int32()))])

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Packs:
    """The packs of all streams of an index, for one window."""

    first: Ints
    """[packs + 1] number of each pack's first item."""
    start: Ints
    """[items] position of an item's first token."""
    length: NDArray[np.int32]
    """[items]."""
    streams: Mapping[str, tuple[int, int]]
    """First pack of each stream, and the one after its last."""


def items(begin: Ints, length: Ints, window: int) -> tuple[Ints, Ints]:
    """Positions and lengths of the items of documents, in their order."""
    runs = np.maximum(-(-(length - 1) // (window - 1)), 1)
    document = np.repeat(np.arange(len(runs)), runs)
    inside = (np.arange(len(document)) - (np.cumsum(runs) - runs)[document]) * (window - 1)
    return begin[document] + inside, np.minimum(length[document] - inside, window)


def best_fit(lengths: Ints, window: int) -> Ints:
    """[items] lengths of 1..window -> [items] number of each item's pack; see the module."""
    order = np.argsort(-lengths, kind="stable")
    pack = np.empty(len(lengths), dtype=np.int64)
    counts = np.bincount(lengths, minlength=window + 1)
    room: dict[int, Ints] = {}  # packs by the room that they have left, oldest first
    packs = taken = 0
    for length in np.flatnonzero(counts)[::-1].tolist():
        left = order[taken : taken + counts[length]]
        taken += len(left)
        for size in sorted(size for size in room if size >= length):
            if not len(left):
                break
            fitting = size // length
            used, rest = np.split(room.pop(size), [-(-len(left) // fitting)])
            left = _deal(left, used, size, length, pack, room)
            if len(rest):
                room[size] = rest
        if len(left):
            fresh = np.arange(packs, packs - (-len(left) // (window // length)))
            packs += len(fresh)
            _deal(left, fresh, window, length, pack, room)
    return pack


def _deal(left: Ints, packs: Ints, size: int, length: int, pack: Ints, room: dict[int, Ints]) -> Ints:
    """Fill packs of equal room one after another with items of one length; return the items that are left."""
    fitting = size // length
    now, later = np.split(left, [min(len(packs) * fitting, len(left))])
    pack[now] = np.repeat(packs, fitting)[: len(now)]
    full, part = divmod(len(now), fitting)
    for which, held in ((packs[:full], fitting), (packs[full:], part)):
        remaining = size - held * length
        if len(which) and remaining:
            room[remaining] = np.sort(np.concatenate((room[remaining], which))) if remaining in room else which
    return later


def build_packs(index: Index, window: int) -> Packs:
    """Pack the documents of each stream of an index."""
    none = np.zeros(0, dtype=np.int64)
    sizes, starts, lengths, streams, packs = [none], [none], [none], {}, 0
    for stream, (begin, end) in index.streams.items():
        ends = index.end[begin:end]
        begins = np.concatenate(([index.begin(begin)], ends[:-1]))
        start, length = items(begins, ends - begins, window)
        pack = best_fit(length, window)
        order = np.argsort(pack, kind="stable")
        sizes.append(np.bincount(pack))
        starts.append(start[order])
        lengths.append(length[order])
        streams[stream] = (packs, packs + len(sizes[-1]))
        packs += len(sizes[-1])
    first = np.cumsum(np.concatenate(([0], *sizes)))
    return Packs(first, np.concatenate(starts), np.concatenate(lengths).astype(np.int32), streams)


def kept_packs(index: Index, digest: str, window: int, folder: Path) -> Packs:
    """The packs of an index (of this ``digest``) as a mapped file of ``folder``; made if it isn't there."""
    key = digest_json({"format": FORMAT, "index": digest, "streams": list(index.streams), "window": window})
    path = folder / f"packs-{key[:16]}.arrow"
    if not path.is_file():
        save_packs(build_packs(index, window), path)
    return open_packs(path)


def save_packs(packs: Packs, path: Path) -> None:
    """Write packs, a row each; the file is whole or not there."""
    lists = [pa.LargeListArray.from_arrays(pa.array(packs.first), pa.array(column)) for column in (packs.start, packs.length)]
    keep(path, _SCHEMA.with_metadata({"streams": json.dumps(packs.streams)}), pa.RecordBatch.from_arrays(lists, schema=_SCHEMA))


def open_packs(path: Path) -> Packs:
    """Map saved packs; nothing that grows with them is read. Raises Damaged."""
    try:
        table = read_shard(path)
    except pa.ArrowInvalid as error:
        raise Damaged(f"{error}: remove it, and it is made again") from error
    streams = {name: (int(first), int(last)) for name, (first, last) in json.loads(table.schema.metadata[b"streams"]).items()}
    start, length = (table.column(name).chunk(0) for name in ("start", "length"))
    return Packs(start.offsets.to_numpy(), start.values.to_numpy(), length.values.to_numpy(), streams)
