"""The model: tokens of an incremental version of documents *extend* earlier tokens of the name: token shards of document shards that are
still the same are inherited, and only the others are encoded. For ids to fit together the version keeps the tokenizer of before.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from flows.ready import Ready
from pipelines.tokens import PARENT_DOCUMENTS, STAGE, document_shards, same_shards
from schemas.artifact import Artifact, Damaged
from schemas.draft import PARENT
from schemas.fingerprint import Identity
from schemas.store import Store

KIND = "tokens"


def kept_tokenizer(store: Store, name: str, wanted: Identity) -> Artifact | None:
    """The tokenizer of the newest tokens of a name (before there are any: its newest one), if the recipe still asks for such a one.

    Texts to train on and versions of libraries don't count: whatever they are by now, a new tokenizer would change every id. Raises
    `Damaged` if its files are missing.
    """
    tokens = next((one for one in store.newest_first(KIND, name) if one.manifest.identity.step == KIND), None)
    kept = _made_from(store, tokens, "tokenizer") if tokens is not None else next(store.newest_first("tokenizer", name), None)
    if kept is None or _asked(kept.manifest.identity) != _asked(wanted):
        return None
    if missing := kept.missing():
        raise Damaged(f"{missing[0]}. Restore it from a copy: tokens of a new tokenizer would not fit those that are there")
    return kept


def _asked(identity: Identity) -> tuple[Mapping[str, Any], dict[str, str]]:
    return identity.settings, {role: digest for role, digest in identity.inputs.items() if role != "documents"}


def extend_tokens(identity: Identity, documents: Artifact, store: Store, name: str) -> Ready:
    """What tokens of some documents have to do, if the documents extend others; else all of it."""
    splits = documents.plan_splits()
    for tokens, before in _candidates(identity, documents, store, name) if PARENT in documents.manifest.identity.inputs else ():
        if before is documents:
            return Ready(tokens.manifest.identity, splits)
        same = same_shards(documents, before)
        shards = {key for key, _ in document_shards(documents)}
        if not same:
            break
        return Ready(
            replace(identity, inputs={**identity.inputs, PARENT: tokens.manifest.content_digest}),
            [split for split in splits if f"{split['ordinal']:05d}" not in same],
            also={PARENT: tokens, PARENT_DOCUMENTS: before},
            without=[part.id for part in tokens.manifest.parts if part.stage == STAGE and part.key not in shards],
            why=(f"{len(shards - same):,} of {len(shards):,} shards to encode", f"extends {tokens.reference}"),
        )
    return Ready(identity, splits)


def _candidates(identity: Identity, documents: Artifact, store: Store, name: str) -> Iterator[tuple[Artifact, Artifact]]:
    """Whole tokens that were made as these would be, newest first, with the documents that they were made of."""
    how = _how(identity)
    for tokens in store.newest_first(KIND, name):
        if _how(tokens.manifest.identity) == how and not tokens.missing():
            if tokens.manifest.identity.inputs["documents"] == documents.manifest.content_digest:
                yield tokens, documents
            elif (before := _made_from(store, tokens, "documents")) is not None:
                yield tokens, before


def _made_from(store: Store, tokens: Artifact, kind: str) -> Artifact | None:
    """The newest artifact of the same name whose content the tokens were made from."""
    digest = tokens.manifest.identity.inputs[kind]
    return next((one for one in store.newest_first(kind, tokens.name) if one.manifest.content_digest == digest), None)


def _how(identity: Identity) -> Identity:
    return replace(identity, inputs={role: digest for role, digest in identity.inputs.items() if role not in ("documents", PARENT)})
