"""The model: a model *knew* the tokens that it was trained on. When documents of theirs were forgotten they are retired, and when shards
were merged they may be gone: then a version that *follows* them stands for them, which says nothing new, only less or in other shards. The
*line* is those tokens, if they are still there, and all that follow them one from another.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from flows.following import SOURCES
from flows.lineage import made_from, meant
from schemas.artifact import MANIFEST, Artifact, Damaged
from schemas.champion import kept, names
from schemas.draft import PARENT, PLAN, Draft
from schemas.errors import RequestError
from schemas.forgotten import is_retired
from schemas.store import Store

DOCUMENTS, TOKENS = "documents", "tokens"


def known_tokens(store: Store, model: Artifact) -> Artifact | None:
    """The tokens that a model knew, or those that stand for them; None if it was made from no tokens of a store: an imported model.

    Raises `RequestError` if neither is there any more.
    """
    digest = model.manifest.identity.inputs.get(TOKENS)
    if digest is None:
        return None
    if (found := standing_for(store, digest, model.name)) is not None:
        return found
    raise RequestError(
        f"{model.reference}: the tokens that it was trained on are not in the store any more, nor any that follow them, so nothing tells "
        "old text from new: run the recipe anew, and let what it makes reign (gristmill promote NAME MODEL --why ...)"
    )


def standing_for(store: Store, digest: str, name: str, retiring: Collection[Path] = ()) -> Artifact | None:
    """Of the line of tokens with this content, as a model of this name knew them, the first that can be read, best with its documents;
    None if none can. What is `retiring` counts as gone."""
    return _standing(store, _line(store, digest, name), retiring)


def known_documents(store: Store, digest: str, name: str, retiring: Collection[Path] = ()) -> Artifact | None:
    """The documents of those tokens, if they can be read."""
    tokens = standing_for(store, digest, name, retiring)
    documents = made_from(store, tokens, DOCUMENTS) if tokens is not None else None
    return documents if documents is not None and documents.path not in retiring else None


def _standing(store: Store, line: Sequence[Artifact], retiring: Collection[Path] = ()) -> Artifact | None:
    living = [one for one in line if not is_retired(one.path) and one.path not in retiring]
    return next((one for one in living if _is_whole(store, one, retiring)), next(iter(living), None))


def _is_whole(store: Store, tokens: Artifact, retiring: Collection[Path]) -> bool:
    """Whether the documents can be read, too, that the tokens were made of, if they were."""
    if DOCUMENTS not in tokens.manifest.identity.inputs:
        return True
    documents = made_from(store, tokens, DOCUMENTS)
    return documents is not None and documents.path not in retiring


def known_by_heirs(store: Store) -> list[tuple[str, str]]:
    """Content of tokens that were known, and the names of the models that knew them: those that reign, those to which a rollback goes, and
    the newest of each name, made or in the making."""
    reigns = [reign for name in names(store.root) for reign in kept(store.root, name)]
    paths = [store.root / reference.replace("@", "/") for reign in reigns for reference in reign.models.values()]
    folders = sorted((store.root / "model").iterdir()) if (store.root / "model").is_dir() else []
    paths += [versions[-1] for folder in folders if (versions := store.versions("model", folder.name))]
    drafts = [Draft.open(path) for path in paths if (path / PLAN).is_file()]
    known = ((draft.identity.inputs.get(TOKENS), draft.path.parent.name) for draft in drafts)
    return list(dict.fromkeys((digest, name) for digest, name in known if digest is not None))


def folders_of_line(store: Store, digest: str, name: str) -> frozenset[Path]:
    """Of a line up to what stands for it, and of the documents that these were made of: without them nothing leads there."""
    line = _line(store, digest, name)
    if (standing := _standing(store, line)) is not None:
        line = line[: line.index(standing) + 1]
    made_of = {one.manifest.identity.inputs.get(DOCUMENTS) for one in line}
    return frozenset(one.path for one in (*line, *(one for one in _all(store, DOCUMENTS) if one.manifest.content_digest in made_of)))


def _line(store: Store, digest: str, name: str) -> list[Artifact]:
    """Oldest first."""
    same = [one for one in _all(store, TOKENS) if one.manifest.content_digest == digest]
    own = meant([one for one in same if not is_retired(one.path)] or same, name)
    line = [own] if own is not None else []
    followers = _followers(store)
    while (follower := followers.pop(digest, None)) is not None:  # popped, as one that lost nothing has the content that it follows
        line.append(follower)
        digest = follower.manifest.content_digest
    return line


def _followers(store: Store) -> dict[str, Artifact]:
    """Tokens, retired ones too, by the content of those that they follow: of several those that can be read."""
    documents = {one.manifest.content_digest: one.manifest.identity.inputs for one in _all(store, DOCUMENTS)}
    found: dict[str, Artifact] = {}
    for tokens in sorted(_all(store, TOKENS), key=lambda one: not is_retired(one.path)):
        inputs = tokens.manifest.identity.inputs
        if PARENT in inputs and SOURCES not in documents.get(inputs.get(DOCUMENTS, ""), {SOURCES: ""}):
            found[inputs[PARENT]] = tokens
    return found


def _all(store: Store, kind: str) -> Iterator[Artifact]:
    """All artifacts of a kind whose manifest is sound, whatever became of their documents."""
    for path in sorted((store.root / kind).glob(f"*/*/{MANIFEST}")):
        with contextlib.suppress(Damaged):
            yield Artifact.open(path.parent)
