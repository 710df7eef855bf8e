"""Champions and decisions in a store, as retrainings leave them, without the training: what their artifacts say they were made from."""

from __future__ import annotations

from schemas.artifact import Artifact
from schemas.champion import Reign, begin_reign, champion
from schemas.draft import Draft
from schemas.fingerprint import Identity
from schemas.store import Store
from tests.flows.stores import make


def crown(store: Store, tokens: Artifact) -> Reign:
    """Let a model that learned from some tokens be the champion of their name."""
    before = champion(store.root, tokens.name)
    number = before.number if before else 0
    model = make(store, "model", tokens.name, number, {"tokens": tokens.manifest.content_digest})
    return begin_reign(
        store.root, tokens.name, number, {"pretrain": model.reference}, {"pretrain": model.manifest.content_digest}, "hand", "test"
    )


def decide(store: Store, tokens: Artifact, reign: int, champion: Artifact | None = None) -> Artifact:
    """Let a retraining on some tokens have been decided beside the champion of a reign, a model."""
    challenger = make(store, "model", f"{tokens.name}-challenger", [tokens.version, reign], {"tokens": tokens.manifest.content_digest})
    inputs = {"tokens": tokens.manifest.content_digest, "pretrain": challenger.manifest.content_digest}
    inputs |= {"champion.pretrain": champion.manifest.content_digest} if champion is not None else {}
    draft: Draft = store.start("decision", tokens.name, Identity("decide", 1, {"reign": reign}, inputs, {}))
    draft.add_part("decide", "decision", facts={"verdict": "refuse"})
    return draft.commit(["decide"])
