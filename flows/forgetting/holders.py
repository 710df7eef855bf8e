"""The model: a *holder* is a version of documents or of tokens that has rows of documents that are to be forgotten. What was made from
one, by however many steps, *saw* them: a tokenizer, a model, an evaluation. It can't be taken back from those, only told.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from flows.retraining.knew import Lines
from pipelines.removal import Removal
from pipelines.tombstones import REASON
from schemas.arrow import read_batches
from schemas.artifact import Artifact
from schemas.store import Store


@dataclass(frozen=True)
class Holder:
    """A version and how many rows of it are of documents to forget, those among its rejects counted."""

    artifact: Artifact
    rows: int


def holders(store: Store, removal: Removal) -> list[Holder]:
    """All of a store. Only ids are read, and of a shard that versions share only once."""
    counted: dict[Path, int] = {}
    found = []
    for artifact in (a for kind in ("documents", "tokens") for a in store.artifacts(kind)):
        rows = sum(_rows(path, removal, counted) for role in ("documents", "rejects", "tokens") for path in artifact.paths(role))
        if rows:
            found.append(Holder(artifact, rows))
    return found


def _rows(path: Path, removal: Removal, counted: dict[Path, int]) -> int:
    """How many rows of a shard are of such documents; rejects that are `forgotten` already are no more than a place in a file."""
    path = path.resolve()
    if path not in counted:
        columns = ("doc_id", "reason") if path.parent.name == "rejects" else ("doc_id",)
        counted[path] = 0
        for batch in read_batches(path, columns):
            mask = removal.removes(batch.column("doc_id"))
            if "reason" in batch.schema.names and mask.any():
                mask &= [reason != REASON for reason in batch.column("reason").to_pylist()]
            counted[path] += int(mask.sum())
    return counted[path]


def saw(store: Store, holding: Iterable[Artifact]) -> list[Artifact]:
    """What was made from these, or from versions that are retired and that these follow, but for documents and tokens."""
    digests = set(Lines(store).followed([artifact.manifest.content_digest for artifact in holding]))
    others = [a for a in store.artifacts() if a.kind not in ("documents", "tokens")]
    found: list[Artifact] = []
    while new := [a for a in others if a not in found and digests & set(a.manifest.identity.inputs.values())]:
        found += new
        digests |= {a.manifest.content_digest for a in new}
    return sorted(found, key=lambda a: a.reference)
