"""The model: a *thing* is a version's folder in a store: an artifact, a draft, one whose manifest is *damaged*, or a *stub*, whose run was
killed before it had a plan. One is *retired* if documents that it holds were forgotten, and *crowned* if it is of the champion, or of the
one before. The *survey* lists them with all that a verdict needs, and changes nothing.

What is behind a symbolic link, on another file system, or not named as a version, is *fixed*: it counts, and is never removed.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from flows.lineage import EARLIER
from flows.retraining.knew import TOKENS, Lines
from schemas.artifact import KINDS, MANIFEST, Artifact, Damaged
from schemas.champion import kept
from schemas.champion import names as names_of_champions
from schemas.draft import PLAN, Draft
from schemas.fingerprint import Identity
from schemas.forgotten import read_mark
from schemas.lease import Lease
from schemas.store import Store

_VERSION = re.compile(r"\d{8}T\d{12}Z-[0-9a-f]{8}")
_TORN = re.compile(r"\..+\.[0-9a-f]{32}")
"""Temporary files of `schemas.files`."""
_DAMAGED = (Damaged, ValueError, KeyError, TypeError)
"""What reading a file raises that is not what it should be."""


@dataclass(frozen=True)
class Tree:
    """What is in a folder, as far as no link leads out of it."""

    bytes: int
    newest: float
    """When something in it last changed, in seconds since the epoch."""
    torn: tuple[Path, ...]
    """Temporary files."""
    one_device: bool


@dataclass(frozen=True)
class Thing:
    """A version's folder; see the module."""

    kind: str
    name: str
    path: Path
    state: Literal["artifact", "draft", "damaged", "stub", "retired"]
    tree: Tree
    fixed: str | None
    """Why it is never removed, if so."""
    committed: float = 0.0
    """When its manifest was written, in seconds since the epoch; 0 without one."""
    fingerprint: str | None = None
    inputs: frozenset[str] = frozenset()
    """Content digests of what it was made from."""
    paths: frozenset[Path] = frozenset()
    """What a draft's last attempt read."""
    inherits: frozenset[Path] = frozenset()
    """Folders of the versions that it has parts of."""
    knew: frozenset[Path] = frozenset()
    """Of a model: folders that lead to what stands for the tokens that it knew, if documents of theirs were forgotten."""
    holder: str | None = None
    """Who holds its step's lease."""
    used: float = 0.0
    """When that lease was last touched: a run made it or reused it then."""
    artifact: Artifact | None = None
    """If it is one."""
    crowned: str = ""
    """Whose champion it is, or was before the one of now, to which a rollback goes."""
    damage: str = ""
    """What is wrong with it, or why it is retired."""

    @property
    def reference(self) -> str:
        return f"{self.kind}/{self.name}@{self.path.name}"


def survey(store: Store) -> list[Thing]:
    """All things of a store, oldest first within a name."""
    crowns, lines = dict(_crowns(store)), Lines(store)
    things = (thing for kind in KINDS for name in folders(store.root / kind) for thing in _of_name(store, kind, name.name))
    return [replace(thing, crowned=crowns.get(thing.reference, ""), knew=_knew(thing, lines)) for thing in things]


def _knew(thing: Thing, lines: Lines) -> frozenset[Path]:
    tokens = thing.artifact.manifest.identity.inputs.get(TOKENS) if thing.artifact is not None and thing.kind == "model" else None
    return lines.folders(tokens, thing.name) if tokens is not None else frozenset()


def _crowns(store: Store) -> Iterator[tuple[str, str]]:
    """Models by reference that a name's champion consists of, or the one before it."""
    for name in names_of_champions(store.root):
        for reign in kept(store.root, name):
            yield from ((reference, f"reign {reign.number} of {name}") for reference in reign.models.values())


def _of_name(store: Store, kind: str, name: str) -> Iterator[Thing]:
    for path in store.versions(kind, name):
        tree = measure(path)
        thing = Thing(kind, name, path, "stub", tree, _fixed(store, path, tree))
        try:
            yield _read(store, thing)
        except FileNotFoundError:  # it was removed meanwhile
            continue
        except _DAMAGED as error:
            thing = replace(thing, state="damaged", damage=str(error))
            with contextlib.suppress(*_DAMAGED):  # the plan may still tell what it was made from
                thing = replace(_planned(store, thing), state="damaged")
            yield thing


def _read(store: Store, thing: Thing) -> Thing:
    """The thing with what its manifest or plan says. Raises one of `_DAMAGED`."""
    path = thing.path
    if (mark := read_mark(path)) is not None and mark.retired:  # nothing is made of it any more, so what it was made of is nobody's need
        about = replace(_planned(store, thing), state="retired", damage=f"documents of it were forgotten: see {mark.by}")
        return replace(about, inputs=frozenset(), paths=frozenset())
    if (path / MANIFEST).is_file():
        artifact = Artifact.open(path)
        inherits = frozenset(path.parent / one.version for one in artifact.manifest.inherits)
        thing = replace(thing, state="artifact", artifact=artifact, committed=(path / MANIFEST).stat().st_mtime, inherits=inherits)
        return _identified(store, thing, artifact.manifest.identity)
    return _planned(store, thing) if (path / PLAN).is_file() else thing


def _planned(store: Store, thing: Thing) -> Thing:
    draft = Draft.open(thing.path)
    paths = frozenset(Path(path) for path in draft.task.get("inputs", {}).values())
    return _identified(store, replace(thing, state="draft", paths=paths), draft.identity)


def _identified(store: Store, thing: Thing, identity: Identity) -> Thing:
    lease = Lease(store.lease_folder(thing.kind, thing.name, identity.fingerprint), nobody)
    # Of a parent its parts are what is needed; a model needs no more of what it once went on from.
    inputs = frozenset(digest for role, digest in identity.inputs.items() if role not in EARLIER)
    return replace(thing, fingerprint=identity.fingerprint, inputs=inputs, holder=lease.holder(), used=lease.touched() or 0.0)


def nobody(holder: str) -> None:
    """Nobody is told of a lease that is only looked at."""


def folders(path: Path) -> list[Path]:
    """The folders in a folder, in order; none if there is no such folder."""
    return sorted(p for p in path.iterdir() if p.is_dir()) if path.is_dir() else []


def _fixed(store: Store, path: Path, tree: Tree) -> str | None:
    if any(p.is_symlink() for p in (path, path.parent, path.parent.parent)):
        return "is behind a symbolic link, and links are not followed"
    if not _VERSION.fullmatch(path.name):
        return "its name is no version's: somebody else put it there"
    if not tree.one_device or path.lstat().st_dev != store.root.stat().st_dev:
        return "is on another file system than the store"
    return None


def measure(folder: Path) -> Tree:
    """Walk a folder, never through a link. What vanishes meanwhile counts for nothing."""
    size, newest, torn, devices = 0, 0.0, [], set()
    for parent, _, names in os.walk(folder):
        for path in (Path(parent), *(Path(parent, name) for name in names)):
            try:
                status = path.lstat()
            except FileNotFoundError:
                continue
            devices.add(status.st_dev)
            newest = max(newest, status.st_mtime)
            if stat.S_ISREG(status.st_mode):
                size += status.st_size
                if _TORN.fullmatch(path.name):
                    torn.append(path)
    return Tree(size, newest, tuple(sorted(torn)), len(devices) <= 1)
