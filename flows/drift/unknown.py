"""The model: the *unknown* token is the one that a tokenizer puts where it has none for a text; most byte-level ones have no such token."""

from __future__ import annotations

from flows.lineage import made_from
from schemas.artifact import Artifact
from schemas.fingerprint import read_json
from schemas.store import Store


def unknown_token(store: Store, tokens: Artifact) -> int | None:
    """Its number in the tokenizer of some tokens; None: it has none, or is not in the store any more."""
    tokenizer = made_from(store, tokens, "tokenizer")
    if tokenizer is None:
        return None
    described = read_json(tokenizer.paths("tokenizer")[0])
    model = described["model"]
    if (number := model.get("unk_id")) is not None:
        return int(number)
    token = model.get("unk_token")
    found = [int(one["id"]) for one in described.get("added_tokens", ()) if one["content"] == token]
    if token is None or found:
        return next(iter(found), None)
    vocabulary = model.get("vocab")
    return vocabulary.get(token) if isinstance(vocabulary, dict) else None
