"""The model: *leftovers* are what no run will ever ask for: leases of steps that left nothing, scratch that outlived its commit, torn
temporary files, notes of the stat cache about files that are gone, what no living version has of a retired one, and the *trash* of a
removal that was cut off.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from flows.gc.survey import Thing, folders, measure, nobody
from flows.gc.verdicts import Rules, Verdict, age
from schemas.artifact import KINDS, MANIFEST, Artifact
from schemas.draft import PLAN, WORK
from schemas.fingerprint import canonical_json, read_json
from schemas.forgotten import MARK
from schemas.lease import Lease
from schemas.store import LEASES, Store

TRASH = ".trash"
CACHE = ".cache/inputs.json"


@dataclass(frozen=True)
class Leftover:
    """Something that may go."""

    what: Literal["lease", "scratch", "temporary", "cache", "trash", "forgotten"]
    path: Path
    bytes: int
    why: str
    files: tuple[Path, ...] = ()
    """If only some files of the folder go."""


def leftovers(store: Store, verdicts: Sequence[Verdict], rules: Rules, now: float) -> list[Leftover]:
    """All leftovers, but those inside things that go as a whole."""
    things = [verdict.thing for verdict in verdicts]
    staying = [verdict.thing for verdict in verdicts if verdict.stays and not verdict.thing.fixed]
    found = (
        _trash(store),
        _forgotten(verdicts),
        _scratch(staying, rules, now),
        _torn(store, staying, rules, now),
        _leases(store, things, rules, now),
    )
    return [*(left for group in found for left in group), *_cache(store)]


def _trash(store: Store) -> Iterator[Leftover]:
    for path in sorted((store.root / TRASH).iterdir()) if (store.root / TRASH).is_dir() else ():
        yield Leftover("trash", path, measure(path).bytes, "left by a removal that was cut off")


def _forgotten(verdicts: Sequence[Verdict]) -> Iterator[Leftover]:
    """Of each retired version that stays for its parts, all that isn't part of a living one; its manifest leads to the parts."""
    needed = {Path(os.path.normpath(path)) for verdict in verdicts if verdict.thing.artifact for path in _inherited(verdict.thing.artifact)}
    for verdict in (verdict for verdict in verdicts if verdict.for_parts):
        folder = verdict.thing.path
        own = {folder / MANIFEST, folder / PLAN, folder / MARK}
        files = tuple(path for path in sorted(folder.rglob("*")) if not path.is_dir() and path not in own and path not in needed)
        if files:
            size = sum(path.lstat().st_size for path in files)
            yield Leftover("forgotten", folder, size, f"{len(files):,} files: {verdict.thing.damage}", files)


def _inherited(artifact: Artifact) -> Iterator[Path]:
    for part in artifact.manifest.parts:
        if part.home:
            yield artifact.path / part.record_path
            yield from (artifact.path / file.path for file in part.files)


def _scratch(staying: Sequence[Thing], rules: Rules, now: float) -> Iterator[Leftover]:
    for thing in staying:
        work = thing.path / WORK
        if thing.artifact and not thing.holder and work.is_dir() and not work.is_symlink():
            tree = measure(work)
            if now - max(tree.newest, thing.used) >= rules.grace:
                yield Leftover("scratch", work, tree.bytes, "its artifact is committed: the run was killed before it cleaned up")


def _torn(store: Store, staying: Sequence[Thing], rules: Rules, now: float) -> Iterator[Leftover]:
    trees = [thing.tree for thing in staying if not thing.holder]
    trees += [measure(store.root / name) for name in (LEASES, ".cache") if not (store.root / name).is_symlink()]
    for path in (path for tree in trees for path in tree.torn):
        try:
            status = path.lstat()
        except FileNotFoundError:
            continue
        if now - status.st_mtime >= rules.settled:
            yield Leftover("temporary", path, status.st_size, f"a write was cut off {age(now - status.st_mtime)} ago")


def _leases(store: Store, things: Sequence[Thing], rules: Rules, now: float) -> Iterator[Leftover]:
    wanted = {store.lease_folder(thing.kind, thing.name, thing.fingerprint) for thing in things if thing.fingerprint}
    wanted |= {folder for thing in things for folder in store.leases_of_name(thing.kind, thing.name)}
    for kind in KINDS:
        for path in (path for name in folders(store.root / LEASES / kind) for path in folders(name)):
            links = any(p.is_symlink() for p in (path, path.parent, path.parent.parent))
            lease = Lease(path, nobody)
            touched = lease.touched() or path.stat().st_mtime
            if path not in wanted and not links and not lease.holder() and now - touched >= rules.grace:
                yield Leftover("lease", path, measure(path).bytes, "nothing is left of the step that it was for")


def _cache(store: Store) -> Iterator[Leftover]:
    path = store.root / CACHE
    if path.is_file() and not path.is_symlink():
        try:
            before = read_json(path)
        except ValueError:
            yield Leftover("cache", path, path.stat().st_size, "it is damaged, and only spares reading files again")
            return
        after = without_gone(before)
        if len(after) < len(before):
            size = len(canonical_json(before)) - len(canonical_json(after))
            yield Leftover("cache", path, size, f"{len(before) - len(after):,} of {len(before):,} notes are about files that are gone")


def without_gone(notes: Mapping[str, Any]) -> dict[str, Any]:
    """The notes of the stat cache whose file is there, or whose whole folder isn't: that may be a disk that comes back."""
    return {file: note for file, note in notes.items() if os.path.lexists(file) or not os.path.isdir(os.path.dirname(file))}
