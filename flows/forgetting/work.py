"""The model: to *forget* is to make versions without the documents: of documents first, then of each tokens artifact that was made of the
version before. Then what holds them or saw them is *marked*, and to *erase* retires what holds them: `gristmill gc` removes the bytes.
Where what is retired is what a model knew that can reign, a version without the documents is made in its place first: a retraining goes
on from that one.

Each step looks at the store alone for what is left to do, so that one which was killed is finished by the next, whatever that forgets.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from flows.children import Say, make_child, name_leases, newest
from flows.following import SOURCES, follow
from flows.forgetting.holders import Holder, copies_in, holders, saw
from flows.forgetting.selection import Selection, find, find_named
from flows.report_file import report_path
from flows.retraining.knew import Lines, known_by_heirs
from pipelines.compaction import COMPACTED
from pipelines.removal import STAGES, Removal, remove_documents
from pipelines.tombstones import ROLE, Tombstones
from schemas.artifact import MANIFEST, Artifact, PartKey
from schemas.draft import PARENT, PLAN, Draft
from schemas.fingerprint import digest_file
from schemas.forgotten import Mark, set_mark
from schemas.store import Store


@dataclass(frozen=True)
class Forgotten:
    """What came of it."""

    documents: Artifact
    """The newest version, without them."""
    made: tuple[Artifact, ...]
    """All new versions."""
    holding: tuple[Holder, ...]
    """Versions that still hold the documents."""
    saw: tuple[Artifact, ...]
    retired: tuple[str, ...]
    """References of what waits for `gristmill gc`."""
    reports: tuple[Path, ...]
    """Reports that were removed, since they show texts."""


def forget(store: Store, name: str, selection: Selection, erase: bool, say: Say) -> Forgotten:
    """Forget documents of a name; with an empty selection, finish what was begun and erase what was forgotten before."""
    with name_leases(store, name, say):
        documents = newest(store, "documents", name)
        made = follow(store, documents, say)
        if not selection.is_empty and (found := find(documents, selection)).by_id:
            documents = _without(store, documents, found.removal, Tombstones.of(documents).with_more(dict(found.by_id)), say)
            made += [documents, *follow(store, documents, say)]
        marked = _mark(store, documents, erase, say)
        return replace(marked, made=(*made, *marked.made))


def _without(store: Store, documents: Artifact, removal: Removal, tombstones: Tombstones, say: Say, in_place: bool = False) -> Artifact:
    """A version of documents that does without what is removed."""
    with TemporaryDirectory() as folder:
        tombstones.write(Path(folder) / ROLE)
        digest = digest_file(Path(folder) / ROLE)
    before = documents.manifest.identity
    kept = {role: value for role, value in before.inputs.items() if role not in (SOURCES, PARENT, COMPACTED)}
    identity = replace(before, inputs={**kept, PARENT: documents.manifest.content_digest, ROLE: digest})

    def make(draft: Draft) -> Sequence[PartKey]:
        remove_documents(draft, documents, removal, tombstones)
        return ()

    made = make_child(store, documents, identity, {}, make, STAGES, say, in_place)
    say(f"documents  {made.reference}")
    return made


def _mark(store: Store, documents: Artifact, erase: bool, say: Say) -> Forgotten:
    """Mark all versions that hold what was ever forgotten of this name, and what saw it.

    Documents come last, and before them tokens: what is retired no longer tells what was made of it, if this is killed meanwhile.
    """
    holding = holders(store, documents.name, Tombstones.of(documents))
    seen = saw(store, [holder.artifact for holder in holding])
    ours = _of_name(store, holding, documents.name)
    made = list(_in_place(store, documents, ours, say)) if erase else []
    retired, reports = [], []
    drafts = list(_drafts(store, documents, ours)) if erase else []
    for name in sorted({artifact.name for artifact in (*ours, *seen)}) if erase else ():
        if (path := report_path(store, name)).is_file():
            path.unlink()
            reports.append(path)
    for artifact in seen:
        set_mark(artifact.path, Mark(documents.reference, 0))
    for draft in drafts:
        set_mark(draft.path, Mark(documents.reference, 0, retired=True))
        retired.append(f"{draft.plan['kind']}/{draft.plan['name']}@{draft.path.name} (unfinished)")
    for holder in sorted(holding, key=lambda holder: holder.artifact.kind == "documents"):
        retires = erase and holder.artifact in ours
        retired += [holder.artifact.reference] if retires else []
        set_mark(holder.artifact.path, Mark(documents.reference, holder.rows, retired=retires))
    return Forgotten(documents, tuple(made), tuple(holding), tuple(seen), tuple(retired), tuple(reports))


def _in_place(store: Store, newest: Artifact, retiring: Sequence[Artifact], say: Say) -> Iterator[Artifact]:
    """Make versions of documents, and of their tokens, that do without all that was ever forgotten, in the place of those that are about to
    be retired, and that a model knew which reigns or may come to."""
    tombstones, done = Tombstones.of(newest), set[Path]()
    now, then = Lines(store), Lines(store, {artifact.path for artifact in retiring})
    for digest, name in known_by_heirs(store):
        documents = now.documents_for(digest, name)
        if documents is None or documents.path in done or then.documents_for(digest, name) is not None:
            continue
        done.add(documents.path)
        found = find_named(documents, frozenset(tombstones.by_id) | copies_in(documents, tombstones))
        more = tombstones.with_more(dict(found.by_id))
        made = _without(store, documents, replace(found.removal, gone=frozenset(more.by_id)), more, say, in_place=True)
        yield from (made, *follow(store, made, say, in_place=True))


def _of_name(store: Store, holding: Sequence[Holder], name: str) -> list[Artifact]:
    """The holders that are versions of documents/`name`, or tokens made of such."""
    documents = [h.artifact for h in holding if h.artifact.kind == "documents" and h.artifact.name == name]
    digests = {artifact.manifest.content_digest for artifact in store.artifacts("documents", name)}
    made_of = ((h.artifact, h.artifact.manifest.identity.inputs.get("documents")) for h in holding if h.artifact.kind == "tokens")
    return [*documents, *(tokens for tokens, digest in made_of if digest in digests)]


def _drafts(store: Store, documents: Artifact, ours: Sequence[Artifact]) -> Iterator[Draft]:
    """Unfinished drafts that may hold text of what was forgotten: of documents that don't obey the newest tombstones, and of whatever
    is being made of a version that is retired."""
    digests = {artifact.manifest.content_digest for artifact in ours}
    obeyed = documents.manifest.files(ROLE)
    for kind in ("documents", "tokenizer", "tokens"):
        folder = store.root / kind
        for path in (path for name in sorted(folder.iterdir()) for path in store.versions(kind, name.name)) if folder.is_dir() else ():
            if not (path / PLAN).is_file() or (path / MANIFEST).is_file():
                continue
            draft = Draft.open(path)
            inputs = draft.identity.inputs
            stale = kind == "documents" and path.parent.name == documents.name and inputs.get(ROLE) not in {f.digest for f in obeyed}
            if stale or digests & set(inputs.values()):
                yield draft
