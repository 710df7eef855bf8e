"""The model: two *vocabularies* share tokens by their strings; a shared token is *moved* if its id is another."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from schemas.artifact import Artifact
from schemas.fingerprint import read_json

Json = dict[str, Any]


def compare_vocabularies(a: Artifact, b: Artifact, limit: int) -> Json:
    """Counts of shared, moved and single tokens; examples of the single ones, those with the lowest ids."""
    old, new = _vocabulary(a), _vocabulary(b)
    both = old.keys() & new.keys()
    return {
        "shared": len(both),
        "moved": sum(old[token] != new[token] for token in both),
        "only_a": _single(old.keys() - both, old, limit),
        "only_b": _single(new.keys() - both, new, limit),
    }


def _single(tokens: Iterable[str], ids: dict[str, int], limit: int) -> Json:
    found = sorted(tokens, key=ids.__getitem__)
    return {"tokens": len(found), "examples": found[:limit]}


def _vocabulary(artifact: Artifact) -> dict[str, int]:
    """Id by token; Unigram lists its tokens with their scores, the others map them."""
    (path,) = artifact.paths("tokenizer")
    whole = read_json(path)
    vocab = whole["model"]["vocab"]
    found = {token: n for n, (token, _) in enumerate(vocab)} if isinstance(vocab, list) else dict(vocab)
    return found | {token["content"]: token["id"] for token in whole["added_tokens"]}
