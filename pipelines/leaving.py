"""The model: files *leave* a version when they are gone, or when other content takes their place: its child has none of what was read from
them. The first new split of the child names them.

    prepare   digests, lines and bands without theirs: the same text may come again, from them or from elsewhere
    finish    their rows become rejects, `source_gone`, without text; the ledger counts them so, and `read` is what it was

Records that were rejected as duplicates of theirs stay rejected, but a later text no longer loses to them: so whatever the index has is
kept, or would be but for something that is kept.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.removal import Removal, remove_keys, remove_rows
from pipelines.sources.records import containers
from pipelines.tombstones import REASON as FORGOTTEN
from schemas.arrow import read_batches
from schemas.artifact import Artifact, Part
from schemas.draft import Draft

LEAVING = "leaving"
"""Key of a split, and role of an input: files, by source and URI, of which nothing that earlier splits read is left."""
STAGE = "leave"
REASON = "source_gone"

Files = Mapping[str, Collection[str]]
"""URIs by source."""
Ids = Mapping[str, frozenset[bytes]]
"""Ids by the key of a part."""


def files_leaving(split: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Source and URI of the files that leave when a split comes."""
    return [(source, uri) for source, uri in split.get(LEAVING, ())]


def take_leave(draft: Draft, parent: Artifact) -> None:
    """Make the parts of the parent anew that hold something of the files that leave; those that are made already are not made again."""
    files: dict[str, set[str]] = {}
    for source, uri in (file for split in draft.plan["splits"] for file in files_leaving(split)):
        files.setdefault(source, set()).add(uri)
    if not files:
        return
    gone = {part.key: _ids(parent, part, files) for part in _finished(parent)}
    followers = _followers(parent, gone)
    for part in parent.manifest.parts:
        if draft.part(part.stage, part.key) is not None:
            continue
        if part.stage == "finish" and gone[part.key]:
            remove_rows(draft, parent, part, Removal(gone[part.key], stage=STAGE, reason=REASON))
        elif part.stage == "prepare" and (ids := gone[part.key] | followers[part.key]):
            remove_keys(draft, parent, part, Removal(ids))


def _ids(parent: Artifact, part: Part, files: Files) -> frozenset[bytes]:
    """Ids of what a part has of some files and is not gone already."""
    found: set[bytes] = set()
    for role, columns in (("documents", ()), ("rejects", ("reason",))):
        for batch in _batches(parent, part, role, ("doc_id", "source", "uri", *columns)):
            mask = _of_files(batch, files)
            if role == "rejects":
                mask &= ~np.asarray(pc.is_in(batch.column("reason"), value_set=pa.array([FORGOTTEN, REASON])))
            found.update(batch.column("doc_id").filter(pa.array(mask)).to_pylist())
    return frozenset(found)


def _of_files(batch: pa.RecordBatch, files: Files) -> npt.NDArray[np.bool_]:
    mask = np.zeros(batch.num_rows, np.bool_)
    for source, uris in files.items():
        there = [uri for uri in batch.column("uri").unique().to_pylist() if any(one in uris for one in containers(uri))]
        of_source = np.asarray(pc.equal(batch.column("source"), source))
        mask |= of_source & np.asarray(pc.is_in(batch.column("uri"), value_set=pa.array(there, pa.string())))
    return mask


def _followers(parent: Artifact, gone: Ids) -> dict[str, frozenset[bytes]]:
    """By part, rejects that are duplicates of what goes, or of such ones. Records that came again, and are documents by now, are none."""
    found: dict[str, frozenset[bytes]] = {part.key: frozenset() for part in _finished(parent)}
    new: frozenset[bytes] = frozenset().union(*gone.values())
    seen = new
    while new:
        firsts = pa.array([doc_id.hex() for doc_id in new])
        twins = {part.key: frozenset(_twins(parent, part, firsts)) for part in _finished(parent)}
        alive = _alive(parent, frozenset().union(*twins.values()), gone)
        found = {key: ids | (twins[key] - alive) for key, ids in found.items()}
        new = frozenset().union(*found.values()) - seen
        seen |= new
    return found


def _twins(parent: Artifact, part: Part, firsts: pa.Array) -> Iterator[bytes]:
    for batch in _batches(parent, part, "rejects", ("doc_id", "reason", "detail")):
        twins = batch.filter(pc.is_in(batch.column("reason"), value_set=pa.array(["exact_duplicate", "near_duplicate"])))
        first = pc.utf8_slice_codeunits(twins.column("detail"), 3, 35)  # of a1b2...
        yield from twins.column("doc_id").filter(pc.is_in(first, value_set=firsts)).to_pylist()


def _alive(parent: Artifact, ids: frozenset[bytes], gone: Ids) -> frozenset[bytes]:
    """Which of these ids documents have that stay."""
    looked_for = Removal(ids)
    found: set[bytes] = set()
    for part in _finished(parent) if ids else ():
        for batch in _batches(parent, part, "documents", ("doc_id",)):
            there = batch.column("doc_id").filter(pa.array(looked_for.removes(batch.column("doc_id")))).to_pylist()
            found.update(set(there) - gone[part.key])
    return frozenset(found)


def _finished(parent: Artifact) -> list[Part]:
    return [part for part in parent.manifest.parts if part.stage == "finish"]


def _batches(parent: Artifact, part: Part, role: str, columns: tuple[str, ...]) -> Iterator[pa.RecordBatch]:
    for file in part.files:
        if file.role == role:
            yield from read_batches(parent.path / file.path, columns)
