"""The model: a *draft* is an artifact in the making: a folder with a `plan.json` and no `manifest.json`.

    plan.json                    content only, committed before work: identity and splits
    task.json                    how and where: paths of inputs and source roots, run settings; rewritten by each attempt
    parts/{stage}/{key}.json     part records; the first to be created wins, another digest for the same key is an error
    work/                        scratch, removed after the commit

A draft with an input `parent`, an earlier version of its name beside it, becomes a version that inherits that one's parts.

A step runs as a process of its own on a draft and can be killed anywhere: what has a valid part record is not redone.
Data files get content-addressed names, so a repeated attempt lands on the same name with the same bytes.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from schemas.artifact import MANIFEST, Artifact, Damaged, File, Manifest, Part, PartKey, key_order
from schemas.files import create, remove_tree, replace, sync_file, sync_folder
from schemas.fingerprint import Identity, canonical_json, digest_file, digest_json, read_json
from schemas.ledger import Ledger

PARENT = "parent"
"""Role of the version that a draft extends."""
PLAN = "plan.json"
TASK = "task.json"
WORK = "work"


class Draft:
    """An open draft; see the module."""

    def __init__(self, path: Path, plan: Mapping[str, Any], task: Mapping[str, Any]) -> None:
        self.path = path
        self.plan = plan
        self.task = task

    @classmethod
    def start(cls, path: Path, kind: str, name: str, identity: Identity, splits: Sequence[Mapping[str, Any]] = ()) -> Draft:
        """Make a new draft; its plan is on disk when this returns."""
        plan = {
            "kind": kind,
            "name": name,
            "identity": identity.as_json(),
            "fingerprint": identity.fingerprint,
            "splits": [dict(s) for s in splits],
        }
        path.mkdir(parents=True)
        create(path / PLAN, canonical_json(plan))
        return cls(path, read_json(path / PLAN), {})

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Draft:
        path = Path(path)
        if not (path / PLAN).is_file():
            raise Damaged(f"{path}: has no {PLAN}, so it is not a draft")
        task = read_json(path / TASK) if (path / TASK).is_file() else {}
        return cls(path, read_json(path / PLAN), task)

    def assign(self, *, inputs: Mapping[str, Path], roots: Mapping[str, str], run: Mapping[str, Any]) -> None:
        """Write task.json for the next attempt."""
        self.task = {"inputs": {role: str(p) for role, p in inputs.items()}, "roots": dict(roots), "run": dict(run)}
        replace(self.path / TASK, canonical_json(self.task))

    @property
    def identity(self) -> Identity:
        return Identity.from_json(self.plan["identity"])

    @property
    def settings(self) -> dict[str, Any]:
        """The recipe section of this step, as JSON."""
        return dict(self.plan["identity"]["settings"])

    def input(self, role: str) -> Artifact:
        """The committed artifact that serves as `role`; `KeyError` if the step has no such input."""
        return self._inputs[role]

    def has_input(self, role: str) -> bool:
        return role in self.task["inputs"]

    @cached_property
    def _inputs(self) -> dict[str, Artifact]:
        return {role: Artifact.open(Path(p)) for role, p in self.task["inputs"].items()}

    def scratch(self) -> Path:
        """The work folder; what is in it is gone after the commit."""
        path = self.path / WORK
        path.mkdir(exist_ok=True)
        return path

    def adopt(self, finished: Path, *, folder: str, stem: str, suffix: str, role: str, rows: int | None = None) -> File:
        """Move a finished file to its content-addressed name `folder/stem-XXXXXXXX.suffix`; sync it; describe it.

        A file already there under that name has the same bytes: the new one replaces it.
        """
        sync_file(finished)
        digest = digest_file(finished)
        target = self.path / folder / f"{stem}-{digest[:8]}{suffix}"
        return self._place(finished, target, role, digest, rows)

    def adopt_as(self, finished: Path, path: str, role: str) -> File:
        """Like `adopt`, under a fixed name, for files that others know by name (`tokenizer.json`, `config.json`)."""
        sync_file(finished)
        return self._place(finished, self.path / path, role, digest_file(finished), None)

    def _place(self, finished: Path, target: Path, role: str, digest: str, rows: int | None) -> File:
        target.parent.mkdir(parents=True, exist_ok=True)
        size = finished.stat().st_size
        os.replace(finished, target)
        sync_folder(target.parent)
        return File(target.relative_to(self.path).as_posix(), role, size, digest, rows)

    def add_part(
        self,
        stage: str,
        key: str,
        files: Sequence[File] = (),
        ledgers: Mapping[str, Ledger] | None = None,
        facts: Mapping[str, Any] | None = None,
    ) -> Part:
        """Record a finished piece of work. The first record stands; a different second one raises `Damaged`."""
        part = Part(stage, key, tuple(files), dict(ledgers or {}), dict(facts or {}))
        path = self.path / part.record_path
        path.parent.mkdir(parents=True, exist_ok=True)
        content = canonical_json(part.as_json())
        if not create(path, content) and path.read_bytes() != content:
            if self.part(stage, key) is not None:
                raise Damaged(f"{path}: another attempt at this part recorded other content; the step is not deterministic")
            replace(path, content)
        return part

    def part(self, stage: str, key: str) -> Part | None:
        """The part record, if it is there and its files exist with the recorded sizes."""
        path = self.path / f"parts/{stage}/{key}.json"
        if not path.is_file():
            return None
        part = Part.from_json(read_json(path))
        present = all((self.path / f.path).is_file() and (self.path / f.path).stat().st_size == f.bytes for f in part.files)
        return part if present else None

    def parts(self, stage: str) -> list[Part]:
        """The valid part records of a stage, by key."""
        keys = sorted((p.stem for p in (self.path / "parts" / stage).glob("*.json")), key=key_order)
        return [part for key in keys if (part := self.part(stage, key)) is not None]

    def commit(self, stages: Sequence[str], without: Collection[PartKey] = ()) -> Artifact:
        """Write the manifest from the part records of `stages`, then remove the scratch.

        If there is a parent, its other stages follow, and its parts are inherited: all but those in `without`, and those whose stage
        and key a part of the draft has. Raises `Damaged` if a ledger does not balance or a stage has no parts; nothing is committed then.
        """
        kept: list[Part] = []
        parent = self.input(PARENT) if PARENT in self.identity.inputs else None
        if parent is not None and parent.manifest.content_digest != self.identity.inputs[PARENT]:
            raise Damaged(f"{parent.path}: is not the version that {self.path} was planned to extend; nothing is committed")
        stages = tuple(dict.fromkeys([*stages, *(parent.manifest.stages if parent is not None else ())]))
        for stage in stages:
            parts = self.parts(stage)
            if not parts and parent is None:
                raise Damaged(f"{self.path}: stage {stage!r} left no part record; nothing is committed")
            kept += [Part(p.stage, p.key, tuple(f for f in p.files if f.role != WORK), p.ledgers, p.facts) for p in parts]
        inherits, drops = parent.manifest.extended(parent.version, without, kept, self._asks(parent)) if parent is not None else ((), ())
        name, plan_digest = self.plan["name"], digest_json(self.plan)
        manifest = Manifest(self.plan["kind"], name, self.identity, plan_digest, tuple(kept), stages, inherits, drops)
        problems = [f"source {source}: {p}" for source, ledger in manifest.ledgers.items() for p in ledger.imbalances()]
        if problems:
            raise Damaged(f"{self.path}: the ledger does not balance, nothing is committed: {'; '.join(problems)}")
        if not create(self.path / MANIFEST, canonical_json(manifest.as_json())):
            raise Damaged(f"{self.path / MANIFEST}: was already there")
        self.clean()
        return Artifact(self.path, manifest)

    def _asks(self, parent: Artifact) -> bool:
        """Whether whoever extends this asks earlier versions for splits that were read, also if no part of them is left."""
        return self.plan["kind"] == "documents" and not _ordinals(parent.plan_splits()) <= _ordinals(self.plan["splits"])

    def clean(self) -> None:
        """Remove what only the making needed: the scratch, and part records and files of role `work`."""
        kept = {p.record_path for p in Artifact.open(self.path).manifest.own_parts}
        for record in (self.path / "parts").glob("*/*.json"):
            part = Part.from_json(read_json(record))
            for file in part.files:
                if file.role == WORK:
                    (self.path / file.path).unlink(missing_ok=True)
            if record.relative_to(self.path).as_posix() not in kept:
                record.unlink()
        remove_tree(self.path / WORK)
        self._remove_strays()

    def _remove_strays(self) -> None:
        """Remove data files of attempts that were adopted and never recorded, because another one won."""
        listed = {file.path for part in Artifact.open(self.path).manifest.own_parts for file in part.files}
        for folder in {Path(path).parts[0] for path in listed if "/" in path}:
            for path in (self.path / folder).rglob("*"):
                if path.is_file() and path.relative_to(self.path).as_posix() not in listed:
                    path.unlink()


def _ordinals(splits: Sequence[Mapping[str, Any]]) -> set[int]:
    return {split["ordinal"] for split in splits}
