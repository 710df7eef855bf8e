"""The model: a *removal* takes documents out of a version of documents: its child inherits every part that holds nothing of them, and has
the others anew, each under the key that it had.

    prepare   digests, lines and bands without theirs, and null for their signatures: a later copy is no duplicate of what isn't there
    finish    their rows go from the document shard to the reject shard, as `forgotten`, without text; the ledger counts them so

Records that were rejected before can be removed as well: they become `forgotten`. Others can be *cleared* of their text, and stay what they
are: near duplicates of what is removed. Rows keep their order and, where they are numbered, their numbers.
"""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.dedup.minhash import band_keys
from pipelines.dedup.runs import bytes16, halves, partition_offsets
from pipelines.stages import rejected_ledger
from pipelines.tombstones import REASON, Tombstones, record_tombstones
from pipelines.tombstones import STAGE as FORGET
from schemas.arrow import PLACES, REDACTED, REJECTS, read_batches, read_shard, write_shard
from schemas.artifact import Artifact, File, Part
from schemas.draft import Draft
from schemas.ledger import Ledger, add_by_source
from schemas.recipe import Near

STAGES = ("prepare", "finish", FORGET)

_REJECTED_ROWS = 1 << 16


@dataclass(frozen=True)
class Removal:
    """What goes, by id."""

    gone: frozenset[bytes]
    """Documents, and records that were rejected before, that are forgotten."""
    cleared: frozenset[bytes] = frozenset()
    """Rejects that lose their text."""
    stage: str = FORGET
    """Of the rejects that what goes becomes."""
    reason: str = REASON

    @cached_property
    def _sets(self) -> tuple[pa.Array, pa.Array]:
        gone, cleared = (pa.array(sorted(ids), pa.binary(16)) for ids in (self.gone, self.cleared))
        return gone, cleared

    def removes(self, ids: pa.Array | pa.ChunkedArray) -> npt.NDArray[np.bool_]:
        """Of each id, whether it goes."""
        return np.asarray(pc.is_in(ids, value_set=self._sets[0]))

    def clears(self, ids: pa.Array | pa.ChunkedArray) -> npt.NDArray[np.bool_]:
        """Of each id, whether its text goes."""
        return np.asarray(pc.is_in(ids, value_set=self._sets[1]))


def remove_documents(draft: Draft, parent: Artifact, removal: Removal, tombstones: Tombstones) -> None:
    """Make the parts of a child of `parent` that differ from its own; those that are made already are not made again."""
    for part in parent.manifest.parts:
        if draft.part(part.stage, part.key) is not None:
            continue
        if part.stage == "finish":
            remove_rows(draft, parent, part, removal)
        elif part.stage == "prepare":
            remove_keys(draft, parent, part, removal)
    written = temporary(draft, FORGET)
    tombstones.write(written)
    record_tombstones(draft, written, len(tombstones.by_id))


def temporary(draft: Draft, name: str) -> Path:
    """A path in the scratch folder that no other attempt writes to."""
    return draft.scratch() / f"{name}-{uuid.uuid4().hex}"


def remove_rows(draft: Draft, parent: Artifact, part: Part, removal: Removal) -> None:
    """Documents and rejects of a split in which those that go are rejects without text; nothing if none of them goes."""
    documents, rejects = (_of_role(part, role) for role in ("documents", "rejects"))
    goes = _mask(parent.path / documents.path, removal)
    rejected = read_shard(parent.path / rejects.path)
    renamed, cleared = removal.removes(rejected["doc_id"]), removal.clears(rejected["doc_id"])
    cleared &= rejected["text"].is_valid().to_numpy()
    if not (goes.any() or renamed.any() or cleared.any()):
        return
    ledgers = {source: without_rejects(ledger) for source, ledger in part.ledgers.items()}
    if goes.any():
        path = temporary(draft, f"documents-{part.key}")
        removed: list[pa.RecordBatch] = []
        rows = write_shard(path, schema_of(parent.path / documents.path), _kept(parent.path / documents.path, goes, removed), compress=True)
        file = draft.adopt(path, folder="documents", stem=part.key, suffix=".arrow", role="documents", rows=rows)
        gone = pa.Table.from_batches(removed)
        ledgers = add_by_source([ledgers, *({source: _moved(gone, source)} for source in gone["source"].unique().to_pylist())])
    else:
        gone, file = None, carried_over(draft, parent, documents, part.key)
    table = _rejects(rejected, renamed, cleared, gone, removal)
    path = temporary(draft, f"rejects-{part.key}")
    rows = write_shard(path, REJECTS, table.to_batches(max_chunksize=_REJECTED_ROWS), compress=True)
    files = [file, draft.adopt(path, folder="rejects", stem=part.key, suffix=".arrow", role="rejects", rows=rows)]
    files += [carried_over(draft, parent, other, part.key) for other in part.files if other.role not in ("documents", "rejects")]
    ledgers = {source: _without_zeros(ledger) + rejected_ledger(table, source) for source, ledger in ledgers.items()}
    draft.add_part(part.stage, part.key, files, ledgers, part.facts)


def _rejects(
    before: pa.Table, renamed: npt.NDArray[np.bool_], cleared: npt.NDArray[np.bool_], gone: pa.Table | None, removal: Removal
) -> pa.Table:
    """The rejects of before, some of them removed or without text, and behind them the documents that are gone."""
    texts, renames = pa.array(renamed | cleared), pa.array(renamed)
    columns = {name: before[name] for name in REJECTS.names}
    for name, value in (("stage", removal.stage), ("reason", removal.reason), ("detail", "")):
        columns[name] = pc.if_else(renames, value, columns[name])
    columns["text"] = pc.if_else(texts, pa.scalar(None, pa.string()), columns["text"])
    table = pa.table(columns, schema=REJECTS)
    if gone is not None:
        n = len(gone)
        more = {name: gone[name] for name in PLACES.names}
        more |= {"stage": [removal.stage] * n, "reason": [removal.reason] * n, "detail": [""] * n, "text": pa.nulls(n, pa.string())}
        table = pa.concat_tables([table, pa.table(more, schema=REJECTS)])
    return table.combine_chunks()


def _kept(shard: Path, goes: npt.NDArray[np.bool_], removed: list[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The batches of a shard without the rows that go; what a ledger and a reject need of these is appended to `removed`."""
    start = 0
    for batch in read_batches(shard):
        mask = goes[start : start + batch.num_rows]
        start += batch.num_rows
        removed.append(batch.filter(pa.array(mask)).select([*PLACES.names, "redacted"]))
        if not mask.all():
            yield batch.filter(pa.array(~mask)) if mask.any() else batch


def without_rejects(ledger: Ledger) -> Ledger:
    """A ledger that counts no rejects yet."""
    return replace(ledger, rejected={}, bytes_rejected={})


def _without_zeros(ledger: Ledger) -> Ledger:
    return replace(ledger, redacted={kind: count for kind, count in ledger.redacted.items() if count})


def _moved(gone: pa.Table, source: str) -> Ledger:
    """What a source's ledger changes by, but for its rejects, when documents go. Its `cleaned` tells of all that was ever cleaned."""
    rows = gone.filter(pc.equal(gone["source"], source))
    counts = {kind: pc.sum(pc.struct_field(rows["redacted"], kind)).as_py() for kind in REDACTED}
    redacted = {kind: -count for kind, count in counts.items() if count}
    return Ledger(records_kept=-len(rows), bytes_kept=-pc.sum(rows["record_bytes"]).as_py(), redacted=redacted)


def remove_keys(draft: Draft, parent: Artifact, part: Part, removal: Removal) -> None:
    """Digests, lines, bands and signatures of a split without those of documents that go."""
    runs = {folder_of(file): read_shard(parent.path / file.path) for file in part.files}
    goes = removal.removes(runs["digests"]["doc_id"])
    if not goes.any():
        return
    gone = runs["digests"]["row"].to_numpy()[goes]
    left = {kind: _unsigned(run, gone) if kind == "signatures" else _without(run, gone) for kind, run in runs.items()}
    files = [write_run(draft, part.key, kind, run) for kind, run in left.items()]
    facts = {**part.facts, "offsets": offsets_of(left, part.facts["partitions"], draft.settings["dedup"]["near"])}
    draft.add_part(part.stage, part.key, files, part.ledgers, facts)


def _without(run: pa.Table, rows: npt.NDArray[np.uint32]) -> pa.Table:
    return run.filter(pa.array(~np.isin(run["row"].to_numpy(), rows)))


def offsets_of(runs: Mapping[str, pa.Table], partitions: int, near: Mapping[str, Any] | None) -> dict[str, list[int]]:
    """Where each partition starts in the sorted runs of a split, by kind; of the bands too, if they are only to be made from signatures."""
    keys = {kind: _keys(run) for kind, run in runs.items() if kind != "signatures"}
    if near is not None and "bands" not in keys:
        keys["bands"] = np.sort(_keys_of_bands(runs["signatures"], Near.model_validate(near)))
    return {kind: partition_offsets(sorted_keys, partitions) for kind, sorted_keys in sorted(keys.items())}


def _keys(run: pa.Table) -> npt.NDArray[np.uint64]:
    """The first column of a run: numbers, or the leading 64 bits of digests."""
    return run[0].to_numpy() if pa.types.is_uint64(run[0].type) else halves(bytes16(run[0]))[0]


def _unsigned(signatures: pa.Table, rows: npt.NDArray[np.uint32]) -> pa.Table:
    """The signatures with null for some rows."""
    column: Any = signatures["signature"].combine_chunks()
    missing = column.is_null().to_numpy(zero_copy_only=False)
    missing[rows] = True
    values = column.values.to_numpy().reshape(len(column), -1).copy()
    values[rows] = 0
    lists = pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), type=column.type, mask=pa.array(missing))
    return signatures.set_column(signatures.schema.get_field_index("signature"), signatures.schema.field("signature"), lists)


def _keys_of_bands(signatures: pa.Table, near: Near) -> npt.NDArray[np.uint64]:
    """The key of each band of each document that has a signature."""
    column: Any = signatures["signature"].combine_chunks()
    found = column.values.to_numpy().reshape(-1, near.hashes)[column.is_valid().to_numpy(zero_copy_only=False)]
    return band_keys(found, near.bands).ravel()


def write_run(draft: Draft, key: str, kind: str, table: pa.Table) -> File:
    """A file of one kind of a split's index: one batch, uncompressed, as preparing it writes it."""
    path = temporary(draft, f"{kind}-{key}")
    write_shard(path, table.schema, [one_batch(table)], compress=False)
    return draft.adopt(path, folder=kind, stem=key, suffix=".arrow", role="digests", rows=len(table))


def one_batch(table: pa.Table) -> pa.RecordBatch:
    """All of a table as one batch, also if it has no row."""
    columns = [column.combine_chunks() for column in table.columns]
    return pa.RecordBatch.from_arrays([c if isinstance(c, pa.Array) else pa.concat_arrays(c.chunks) for c in columns], schema=table.schema)


def carried_over(draft: Draft, parent: Artifact, file: File, key: str) -> File:
    """A file of a part that is made anew, when the file itself stays as it was."""
    path = temporary(draft, f"{file.role}-{key}")
    try:
        os.link(parent.path / file.path, path)  # no file of an artifact ever changes
    except OSError:
        shutil.copyfile(parent.path / file.path, path)
    return draft.adopt(path, folder=folder_of(file), stem=key, suffix=".arrow", role=file.role, rows=file.rows)


def folder_of(file: File) -> str:
    """The folder of a file in whatever version holds it: for one of an index, its kind."""
    return file.path.split("/")[-2]


def schema_of(shard: Path) -> pa.Schema:
    with pa.memory_map(str(shard)) as source:
        return pa.ipc.open_file(source).schema


def _mask(shard: Path, removal: Removal) -> npt.NDArray[np.bool_]:
    masks = [removal.removes(batch.column("doc_id")) for batch in read_batches(shard, ("doc_id",))]
    return np.concatenate([np.zeros(0, np.bool_), *masks])


def _of_role(part: Part, role: str) -> File:
    (file,) = (file for file in part.files if file.role == role)
    return file
