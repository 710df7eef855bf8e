"""The model: a model *knew* the tokens that it was trained on. When documents of theirs were forgotten they are retired, and when shards
were merged they may be gone: then a version that *follows* them stands for them, which says nothing new, only less or in other shards. The
*line* is those tokens, if they are still there, and all that follow them one from another.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator
from pathlib import Path

from flows.following import SOURCES
from flows.lineage import meant
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
    if (found := Lines(store).standing_for(digest, model.name)) is not None:
        return found
    raise RequestError(
        f"{model.reference}: the tokens that it was trained on are not in the store any more, nor any that follow them, so nothing tells "
        "old text from new: run the recipe anew, and let what it makes reign (gristmill promote NAME MODEL --why ...)"
    )


def known_by_heirs(store: Store) -> list[tuple[str, str]]:
    """Content of tokens that were known, and the names of the models that knew them: those that reign, those to which a rollback goes, and
    the newest of each name, with those in the making that are newer."""
    reigns = [reign for name in names(store.root) for reign in kept(store.root, name)]
    paths = [store.root / reference.replace("@", "/") for reign in reigns for reference in reign.models.values()]
    folders = sorted((store.root / "model").iterdir()) if (store.root / "model").is_dir() else []
    paths += [path for folder in folders for path in _newest(store.versions("model", folder.name))]
    drafts = [Draft.open(path) for path in paths if (path / PLAN).is_file()]
    known = ((draft.identity.inputs.get(TOKENS), draft.path.parent.name) for draft in drafts)
    return list(dict.fromkeys((digest, name) for digest, name in known if digest is not None))


def _newest(versions: list[Path]) -> list[Path]:
    """The newest that is made, and all behind it."""
    made = [place for place, path in enumerate(versions) if (path / MANIFEST).is_file()]
    return versions[made[-1] if made else 0 :]


class Lines:
    """The lines of a store's tokens, retired ones too, as they were when this was made."""

    def __init__(self, store: Store, retiring: Collection[Path] = ()) -> None:
        """What is `retiring` counts as retired."""
        self._tokens, self._documents = list(_all(store, TOKENS)), list(_all(store, DOCUMENTS))
        every = (*self._tokens, *self._documents)
        self._retired = {one.path for one in every if one.path in retiring or is_retired(one.path)}
        self._followers = dict(sorted(self._following(), key=lambda pair: pair[1].path not in self._retired))
        """By the content of those that they follow: of several those that can be read."""

    def standing_for(self, digest: str, name: str) -> Artifact | None:
        """Of the line of tokens with this content, as a model of this name knew them, the first that can be read, best with its documents;
        None if none can."""
        living = [one for one in self._line(digest, name) if one.path not in self._retired]
        whole = (one for one in living if DOCUMENTS not in one.manifest.identity.inputs or self._made_of(one) is not None)
        return next(whole, next(iter(living), None))

    def documents_for(self, digest: str, name: str) -> Artifact | None:
        """The documents that those were made of, if they can be read."""
        tokens = self.standing_for(digest, name)
        return self._made_of(tokens) if tokens is not None else None

    def folders(self, digest: str, name: str) -> frozenset[Path]:
        """Of the line up to what stands for it, and of the documents that these were made of: without them nothing leads there. None if
        nothing stands for it, or it does so itself."""
        line, standing = self._line(digest, name), self.standing_for(digest, name)
        if standing is None or (standing == line[0] and standing.manifest.content_digest == digest):
            return frozenset()
        line = line[: line.index(standing) + 1]
        made_of = {one.manifest.identity.inputs.get(DOCUMENTS) for one in line}
        return frozenset(one.path for one in (*line, *(one for one in self._documents if one.manifest.content_digest in made_of)))

    def followed(self, content: Collection[str]) -> frozenset[str]:
        """Content of these documents and tokens, and of those that they follow, one from another: which held no less."""
        parents = {one.manifest.content_digest: parent for parent, one in self._following()}
        for one in self._documents:
            if PARENT in (inputs := one.manifest.identity.inputs) and SOURCES not in inputs:
                parents[one.manifest.content_digest] = inputs[PARENT]
        found, todo = set[str](), list(content)
        while todo:
            if (digest := todo.pop()) not in found:
                found.add(digest)
                todo += [parents[digest]] if digest in parents else []
        return frozenset(found)

    def _made_of(self, tokens: Artifact) -> Artifact | None:
        digest = tokens.manifest.identity.inputs.get(DOCUMENTS)
        living = (one for one in self._documents if one.path not in self._retired)
        return meant((one for one in living if one.manifest.content_digest == digest), tokens.name)

    def _line(self, digest: str, name: str) -> list[Artifact]:
        """Oldest first."""
        same = [one for one in self._tokens if one.manifest.content_digest == digest]
        own = meant([one for one in same if one.path not in self._retired] or same, name)
        line = [own] if own is not None else []
        followers = dict(self._followers)
        while (follower := followers.pop(digest, None)) is not None:  # popped, as one that lost nothing has the content that it follows
            line.append(follower)
            digest = follower.manifest.content_digest
        return line

    def _following(self) -> Iterator[tuple[str, Artifact]]:
        """All tokens that follow others, with the content of those."""
        documents = {one.manifest.content_digest: one.manifest.identity.inputs for one in self._documents}
        for tokens in self._tokens:
            inputs = tokens.manifest.identity.inputs
            if PARENT in inputs and SOURCES not in documents.get(inputs.get(DOCUMENTS, ""), {SOURCES: ""}):
                yield inputs[PARENT], tokens


def _all(store: Store, kind: str) -> Iterator[Artifact]:
    """All artifacts of a kind whose manifest is sound, whatever became of their documents."""
    for path in sorted((store.root / kind).glob(f"*/*/{MANIFEST}")):
        with contextlib.suppress(Damaged):
            yield Artifact.open(path.parent)
