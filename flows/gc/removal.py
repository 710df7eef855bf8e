"""The model: to *remove* a folder is to rename it into the store's *trash* and then to empty that: the rename is atomic, so a thing is
there as a whole or not at all, wherever the removal is killed; the next sweep empties what is left of the trash.

What goes was found to go twice, before somebody was asked and after, and a version goes under the lease of its step: a run that
wants it waits, and then makes it again.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from flows.gc.examine import Findings, examine
from flows.gc.leftovers import CACHE, TRASH, Leftover, without_gone
from flows.gc.survey import Thing
from flows.gc.verdicts import Rules, Verdict
from schemas.artifact import KINDS
from schemas.draft import PLAN, Draft
from schemas.errors import RequestError
from schemas.files import remove_tree, replace, sync_folder
from schemas.fingerprint import canonical_json, read_json
from schemas.lease import Lease
from schemas.store import LEASES, Store

Json = dict[str, Any]


class _Kept(Exception):
    """Something that was to go has to stay after all; the message says why."""


def remove(store: Store, rules: Rules, findings: Findings) -> list[Json]:
    """Remove what may go by these findings and by new ones; what stays after all, as {path, why}.

    Raises `RequestError` if another sweep is at work, `OSError` naming what cannot be removed.
    """
    with Lease(store.root / LEASES / "gc", _refuse):
        now = examine(store, rules, time.time())
        agreed = {row["path"] for row in findings.rows() if not row["stays"]}
        known = {verdict.thing.path for verdict in now.verdicts}
        kept = []
        everything: list[Verdict | Leftover] = [*now.going, *now.leftovers]
        for going in everything:
            path = going.thing.path if isinstance(going, Verdict) else going.path
            name = path.relative_to(store.root).as_posix()
            if name not in agreed:
                continue
            try:
                _check_inside(store.root, path)
                if isinstance(going, Verdict):
                    _remove_version(store, going.thing, known)
                else:
                    _remove_leftover(store, going)
            except _Kept as reason:
                kept.append({"path": name, "why": str(reason)})
        return kept


def _refuse(holder: str) -> None:
    raise RequestError(f"another sweep of this store is at work: {holder}; wait until it is done")


def _in_use(holder: str) -> None:
    raise _Kept(f"a run works on it now: {holder}")


def _check_inside(root: Path, path: Path) -> None:
    """A folder that was a folder before may be a link by now."""
    for place in (path, *path.parents):
        if place == root:
            return
        if place.is_symlink():
            raise _Kept("is behind a symbolic link now, and links are not followed")
    raise _Kept(f"is not in {root}")


def _remove_version(store: Store, thing: Thing, known: set[Path]) -> None:
    if thing.fingerprint is None:  # a stub, which no run ever goes back to
        _discard(store, thing.path)
        return
    folder = store.lease_folder(thing.kind, thing.name, thing.fingerprint)
    if (Lease(folder, _in_use).touched() or 0.0) > thing.used:
        raise _Kept("a run used it just now")
    with Lease(folder, _in_use) as lease:
        if user := _new_user(store, thing, known):
            raise _Kept(f"{user.relative_to(store.root)} has just begun to use it")
        lease.check()
        _discard(store, thing.path)


def _new_user(store: Store, thing: Thing, known: set[Path]) -> Path | None:
    """A version that came after the findings and is made from the thing."""
    if thing.artifact is None:
        return None
    digest = thing.artifact.manifest.content_digest
    new = (path for kind in KINDS for name in _names(store, kind) for path in store.versions(kind, name) if path not in known)
    plans = (path for path in new if (path / PLAN).is_file())
    return next((path for path in plans if digest in Draft.open(path).identity.inputs.values()), None)


def _names(store: Store, kind: str) -> Sequence[str]:
    folder = store.root / kind
    return [path.name for path in folder.iterdir()] if folder.is_dir() else []


def _remove_leftover(store: Store, left: Leftover) -> None:
    if left.what == "lease":
        with Lease(left.path, _in_use):
            _discard(store, left.path)
    elif left.what == "scratch":
        _discard(store, left.path)
    elif left.what == "forgotten":
        _remove_files(left)
    elif left.what == "trash":
        _delete(left.path)
    elif left.path == store.root / CACHE:
        _clean_cache(left.path)
    else:
        left.path.unlink(missing_ok=True)


def _remove_files(left: Leftover) -> None:
    """Killed in the midst of it, the next sweep finds the other files; folders that are empty by then go too."""
    for path in left.files:
        path.unlink(missing_ok=True)
    for folder in sorted((path for path in left.path.rglob("*") if path.is_dir()), reverse=True):
        if not any(folder.iterdir()):
            folder.rmdir()


def _clean_cache(path: Path) -> None:
    """A run that saves its notes at this moment wins or loses as a whole: lost notes cost reading some files again."""
    try:
        replace(path, canonical_json(without_gone(read_json(path))))
    except ValueError:
        path.unlink(missing_ok=True)


def _discard(store: Store, path: Path) -> None:
    trash = store.root / TRASH
    trash.mkdir(exist_ok=True)
    _check_inside(store.root, trash)
    target = trash / f"{path.name}-{uuid.uuid4().hex}"
    os.rename(path, target)
    sync_folder(path.parent)
    sync_folder(trash)
    _delete(target)


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        remove_tree(path)
    else:
        path.unlink(missing_ok=True)
