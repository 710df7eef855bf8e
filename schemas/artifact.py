"""The model: an *artifact* is an immutable folder with a `manifest.json`. A *part* is what one finished piece of a
stage wrote: *files* with their digests, ledgers by source, and *facts*, small JSON that the step wants remembered.

`manifest.json` holds identity and content only, so equal content gives an equal *content digest*. Its own digest
stands in it, so that any edit shows. Times, revision and attempts are in `run.json`, which no digest covers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from schemas.fingerprint import Identity, digest_json, read_json
from schemas.ledger import Ledger, add_by_source

KINDS = ("documents", "tokenizer", "tokens", "model", "evaluation")
MANIFEST = "manifest.json"


class Damaged(Exception):
    """A file of an artifact is missing or is not what its manifest says; the message names the file."""


@dataclass(frozen=True)
class File:
    """One file of an artifact; `path` is relative to the artifact's folder."""

    path: str
    role: str
    bytes: int
    digest: str
    """xxh3-128 in hex."""
    rows: int | None = None


@dataclass(frozen=True)
class Part:
    """What one finished piece of a stage wrote."""

    stage: str
    key: str
    files: tuple[File, ...] = ()
    ledgers: Mapping[str, Ledger] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def record_path(self) -> str:
        return f"parts/{self.stage}/{self.key}.json"

    def as_json(self) -> dict[str, Any]:
        return {
            "stage": self.stage,
            "key": self.key,
            "files": [asdict(f) for f in self.files],
            "ledgers": {source: ledger.as_json() for source, ledger in sorted(self.ledgers.items())},
            "facts": dict(self.facts),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Part:
        return cls(
            value["stage"],
            value["key"],
            tuple(File(**f) for f in value["files"]),
            {source: Ledger.from_json(ledger) for source, ledger in value["ledgers"].items()},
            value["facts"],
        )


@dataclass(frozen=True)
class Manifest:
    """Identity and content of an artifact."""

    kind: str
    name: str
    identity: Identity
    plan_digest: str
    """SHA-256 of the canonical JSON of plan.json."""
    parts: tuple[Part, ...]
    """In order of stage as run, then key."""

    @property
    def fingerprint(self) -> str:
        return self.identity.fingerprint

    @cached_property
    def content_digest(self) -> str:
        """Digest of what is in the artifact, whatever settings made it; downstream fingerprints use it."""
        return digest_json({"kind": self.kind, "parts": [part.as_json() for part in self.parts]})

    @cached_property
    def ledgers(self) -> dict[str, Ledger]:
        """By source, added up over the parts."""
        return add_by_source([part.ledgers for part in self.parts])

    def files(self, role: str | None = None) -> list[File]:
        return [file for part in self.parts for file in part.files if role in (None, file.role)]

    def as_json(self) -> dict[str, Any]:
        body = {
            "format": 1,
            "kind": self.kind,
            "name": self.name,
            "identity": self.identity.as_json(),
            "fingerprint": self.fingerprint,
            "content_digest": self.content_digest,
            "plan_digest": self.plan_digest,
            "ledgers": {source: ledger.as_json() for source, ledger in self.ledgers.items()},
            "parts": [part.as_json() for part in self.parts],
        }
        return {**body, "manifest_digest": digest_json(body)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any], where: str) -> Manifest:
        """Raises `Damaged` if any part of the manifest was changed after it was written."""
        try:
            body = {k: v for k, v in value.items() if k != "manifest_digest"}
            if value["format"] != 1:
                raise Damaged(f"{where}: manifest format {value['format']} is not known to this version (1)")
            manifest = cls(
                value["kind"],
                value["name"],
                Identity.from_json(value["identity"]),
                value["plan_digest"],
                tuple(Part.from_json(p) for p in value["parts"]),
            )
            sound = digest_json(body) == value["manifest_digest"] and manifest.as_json() == value
        except (KeyError, TypeError, ValueError) as error:
            raise Damaged(f"{where}: not a manifest: {type(error).__name__}: {error}") from error
        if not sound:
            raise Damaged(f"{where}: was changed after it was committed (its digests do not match)")
        return manifest


@dataclass(frozen=True)
class Artifact:
    """A committed artifact in a store."""

    path: Path
    manifest: Manifest

    @classmethod
    def open(cls, path: Path) -> Artifact:
        where = path / MANIFEST
        if not where.is_file():
            raise Damaged(f"{path}: has no {MANIFEST}, so it is not an artifact")
        try:
            value = read_json(where)
        except ValueError as error:
            raise Damaged(str(error)) from error
        return cls(path, Manifest.from_json(value, str(where)))

    @property
    def kind(self) -> str:
        return self.manifest.kind

    @property
    def name(self) -> str:
        return self.manifest.name

    @property
    def version(self) -> str:
        return self.path.name

    @property
    def reference(self) -> str:
        return f"{self.kind}/{self.name}@{self.version}"

    def paths(self, role: str) -> list[Path]:
        return [self.path / file.path for file in self.manifest.files(role)]

    def facts(self, stage: str) -> Mapping[str, Any]:
        """The facts of the only part of `stage`."""
        found = [part.facts for part in self.manifest.parts if part.stage == stage]
        if len(found) != 1:
            raise KeyError(f"{self.reference} has {len(found)} parts of stage {stage!r}, not one")
        return found[0]

    def plan_splits(self) -> list[dict[str, Any]]:
        """The splits that its plan cut the work into."""
        return list(read_json(self.path / "plan.json")["splits"])

    def missing(self) -> list[str]:
        """Files that are absent or of another size than recorded (digests are for `audit`)."""
        problems = []
        for file in self.manifest.files():
            path = self.path / file.path
            if not path.is_file():
                problems.append(f"{path}: is missing")
            elif path.stat().st_size != file.bytes:
                problems.append(f"{path}: has {path.stat().st_size:,} bytes, recorded were {file.bytes:,}")
        return problems
