"""The model: a *holder* is a version of documents or of tokens that has rows of documents that are to be forgotten. What was made from
one, by however many steps, *saw* them: a tokenizer, a model, an evaluation. It can't be taken back from those, only told.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from flows.forgetting.selection import digest_runs
from flows.retraining.knew import Lines
from pipelines.removal import Removal
from pipelines.tombstones import REASON, Tombstones
from schemas.arrow import read_batches
from schemas.artifact import Artifact
from schemas.store import Store


@dataclass(frozen=True)
class Holder:
    """A version and how many rows of it are of documents to forget, those among its rejects counted."""

    artifact: Artifact
    rows: int


def holders(store: Store, name: str, forgotten: Tombstones) -> list[Holder]:
    """All of a store; of documents/`name` copies count, too: a version of before may know such a text by other ids, as of a file that was
    renamed. Only ids and digests are read, and of a shard that versions share only once."""
    counted: dict[tuple[Path, frozenset[bytes]], int] = {}
    copied: dict[str, frozenset[bytes]] = {}
    read: dict[Path, frozenset[bytes]] = {}
    by_id = Removal(frozenset(forgotten.by_id))
    found = []
    for artifact in (a for kind in ("documents", "tokens") for a in store.artifacts(kind)):
        if artifact.kind == "documents":
            copies = copies_in(artifact, forgotten, read) if artifact.name == name else frozenset()
            copied[artifact.manifest.content_digest] = copies
        else:
            copies = copied.get(artifact.manifest.identity.inputs.get("documents", ""), frozenset())
        removal = Removal(by_id.gone | copies) if copies else by_id
        paths = [path.resolve() for role in ("documents", "rejects", "tokens") for path in artifact.paths(role)]
        for path in paths:
            if (path, copies) not in counted:
                counted[path, copies] = _rows(path, removal)
        if rows := sum(counted[path, copies] for path in paths):
            found.append(Holder(artifact, rows))
    return found


def copies_in(documents: Artifact, forgotten: Tombstones, known: dict[Path, frozenset[bytes]] | None = None) -> frozenset[bytes]:
    """Ids of a version's records that have a text which was forgotten, but for those that were forgotten themselves. `known` tells of files
    that were read before."""
    known, texts, found = {} if known is None else known, Removal(forgotten.digests), set[bytes]()
    for path in (path.resolve() for path in digest_runs(documents)):
        if path not in known:
            rows = (batch.filter(pa.array(texts.removes(batch.column("digest")))) for batch in read_batches(path, ("doc_id", "digest")))
            known[path] = frozenset(doc_id for batch in rows for doc_id in batch.column("doc_id").to_pylist())
        found |= known[path]
    return frozenset(found - forgotten.by_id.keys())


def _rows(path: Path, removal: Removal) -> int:
    """How many rows of a shard are of such documents; rejects that are `forgotten` already are no more than a place in a file."""
    rows = 0
    for batch in read_batches(path, ("doc_id", "reason") if path.parent.name == "rejects" else ("doc_id",)):
        mask = removal.removes(batch.column("doc_id"))
        if "reason" in batch.schema.names and mask.any():
            mask &= [reason != REASON for reason in batch.column("reason").to_pylist()]
        rows += int(mask.sum())
    return rows


def saw(store: Store, holding: Iterable[Artifact]) -> list[Artifact]:
    """What was made from these, or from versions that are retired and that these follow, but for documents and tokens."""
    digests = set(Lines(store).followed([artifact.manifest.content_digest for artifact in holding]))
    others = [a for a in store.artifacts() if a.kind not in ("documents", "tokens")]
    found: list[Artifact] = []
    while new := [a for a in others if a not in found and digests & set(a.manifest.identity.inputs.values())]:
        found += new
        digests |= {a.manifest.content_digest for a in new}
    return sorted(found, key=lambda a: a.reference)
