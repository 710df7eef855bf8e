"""The model: a *store* is the folder where artifacts live, as `{kind}/{name}/{UTC time}-{first 8 of the fingerprint}`.

A folder there with a manifest is an artifact; one with a plan alone is a *draft* that some run left unfinished.
A *reference* is `kind/name[@version]`; without a version it means the latest one, and of models `@champion` means the champion's of that
name. Versions that are retired, since documents of theirs were forgotten, are passed by.
"""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from schemas.artifact import KINDS, MANIFEST, Artifact, Damaged
from schemas.champion import ALIAS, champion, no_champion
from schemas.draft import PLAN, Draft
from schemas.errors import RequestError
from schemas.fingerprint import Identity
from schemas.forgotten import is_retired, read_mark
from schemas.recipe.names import FINETUNED
from schemas.recipe.section import NAMES, is_name

_TIME = "%Y%m%dT%H%M%S%fZ"
"""In a version, of UTC."""
LEASES = ".leases"
"""The folder of leases in a store."""


class NotFound(RequestError):
    """A reference that names no artifact that can be read; the message says what there is."""


class Store:
    """A store in a local folder. Other places need a create that fails if the object exists, and are refused."""

    def __init__(self, location: str | Path) -> None:
        text = str(location)
        scheme, separator, rest = text.partition("://")
        if separator and scheme != "file":
            raise RequestError(
                f"store {text!r}: only a local folder is supported; {scheme!r} has no atomic create here, and without it two "
                "runs can both commit"
            )
        self.root = Path(rest if separator else text)

    def versions(self, kind: str, name: str) -> list[Path]:
        """Folders of a name, artifacts and drafts, oldest first."""
        folder = self.root / kind / name
        return sorted(p for p in folder.iterdir() if p.is_dir()) if folder.is_dir() else []

    def artifacts(self, kind: str | None = None, name: str | None = None) -> Iterator[Artifact]:
        """Committed artifacts with a sound manifest, oldest first within a name; `damaged` names the others."""
        for path in self._committed(kind, name):
            with contextlib.suppress(Damaged):
                yield Artifact.open(path)

    def newest_first(self, kind: str, name: str) -> Iterator[Artifact]:
        """Committed artifacts of a name, opened one by one as they are asked for. Raises `Damaged` at an unsound manifest."""
        committed = (path for path in reversed(self.versions(kind, name)) if (path / MANIFEST).is_file())
        yield from (Artifact.open(path) for path in committed if not is_retired(path))

    def damaged(self) -> list[str]:
        """What is wrong with the manifests that cannot be trusted."""
        findings = []
        for path in self._committed(None, None):
            try:
                Artifact.open(path)
            except Damaged as error:
                findings.append(str(error))
        return findings

    def _committed(self, kind: str | None, name: str | None) -> Iterator[Path]:
        for k in KINDS if kind is None else (kind,):
            folder = self.root / k
            names = sorted(p.name for p in folder.iterdir() if p.is_dir()) if folder.is_dir() else []
            for n in names if name is None else (name,):
                yield from (p for p in self.versions(k, n) if (p / MANIFEST).is_file() and not is_retired(p))

    def committed(self, kind: str, name: str, fingerprint: str) -> Iterator[Artifact]:
        """The artifacts with this fingerprint whose manifest is sound, newest first."""
        for path in self._with(kind, name, fingerprint):
            if (path / MANIFEST).is_file():
                with contextlib.suppress(Damaged):
                    yield Artifact.open(path)

    def unfinished(self, kind: str, name: str, fingerprint: str) -> Draft | None:
        """The newest draft with this fingerprint."""
        for path in self._with(kind, name, fingerprint):
            if (path / PLAN).is_file() and not (path / MANIFEST).is_file():
                return Draft.open(path)
        return None

    def _with(self, kind: str, name: str, fingerprint: str) -> list[Path]:
        found = [p for p in self.versions(kind, name) if p.name.endswith(f"-{fingerprint[:8]}")]
        living = (p for p in reversed(found) if (p / PLAN).is_file() and not is_retired(p))
        return [p for p in living if Draft.open(p).plan["fingerprint"] == fingerprint]

    def start(
        self, kind: str, name: str, identity: Identity, splits: Sequence[Mapping[str, Any]] = (), in_place_of: str | None = None
    ) -> Draft:
        """Start a draft under a new version: of now, or beside one that it takes the place of, so that what is newer stays newer. Raises
        `RequestError` for a name that is none, before it is a path."""
        if kind not in KINDS or not is_name(name):
            raise RequestError(f"{kind}/{name!r}: is no name of an artifact: {NAMES}")
        time = datetime.datetime.now(datetime.UTC)
        if in_place_of is not None:
            time = datetime.datetime.strptime(in_place_of.partition("-")[0], _TIME)
        while (path := self.root / kind / name / f"{time:{_TIME}}-{identity.fingerprint[:8]}").exists():
            time += datetime.timedelta(microseconds=1)  # a run was killed before it had a plan, or what it made has lost files
        return Draft.start(path, kind, name, identity, splits)

    def lease_folder(self, kind: str, name: str, fingerprint: str) -> Path:
        """Where the lease of a step lies that makes an artifact with this fingerprint."""
        return self.root / LEASES / kind / name / fingerprint[:16]

    def leases_of_name(self, kind: str, name: str) -> tuple[Path, Path]:
        """Where the leases lie of a whole name, in the order in which they are taken: that of who extends its newest version, for all of
        the work, and that of who commits a version."""
        chain, commit = (self.root / LEASES / kind / name / lease for lease in ("chain", "commit"))
        return chain, commit

    def find(self, reference: str) -> Artifact:
        """The artifact that `kind/name[@version]` names: the latest that matches. A version may be cut to its start or its end."""
        name_part, _, version = reference.partition("@")
        kind, _, name = name_part.partition("/")
        if kind not in KINDS or not is_name(name):
            raise NotFound(f"{reference!r} is not kind/name[@version]; kinds are {', '.join(KINDS)}")
        if version == ALIAS:
            return self.find(self._champion(reference, kind, name))
        paths = [p for p in self.versions(kind, name) if (p / MANIFEST).is_file()]
        if not paths:
            known = sorted({f"{a.kind}/{a.name}" for a in self.artifacts()})
            raise NotFound(f"{reference!r} is not in {self.root}; there is {', '.join(known) or 'nothing yet'}")
        matches = [p for p in paths if not version or p.name.startswith(version) or p.name.endswith(f"-{version}")]
        if not matches:
            raise NotFound(f"{reference!r}: no such version of {kind}/{name}; there is {', '.join(p.name for p in paths)}")
        living = [p for p in matches if not is_retired(p)]
        if not living:
            mark = read_mark(matches[-1])
            raise NotFound(f"{reference!r} is retired: documents of it were forgotten; see {mark.by if mark else 'the versions after it'}")
        return Artifact.open(living[-1])

    def _champion(self, reference: str, kind: str, name: str) -> str:
        """The champion's model that `model/NAME@champion` or `model/NAME-finetuned@champion` stands for."""
        if kind != "model":
            raise NotFound(f"{reference!r}: only models have a champion: say model/{name}@{ALIAS}")
        for recipe, step in ((name, "pretrain"), (name.removesuffix(FINETUNED), "finetune")):
            if (reign := champion(self.root, recipe)) is not None and step in reign.models:
                return reign.models[step]
        recipe = name.removesuffix(FINETUNED)
        if recipe != name and (reign := champion(self.root, recipe)) is not None:
            raise NotFound(f"{reference!r}: the champion of {recipe}, reign {reign.number}, has no fine-tuned model: say {recipe}@{ALIAS}")
        raise NotFound(f"{reference!r}: {no_champion(recipe)}")
