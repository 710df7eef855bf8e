"""The model: to *compact* a name is to make a child of its newest documents in which small shards are merged, and of the tokens that were
made of these. Older versions stay as they are; `gristmill gc` removes them when it is their turn.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from flows.children import Say, make_child, name_leases, newest
from flows.following import SOURCES, follow
from pipelines.compaction import COMPACTED, Group, compact_documents, groups_of
from schemas.artifact import Artifact, PartKey
from schemas.draft import PARENT, Draft
from schemas.fingerprint import digest_json
from schemas.store import Store


@dataclass(frozen=True)
class Compacted:
    """What came of it."""

    documents: Artifact
    """The newest version."""
    made: tuple[Artifact, ...]
    before: int
    """Document shards of the version before."""
    after: int


def compact(store: Store, name: str, target: int | None, say: Say) -> Compacted:
    """Merge the small shards of the newest documents/`name` up to `target` bytes read for one (as many as a split has, by default), and
    those of its tokens alike. If nothing is small enough, nothing is made."""
    with name_leases(store, name, say):
        documents = newest(store, "documents", name)
        made = follow(store, documents, say)
        before = len(documents.paths("documents"))
        groups = groups_of(documents, target or int(documents.manifest.identity.settings["split_bytes"]))
        if groups:
            documents = _merged(store, documents, groups, say)
            made += [documents, *follow(store, documents, say)]
        return Compacted(documents, tuple(made), before, len(documents.paths("documents")))


def _merged(store: Store, documents: Artifact, groups: Collection[Group], say: Say) -> Artifact:
    before = documents.manifest.identity
    kept = {role: digest for role, digest in before.inputs.items() if role != SOURCES}
    identity = replace(before, inputs={**kept, PARENT: documents.manifest.content_digest, COMPACTED: digest_json(list(map(list, groups)))})

    def make(draft: Draft) -> Collection[PartKey]:
        return compact_documents(draft, documents, groups)

    made = make_child(store, documents, identity, {}, make, (), say)
    say(f"documents  {made.reference}")
    return made
