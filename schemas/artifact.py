"""The model: an *artifact* is an immutable folder with a `manifest.json`. A *part* is what one finished piece of a
stage wrote: *files* with their digests, ledgers by source, and *facts*, small JSON that the step wants remembered.

A version may *inherit* parts of earlier versions of its name, which lie beside it, instead of having them of its own: a *part list*
is what one version has of its own. Who holds a part is no content: it changes no content digest.

`manifest.json` holds identity and content only, so equal content gives an equal *content digest*. Its own digest
stands in it, so that any edit shows. Times, revision and attempts are in `run.json`, which no digest covers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

from schemas.fingerprint import Identity, digest_json, read_json
from schemas.ledger import Ledger, add_by_source

KINDS = ("documents", "tokenizer", "tokens", "model", "evaluation", "decision")
MANIFEST = "manifest.json"
_VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z_.-]*")

PartKey: TypeAlias = tuple[str, str]
"""Stage and key: no two parts of an artifact have the same."""


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
    home: str = ""
    """Leads from the artifact's folder to that of the version which holds the part (`../VERSION/`): empty for a part of its own."""

    @property
    def record_path(self) -> str:
        return f"{self.home}parts/{self.stage}/{self.key}.json"

    @property
    def id(self) -> PartKey:
        return self.stage, self.key

    def seen_from(self, home: str) -> Part:
        """The part as an artifact sees it that inherits it."""
        return replace(self, home=home, files=tuple(replace(file, path=home + file.path) for file in self.files))

    def as_json(self) -> dict[str, Any]:
        """The part as the version that holds it records it."""
        return {
            "stage": self.stage,
            "key": self.key,
            "files": [{**asdict(file), "path": file.path.removeprefix(self.home)} for file in self.files],
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
class PartList:
    """What an earlier version has of its own, or the version itself: `drops` go first, then `parts` come or take another's place."""

    version: str
    manifest_digest: str
    parts: tuple[Part, ...]
    drops: tuple[PartKey, ...]

    @classmethod
    def from_json(cls, value: Mapping[str, Any], version: str, where: str) -> PartList:
        """The part list of a version by its manifest. Raises `Damaged` if that was changed after it was written."""
        try:
            _check_digest(value, where)
            parts = tuple(Part.from_json(p) for p in value["parts"])
            return cls(version, value["manifest_digest"], parts, tuple((stage, key) for stage, key in value.get("drops", ())))
        except (KeyError, TypeError, ValueError) as error:
            raise Damaged(f"{where}: not a manifest: {type(error).__name__}: {error}") from error


@dataclass(frozen=True)
class Manifest:
    """Identity and content of an artifact."""

    kind: str
    name: str
    identity: Identity
    plan_digest: str
    """SHA-256 of the canonical JSON of plan.json."""
    own_parts: tuple[Part, ...]
    stages: tuple[str, ...] = field(compare=False)
    """In the order in which they are run."""
    inherits: tuple[PartList, ...] = ()
    """Oldest first."""
    drops: tuple[PartKey, ...] = ()
    """Inherited parts that are not the artifact's."""

    @property
    def fingerprint(self) -> str:
        return self.identity.fingerprint

    @cached_property
    def parts(self) -> tuple[Part, ...]:
        """All parts, inherited ones too, in order of stage as run, then key."""
        found = _laid_over([*self.inherits, PartList("", "", self.own_parts, self.drops)])
        return tuple(sorted(found.values(), key=lambda part: (self.stages.index(part.stage), key_order(part.key))))

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
        body: dict[str, Any] = {
            "format": 1,
            "kind": self.kind,
            "name": self.name,
            "identity": self.identity.as_json(),
            "fingerprint": self.fingerprint,
            "content_digest": self.content_digest,
            "plan_digest": self.plan_digest,
            "ledgers": {source: ledger.as_json() for source, ledger in self.ledgers.items()},
            "parts": [part.as_json() for part in self.own_parts],
        }
        if self.inherits:
            body["inherits"] = [{"version": one.version, "manifest_digest": one.manifest_digest} for one in self.inherits]
            body["drops"] = [list(part) for part in self.drops]
            body["stages"] = list(self.stages)
        return {**body, "manifest_digest": digest_json(body)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any], where: str, sibling: Callable[[str], Mapping[str, Any]]) -> Manifest:
        """`sibling` gives the manifest of another version of the name.

        Raises `Damaged` if any part of the manifest was changed after it was written, or one that it inherits from was.
        """
        try:
            _check_digest(value, where)
            inherits = []
            for one in value.get("inherits", ()):
                if not _VERSION.fullmatch(one["version"]):
                    raise Damaged(f"{where}: inherits from {one['version']!r}, which is no version's name")
                inherited = PartList.from_json(sibling(one["version"]), one["version"], f"{where}, which inherits from {one['version']}")
                if inherited.manifest_digest != one["manifest_digest"]:
                    raise Damaged(f"{where}: version {one['version']}, which it inherits from, is not the one that it was made with")
                inherits.append(inherited)
            manifest = cls(
                value["kind"],
                value["name"],
                Identity.from_json(value["identity"]),
                value["plan_digest"],
                parts := tuple(Part.from_json(p) for p in value["parts"]),
                tuple(value.get("stages", dict.fromkeys(part.stage for part in parts))),
                tuple(inherits),
                tuple((stage, key) for stage, key in value.get("drops", ())),
            )
            sound = manifest.as_json() == value
        except (KeyError, TypeError, ValueError) as error:
            raise Damaged(f"{where}: not a manifest: {type(error).__name__}: {error}") from error
        if not sound:
            raise Damaged(f"{where}: was changed after it was committed (its digests do not match)")
        return manifest

    def extended(
        self, version: str, without: Iterable[PartKey], own: Iterable[Part], every_version: bool
    ) -> tuple[tuple[PartList, ...], tuple[PartKey, ...]]:
        """What a child of this manifest, whose folder is called `version`, inherits and drops if it has parts `own` and not those in
        `without`. Versions of which nothing is left are not listed, except for `every_version`."""
        lists = [*self.inherits, PartList(version, self.as_json()["manifest_digest"], self.own_parts, self.drops)]
        own_list = PartList("", "", tuple(own), ())
        wanted = {part.id: part for part in self._as_siblings(version)} | {part.id: part for part in own_list.parts}
        for gone in set(without) - {part.id for part in own_list.parts}:
            del wanted[gone]
        homes = {part.home for part in wanted.values()}
        kept = tuple(one for one in lists if every_version or _home(one.version) in homes)
        return kept, tuple(part for part in _laid_over([*kept, own_list]) if part not in wanted)

    def _as_siblings(self, version: str) -> Iterable[Part]:
        """All parts as another version of the name sees them; this one's folder is called `version`."""
        return (part if part.home else part.seen_from(_home(version)) for part in self.parts)


def _check_digest(value: Mapping[str, Any], where: str) -> None:
    if value["format"] != 1:
        raise Damaged(f"{where}: manifest format {value['format']} is not known to this version (1)")
    if digest_json({k: v for k, v in value.items() if k != "manifest_digest"}) != value["manifest_digest"]:
        raise Damaged(f"{where}: was changed after it was committed (its digests do not match)")


def _home(version: str) -> str:
    return f"../{version}/" if version else ""


def _laid_over(lists: Iterable[PartList]) -> dict[PartKey, Part]:
    """What is left when part lists are laid over each other."""
    found: dict[PartKey, Part] = {}
    for one in lists:
        for gone in one.drops:
            found.pop(gone, None)
        for part in one.parts:
            found[part.id] = part.seen_from(_home(one.version)) if one.version else part
    return found


def key_order(key: str) -> list[tuple[int, int, str]]:
    """Sorts keys so that numbers in them stand in order of size."""
    return [(0, int(piece), piece) if piece.isdecimal() else (1, 0, piece) for piece in re.split(r"(\d+)", key) if piece]


@dataclass(frozen=True)
class Artifact:
    """A committed artifact in a store."""

    path: Path
    manifest: Manifest

    @classmethod
    def open(cls, path: Path) -> Artifact:
        return cls(
            path, Manifest.from_json(_read_manifest(path), str(path / MANIFEST), lambda version: _read_manifest(path.parent / version))
        )

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
        """The splits that its plan cut the work into, and before them those of the versions that it inherits from."""
        folders = [self.path.parent / one.version for one in self.manifest.inherits]
        splits = (split for folder in [*folders, self.path] for split in read_json(folder / "plan.json")["splits"])
        return list({split["ordinal"]: split for split in splits}.values())

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


def _read_manifest(folder: Path) -> Any:
    """Raises `Damaged` if there is no manifest or it is no JSON."""
    if not (folder / MANIFEST).is_file():
        raise Damaged(f"{folder}: has no {MANIFEST}, so it is not an artifact")
    try:
        return read_json(folder / MANIFEST)
    except ValueError as error:
        raise Damaged(str(error)) from error
