"""The model: the *lineage* of an artifact is the artifact of each step that it was made from, found by content digest."""

from __future__ import annotations

from schemas.artifact import Artifact
from schemas.store import Store


def lineage(store: Store, artifact: Artifact) -> dict[str, Artifact]:
    """By step name, in order of making, the artifact itself last. Inputs that are no longer in the store are left out."""
    by_digest = {a.manifest.content_digest: a for a in store.artifacts()}
    found: dict[str, Artifact] = {}

    def visit(a: Artifact) -> None:
        for digest in a.manifest.identity.inputs.values():
            if digest in by_digest:
                visit(by_digest[digest])
        found.setdefault(a.manifest.identity.step, a)

    visit(artifact)
    return found


def made_from(store: Store, artifact: Artifact, role: str) -> Artifact | None:
    """The artifact that served as `role` when `artifact` was made, if it is in the store."""
    digest = artifact.manifest.identity.inputs.get(role)
    return next((a for a in store.artifacts() if a.manifest.content_digest == digest), None)
