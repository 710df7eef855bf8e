"""Stores of tiny artifacts and drafts of any age, made by the same calls that runs make, without the runs."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path

from schemas.artifact import MANIFEST, Artifact
from schemas.draft import Draft
from schemas.fingerprint import Identity
from schemas.lease import Lease
from schemas.store import Store

DAY = 86400.0
NOW = time.time()


def silent(holder: str) -> None:
    """Nobody to tell."""


def start(store: Store, kind: str, name: str, setting: object, inputs: Mapping[str, str] | None = None) -> Draft:
    """A draft, whose lease was taken and released as a run does it."""
    identity = Identity(kind, 1, {"setting": setting}, dict(inputs or {}), {})
    with Lease(store.lease_folder(kind, name, identity.fingerprint), silent):
        return store.start(kind, name, identity)


def make(
    store: Store, kind: str, name: str, setting: object, inputs: Mapping[str, str] | None = None, content: str | None = None
) -> Artifact:
    """An artifact of one file; its content is its setting, unless told otherwise."""
    draft = start(store, kind, name, setting, inputs)
    (draft.scratch() / "x").write_text(str(setting) if content is None else content)
    draft.add_part("work", "00000", [draft.adopt(draft.scratch() / "x", folder="data", stem="x", suffix=".txt", role="data")])
    return draft.commit(["work"])


def age(path: Path, days: float, now: float) -> None:
    """Let a folder with all in it, or a file, be as old as that."""
    for parent, _, names in os.walk(path):
        for name in (*names, "."):
            os.utime(Path(parent, name), (now - days * DAY,) * 2, follow_symlinks=False)


def age_artifact(store: Store, artifact: Artifact, days: float, now: float) -> None:
    """Let an artifact be committed, and last used, so many days ago."""
    age(artifact.path, days, now)
    age(store.lease_folder(artifact.kind, artifact.name, artifact.manifest.fingerprint), days, now)
    assert (artifact.path / MANIFEST).stat().st_mtime < now - days * DAY + 1


def old(store: Store, count: int, kind: str = "documents", name: str = "d", days: float = 30) -> list[Artifact]:
    made = [make(store, kind, name, n) for n in range(count)]
    for artifact in made:
        age_artifact(store, artifact, days, NOW)
    return made


def relative(store: Store, artifact: Artifact) -> str:
    return artifact.path.relative_to(store.root).as_posix()
