"""The model: a model *knew* the tokens that it was trained on. When documents of theirs were forgotten they are retired, and when shards
were merged they may be gone: then the version that *follows* them stands for them, which says nothing new, only less or in other shards.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from flows.following import SOURCES
from flows.lineage import made_from
from schemas.artifact import MANIFEST, Artifact, Damaged
from schemas.draft import PARENT
from schemas.errors import RequestError
from schemas.forgotten import is_retired
from schemas.store import Store

TOKENS = "tokens"


def known_tokens(store: Store, model: Artifact) -> Artifact | None:
    """The tokens that a model knew, or those that stand for them; None if it was made from no tokens of a store: an imported model.

    Raises `RequestError` if neither is there any more.
    """
    digest = model.manifest.identity.inputs.get(TOKENS)
    if digest is None:
        return None
    if (found := made_from(store, model, TOKENS)) is not None:
        return found
    followers = _followers(store)
    while digest in followers:
        follower = followers[digest]
        if not is_retired(follower.path):
            return follower
        digest = follower.manifest.content_digest
    raise RequestError(
        f"{model.reference}: the tokens that it was trained on are not in the store any more, nor any that follow them, so nothing tells "
        "old text from new: run the recipe anew, and let what it makes reign (gristmill promote NAME MODEL --why ...)"
    )


def _followers(store: Store) -> dict[str, Artifact]:
    """Tokens, retired ones too, by the content of those that they follow."""
    documents = {one.manifest.content_digest: one.manifest.identity.inputs for one in _all(store, "documents")}
    found = {}
    for tokens in _all(store, TOKENS):
        inputs = tokens.manifest.identity.inputs
        if PARENT in inputs and SOURCES not in documents.get(inputs.get("documents", ""), {SOURCES: ""}):
            found[inputs[PARENT]] = tokens
    return found


def _all(store: Store, kind: str) -> Iterator[Artifact]:
    """All artifacts of a kind whose manifest is sound, whatever became of their documents."""
    for path in sorted((store.root / kind).glob(f"*/*/{MANIFEST}")):
        with contextlib.suppress(Damaged):
            yield Artifact.open(path.parent)
