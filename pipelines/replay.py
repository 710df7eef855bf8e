"""The model: a *replay* reads again the records that a version rejected for one reason, and takes them through the whole documents step
under other settings, as new splits of a child. So that each record counts once, its parent's reject goes: the child has those parts
anew, without these rejects, their share of what was read, and what an index has of them. Files are read as they were: their digests are
checked.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.removal import Removal, carried_over, remove_keys, temporary, without_rejects
from pipelines.sources import InputChanged
from pipelines.sources.records import containers
from pipelines.stages import rejected_ledger
from schemas.arrow import REJECTS, read_shard, write_shard
from schemas.artifact import Artifact, Part
from schemas.draft import Draft
from schemas.ledger import Ledger

REPLAYED = "replayed"
"""Among the inputs of a version: stands for the rejects that were taken through once more."""


class Rejects(NamedTuple):
    """Which rejects: all of a reason, or of a stage and a reason."""

    reason: str
    stage: str | None

    def chosen(self, table: pa.Table) -> npt.NDArray[np.bool_]:
        mask = np.asarray(pc.equal(table["reason"], self.reason))
        return mask if self.stage is None else mask & np.asarray(pc.equal(table["stage"], self.stage))


def replay_splits(parent: Artifact, rejects: Rejects, sources: Collection[str]) -> list[dict[str, Any]]:
    """A new split for each part with such rejects: the pieces of files that they were read from, and where the rejects stand.

    Of a file that was read again because it had changed, only what was read last can be read now; nothing but of `sources`, those that the
    recipe has.
    """
    read = parent.plan_splits()
    contents = {(piece["source"], piece["uri"]): piece["digest"] for split in read for piece in split["pieces"]}
    first, generation = (max(split.get(key, 0) for split in read) + 1 for key in ("ordinal", "generation"))
    parts = [part for part in parent.manifest.parts if part.stage == "finish"]
    ends = [*(int(part.key) for part in parts[1:]), first]
    splits: list[dict[str, Any]] = []
    for part, end in zip(parts, ends, strict=True):
        chosen = _chosen(parent, part, rejects)
        files = set(chain.from_iterable(_files(chosen)))
        own = (piece for split in read if int(part.key) <= split["ordinal"] < end for piece in split["pieces"])
        pieces = [p for p in own if p["source"] in sources and (file := (p["source"], p["uri"])) in files and p["digest"] == contents[file]]
        if pieces:
            size = sum(piece["end"] - piece["start"] for piece in pieces)
            taken = {"part": part.key, **rejects._asdict()}
            numbers = {"ordinal": first + len(splits), "generation": generation, "bytes": size}
            splits.append({**numbers, "pieces": pieces, "empty": [], "unreadable": [], REPLAYED: taken})
    return splits


def replayed_ids(parent: Artifact, split: Mapping[str, Any]) -> frozenset[bytes]:
    """Ids of the records that a split of a replay is for."""
    taken = split[REPLAYED]
    (part,) = (part for part in parent.manifest.parts if part.id == ("finish", taken["part"]))
    chosen = _chosen(parent, part, Rejects(taken["reason"], taken["stage"]))
    read = {(piece["source"], piece["uri"]) for piece in split["pieces"]}
    of_rejects = zip(chosen["doc_id"].to_pylist(), _files(chosen), strict=True)
    return frozenset(doc_id for doc_id, files in of_rejects if not read.isdisjoint(files))


def take_out(draft: Draft, parent: Artifact) -> None:
    """Make the parts of the parent anew that the replayed rejects are in; those that are made already are not made again."""
    parts = {part.id: part for part in parent.manifest.parts}
    for split in (split for split in draft.plan["splits"] if REPLAYED in split):
        key, ids = split[REPLAYED]["part"], replayed_ids(parent, split)
        if draft.part("finish", key) is None:
            _without(draft, parent, parts["finish", key], Removal(ids))
        if draft.part("prepare", key) is None:
            remove_keys(draft, parent, parts["prepare", key], Removal(ids))


def _chosen(parent: Artifact, part: Part, rejects: Rejects) -> pa.Table:
    (file,) = (file for file in part.files if file.role == "rejects")
    table = read_shard(parent.path / file.path)
    return table.filter(pa.array(rejects.chosen(table)))


def _files(chosen: pa.Table) -> list[list[tuple[str, str]]]:
    """For each reject, source and URI of what it may have been read from: the file, or the archive that it is a member of."""
    return [[(row["source"], uri) for uri in containers(row["uri"])] for row in chosen.select(["source", "uri"]).to_pylist()]


def _without(draft: Draft, parent: Artifact, part: Part, removal: Removal) -> None:
    (file,) = (file for file in part.files if file.role == "rejects")
    before = read_shard(parent.path / file.path)
    goes = removal.removes(before["doc_id"])
    left, gone = before.filter(pa.array(~goes)), before.filter(pa.array(goes))
    path = temporary(draft, f"rejects-{part.key}")
    rows = write_shard(path, REJECTS, left.combine_chunks().to_batches(), compress=True)
    files = [draft.adopt(path, folder="rejects", stem=part.key, suffix=".arrow", role="rejects", rows=rows)]
    files = [*(carried_over(draft, parent, other, part.key) for other in part.files if other.role != "rejects"), *files]
    ledgers = {
        source: without_rejects(ledger) + _unread(gone, source) + rejected_ledger(left, source) for source, ledger in part.ledgers.items()
    }
    draft.add_part(part.stage, part.key, files, ledgers, part.facts)


def _unread(gone: pa.Table, source: str) -> Ledger:
    sizes = gone.filter(pc.equal(gone["source"], source))["record_bytes"]
    return Ledger(records_read=-len(sizes), bytes_read=-(pc.sum(sizes).as_py() or 0))


def only(batches: Iterator[pa.RecordBatch], ids: frozenset[bytes], ledgers: dict[str, Ledger]) -> Iterator[pa.RecordBatch]:
    """Of batches of schema RAW the records that are replayed, counted as read. Raises `InputChanged` if some of them don't come."""
    removal, found = Removal(ids), 0
    for batch in batches:
        chosen = batch.filter(pa.array(removal.removes(batch.column("doc_id"))))
        if chosen.num_rows:
            source = chosen.column("source")[0].as_py()
            size = pc.sum(chosen.column("record_bytes")).as_py()
            ledgers[source] += Ledger(records_read=chosen.num_rows, bytes_read=size)
            found += chosen.num_rows
            yield chosen
    if found != len(ids):
        raise InputChanged(f"{len(ids) - found:,} of {len(ids):,} records to replay are not where they were: files are read in another way")
