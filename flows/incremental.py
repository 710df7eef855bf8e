"""The model: an *incremental* version of documents extends the newest version of its name, its *parent*: it reads the files that came
since, inherits all parts of its parent, and its documents lose to the parent's where they are the same.

A parent is extended only by the same step, settings, engines and evaluation sets, though sources may be added and taken out; else all
files are read anew, and the reason is told. What was read from files that are gone, or have other content by now, stays or leaves, as the
recipe says.
The oldest plan that a killed run left unfinished is finished first; then what arrived since is planned.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace

from flows.arrivals import Arrivals, Named, changed_since, compare, overwritten, sources_held
from flows.ready import Ready
from flows.rejects import visible
from pipelines.contamination.evaluation_sets import input_role
from pipelines.corpus import Listing, plan_splits
from pipelines.leaving import LEAVING, files_leaving
from schemas.artifact import MANIFEST, Artifact, Damaged
from schemas.draft import PARENT, PLAN, Draft
from schemas.errors import RequestError
from schemas.fingerprint import Identity, digest_json, explain
from schemas.recipe import Corpus
from schemas.store import Store

KIND = "documents"
_SOURCES = "sources"
"""The input that stands for the files that a version reads."""


class NothingYet(RequestError):
    """There is no file to make a first version from."""

    def __init__(self, message: str, arrivals: Arrivals) -> None:
        super().__init__(message)
        self.arrivals = arrivals


def extend(full: Ready, corpus: Corpus, store: Store, name: str, listing: Listing, look: Callable[[], Listing]) -> Ready:
    """Of the work of reading all files of a listing (`full`), what a version has to do that extends the newest one; `look` lists anew.

    Raises `NothingYet` if there is nothing to read and no version; `Damaged` if files of the newest version are missing;
    `RequestError` if it can't be extended and files that it holds are gone, or changed ones are refused.
    """
    newest = _newest(store, name)
    read = newest.plan_splits() if newest is not None else []
    arrivals, to_read = compare(read, listing, corpus)
    if arrivals.emptied and corpus.gone == "drop":
        raise RequestError(
            f"source {arrivals.emptied[0]}: has no file any more, though some were read: so looks a disk that is not mounted. Put the "
            "files back, or let go of all of them by taking the source out of the recipe"
        )
    obstacles = _obstacles(newest, full.identity, sources_held(read)) if newest is not None else ()
    parent = newest if not obstacles else None
    draft = _unfinished(store, name, full.identity, parent, listing, arrivals)
    if draft is not None:
        return _with_parent(replace(full, identity=draft.identity, splits=draft.plan["splits"], unfinished=True), parent, look)
    if parent is not None:
        return _with_parent(_child(full, corpus, parent, arrivals, to_read), parent, look)
    if newest is not None and arrivals.gone and corpus.gone == "keep":
        source, uri = arrivals.gone[0]
        files, more = (f"{len(arrivals.gone):,} files", ", ...") if len(arrivals.gone) > 1 else ("a file", "")
        raise RequestError(
            f"{newest.reference} can't be extended ({'; '.join(obstacles)}), and {files} that it was made from can't be found "
            f"({source}:{visible(uri)}{more}). Put back what is gone, undo the change, or leave it out for good by a run with "
            "corpus.incremental: false"
        )
    if not listing.files:
        nothing = "all files are empty or can't be read" if listing.empty or listing.unreadable else "the sources hold no file"
        told = "; ".join(arrivals.notes()) or nothing
        raise NothingYet(f"{KIND}/{name}: there is nothing to read yet: {told}", arrivals)
    if newest is not None:
        why = f"{newest.reference} can't be extended: {'; '.join(obstacles)}"
        full = replace(full, why=(why, *overwritten(newest.plan_splits(), listing)))
    return _with_parent(replace(full, arrivals=arrivals), None, look)


def _child(full: Ready, corpus: Corpus, parent: Artifact, arrivals: Arrivals, to_read: Listing) -> Ready:
    if not to_read.files and not arrivals.leaving:
        why = (f"{parent.reference} holds all that there is to read",)
        return replace(full, identity=parent.manifest.identity, splits=(), why=why, arrivals=arrivals)
    if arrivals.changed and (corpus.changed == "refuse" or (corpus.changed == "add" and not corpus.dedup.exact)):
        source, uri = arrivals.changed[0]
        kept = "corpus.changed is refuse" if corpus.changed == "refuse" else "without corpus.dedup.exact its records would be doubled"
        raise RequestError(
            f"{source}:{visible(uri)}: was read before with other content, and {kept} ({len(arrivals.changed):,} such files). Give new "
            "content a new name"
        )
    read = parent.plan_splits()
    first, generation = (max(split.get(key, 0) for split in read) + 1 for key in ("ordinal", "generation"))
    inputs = {**full.identity.inputs, _SOURCES: to_read.digest, PARENT: parent.manifest.content_digest}
    reasons = (*arrivals.reasons(), f"extends {parent.reference}")
    splits = plan_splits(to_read, corpus, first, generation)
    if leaving := [list(file) for file in arrivals.leaving]:
        splits[0][LEAVING] = leaving
        inputs[LEAVING] = digest_json(leaving)
    return replace(full, identity=replace(full.identity, inputs=inputs), splits=splits, why=reasons, arrivals=arrivals)


def _with_parent(ready: Ready, parent: Artifact | None, look: Callable[[], Listing]) -> Ready:
    return replace(
        ready,
        also={PARENT: parent} if parent is not None else None,
        changed=lambda: [f"{source}:{visible(uri)}" for source, uri in changed_since(ready.splits, look())],
    )


def _newest(store: Store, name: str) -> Artifact | None:
    """The newest version; raises `Damaged` if it has lost files."""
    newest = next(store.newest_first(KIND, name), None)
    if newest is not None and (missing := newest.missing()):
        raise Damaged(f"{missing[0]}. Restore it from a copy, or remove {newest.path}: the next run then extends the version before it")
    return newest


def _obstacles(newest: Artifact, full: Identity, held: Collection[str]) -> tuple[str, ...]:
    """Why a version that holds something of the sources `held` can't be extended by work of some identity; nothing if it can."""
    now = _how(full)
    return tuple(explain(_with_sources_of(now, _how(newest.manifest.identity), held), now, "corpus"))


def _with_sources_of(now: Identity, before: Identity, held: Collection[str]) -> Identity:
    """An earlier identity as if the sources had been there that are new now, unless something of such is held, and those not that are
    taken out. Engines that only some sources need come and go with them."""
    old, new = ({source["name"]: source for source in identity.settings["sources"]} for identity in (before, now))
    if old.keys() == new.keys():
        return before
    sources = [old.get(name, source) for name, source in new.items() if name in old or name not in held]
    engines = {engine: before.engines.get(engine, version) for engine, version in now.engines.items()}
    return replace(before, settings={**before.settings, "sources": sources}, engines=engines)


def _how(identity: Identity) -> Identity:
    """What decides how text is read; other inputs are what was read, or is a version's own."""
    return replace(identity, inputs={role: digest for role, digest in identity.inputs.items() if role.startswith(input_role(""))})


def _unfinished(store: Store, name: str, full: Identity, parent: Artifact | None, listing: Listing, arrivals: Arrivals) -> Draft | None:
    """The oldest draft that goes on from the parent and whose files, as far as they are still to be read, are as it planned them."""
    wanted = parent.manifest.content_digest if parent is not None else None
    for path in store.versions(KIND, name):
        if (path / PLAN).is_file() and not (path / MANIFEST).is_file():
            draft = Draft.open(path)
            history = {role: draft.identity.inputs.get(role) for role in (_SOURCES, PARENT, LEAVING)}
            as_now = {**full.inputs, **{role: digest for role, digest in history.items() if digest is not None}}
            follows = history[PARENT] == wanted and history[_SOURCES] is not None and draft.identity == replace(full, inputs=as_now)
            to_read = [split for split in draft.plan["splits"] if draft.part("prepare", f"{split['ordinal']:05d}") is None]
            leaving = arrivals.leaving if parent is not None else ()
            if follows and _leave_as_planned(draft, leaving) and not changed_since(to_read, listing):
                return draft
    return None


def _leave_as_planned(draft: Draft, leaving: Collection[Named]) -> bool:
    """Whether all files that a draft lets go are still to leave, and all that it reads and that are to leave do so."""
    splits = draft.plan["splits"]
    planned = {file for split in splits for file in files_leaving(split)}
    read = {(piece["source"], piece["uri"]) for split in splits for piece in split["pieces"]}
    return planned <= set(leaving) and read & set(leaving) <= planned
