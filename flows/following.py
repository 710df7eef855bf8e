"""The model: tokens *follow* their documents: when a child of these has fewer rows, or fewer shards, tokens that were made of the parent
get a child alike, without being encoded again. Which tokens are still to follow is seen from the store alone, so a process that was killed
between the two leaves nothing that the next one doesn't finish.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import replace

from flows.children import Say, make_child
from flows.lineage import made_from
from pipelines.compaction import COMPACTED, compact_tokens, merged_groups
from pipelines.removal import Removal
from pipelines.token_removal import remove_tokens
from pipelines.tombstones import Tombstones
from schemas.artifact import Artifact, PartKey
from schemas.draft import PARENT, Draft
from schemas.store import Store

SOURCES = "sources"
"""Among the inputs of a version that read files: tokens of those are encoded."""

_Make = Callable[[Draft, Artifact, Artifact], Collection[PartKey]]
"""Makes the parts of a child, of tokens and of the documents that they were made of; says which of the tokens' parts it does without."""


def follow(store: Store, documents: Artifact, say: Say, in_place: bool = False) -> list[Artifact]:
    """Make all tokens that are still to follow these documents; `in_place` of those before, as the documents are."""
    inputs = documents.manifest.identity.inputs
    if PARENT not in inputs or SOURCES in inputs:
        return []
    made_of: dict[str, dict[tuple[str, ...], Artifact]] = {}
    for tokens in store.artifacts("tokens"):
        if (digest := tokens.manifest.identity.inputs.get("documents")) is not None:
            made_of.setdefault(digest, {})[_how(tokens)] = tokens  # of several the newest
    done = made_of.get(documents.manifest.content_digest, {})
    make = _compacted(documents) if COMPACTED in inputs else _removed(documents)
    waiting = made_of.get(inputs[PARENT], {})
    return list(_children(store, documents, [tokens for how, tokens in waiting.items() if how not in done], make, say, in_place))


def _how(tokens: Artifact) -> tuple[str, ...]:
    """What tells apart tokens of the same documents."""
    identity = tokens.manifest.identity
    how = (identity.settings, identity.engines)
    return tokens.name, identity.inputs.get("tokenizer", ""), str(identity.version), *(repr(sorted(one.items())) for one in how)


def _compacted(documents: Artifact) -> _Make:
    return lambda draft, parent, before: compact_tokens(draft, parent, documents, merged_groups(before, documents))


def _removed(documents: Artifact) -> _Make:
    removal = Removal(frozenset(Tombstones.of(documents).by_id))

    def make(draft: Draft, parent: Artifact, before: Artifact) -> Collection[PartKey]:
        remove_tokens(draft, parent, before, removal)
        return ()

    return make


def _children(store: Store, documents: Artifact, parents: list[Artifact], make: _Make, say: Say, in_place: bool) -> Iterator[Artifact]:
    for parent in parents:
        inputs = {**parent.manifest.identity.inputs, "documents": documents.manifest.content_digest, PARENT: parent.manifest.content_digest}
        before, tokenizer = (made_from(store, parent, role) for role in ("documents", "tokenizer"))
        assert before is not None, "its documents are the parent of others, and that one is there"
        paths = {"documents": documents.path} | ({"tokenizer": tokenizer.path} if tokenizer is not None else {})

        def make_parts(draft: Draft, parent: Artifact = parent, before: Artifact = before) -> Collection[PartKey]:
            return make(draft, parent, before)

        made = make_child(store, parent, replace(parent.manifest.identity, inputs=inputs), paths, make_parts, (), say, in_place)
        say(f"tokens     {made.reference}")
        yield made
