"""The model: a *job* is the documents step at work on a draft: plan, settings, roots and part records. Every process
opens its own from the draft's path; nothing else is shared.

A *handle* says where a sorted run of rows lies: handles are all that crosses from stage to stage. An *attempt* is a
start of a piece of work, noted on disk before it, so that a piece which kills its process can be found out.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
import traceback
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.annotate import annotator_versions
from pipelines.contamination.evaluation_sets import file_digest, input_role
from pipelines.contamination.index import Index, build
from pipelines.settings import with_files
from pipelines.sources import InputChanged
from pipelines.splits import weighed_bytes
from pipelines.tombstones import ROLE, ROOT, Tombstones, record_tombstones
from schemas.arrow import read_shard
from schemas.artifact import Artifact
from schemas.draft import PARENT, Draft
from schemas.faults import explain, is_full
from schemas.files import replace
from schemas.fingerprint import canonical_json, digest_file
from schemas.recipe import Corpus, Repeats, Source

REPEATED_PARAGRAPHS, REPEATED_LINES, SHARED_LINES = "repeated_paragraphs", "repeated_lines", "lines"
"""Kinds of parts of documents that are cut (see `pipelines.dedup.parts`): of runs, of handles, and of stages."""

MAX_ATTEMPTS = 3
"""A piece that was started so often and never finished is tried alone."""

_MERGED_ENTRY = 192
"""Bytes that one digest takes while a partition is merged: its columns, their sorted copies and the order."""
_MERGED_BAND = 64
"""The same of one band of a signature."""
_MERGED_PART = 96
"""The same of one line or paragraph."""
_SHORTEST_RECORD = 64
"""Bytes; a corpus of records that are shorter on average goes over `dedup.memory`."""
_REFUSAL_BYTES = 8 << 10
_UNREADABLE = "if it can't be read for good, put a sound copy there, or leave it out (corpus.sources[].exclude)"


class Handle(NamedTuple):
    """Rows `offset` to `offset + rows` of the shard at `path` (relative to the draft, or absolute), whose digest is `digest`."""

    kind: str
    """digests, bands, signatures, dropped, losers, near or a kind of parts."""
    split: int
    """Ordinal of the split that the rows come from or are meant for."""
    path: str
    offset: int
    rows: int
    digest: str


class Job:
    """The documents step on one draft."""

    def __init__(self, draft: Draft) -> None:
        self.draft = draft
        self.splits: list[dict[str, Any]] = draft.plan["splits"]
        self.split: dict[int, dict[str, Any]] = {split["ordinal"]: split for split in self.splits}
        self.roots: dict[str, str] = draft.task["roots"]
        self.workers: int = draft.task["run"]["workers"]
        self.runner: tuple[str, dict[str, str]] = draft.task["run"].get("runner", "local"), draft.task["run"].get("runner_options", {})

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Job:
        return cls(Draft.open(path))

    @cached_property
    def settings(self) -> Corpus:
        """The recipe's section; where sources and evaluation sets lie is no part of it."""
        return with_files(self.draft.settings, self.roots)

    @cached_property
    def sources(self) -> dict[str, Source]:
        return {source.name: source for source in self.settings.sources}

    @cached_property
    def annotators(self) -> dict[str, str]:
        """Version of each annotator, by language."""
        return annotator_versions(self.settings.annotate)

    @cached_property
    def partitions(self) -> int:
        """Hash partitions of the digests, so many that merging one keeps within `dedup.memory`: a function of the plan alone."""
        text = sum(weighed_bytes(piece) for split in self.splits for piece in split["pieces"])
        dedup = self.settings.dedup
        entry = _MERGED_ENTRY + (_MERGED_BAND * dedup.near.bands if dedup.near else 0)
        most = [-text // _SHORTEST_RECORD * entry, *(-text // (at_least + 1) * _MERGED_PART for at_least in self.kinds_of_parts.values())]
        return min(1 << 12, -(min(most) // dedup.memory) or 1)

    @cached_property
    def parent(self) -> Artifact | None:
        """The version that the draft extends, if it extends one."""
        return self.draft.input(PARENT) if PARENT in self.draft.identity.inputs else None

    def is_new(self, split: pa.ChunkedArray) -> pa.ChunkedArray:
        """Whether ordinals are of splits of the draft itself; those of its ancestors are lower."""
        return pc.greater_equal(split, min(self.split))

    def ancestors(self, kind: str) -> list[Handle]:
        """The runs of all splits of the parent in their order, as the draft has them if it has them anew; of kind `dropped`, the rows that
        duplicates dropped."""
        return self._ancestors.get(kind, [])

    @cached_property
    def _ancestors(self) -> dict[str, list[Handle]]:
        found: dict[str, list[Handle]] = {}
        if (parent := self.parent) is not None:
            for inherited in parent.manifest.parts:
                anew = self.draft.part(inherited.stage, inherited.key)
                folder = parent.path if anew is None else self.draft.path
                for file in (file for file in (anew or inherited).files if file.role == "digests" and file.rows):
                    kind, path = file.path.split("/")[-2], (folder / file.path).resolve()
                    found.setdefault(kind, []).append(Handle(kind, int(inherited.key), str(path), 0, file.rows or 0, file.digest))
        return {kind: sorted(handles, key=lambda handle: handle.split) for kind, handles in found.items()}

    @cached_property
    def generations(self) -> dict[int, int]:
        """By ordinal of the parent's splits, how many versions of the chain came before the one that read them."""
        splits = self.parent.plan_splits() if self.parent is not None else ()
        return {split["ordinal"]: split.get("generation", 0) for split in splits}

    @cached_property
    def kinds_of_parts(self) -> dict[str, int]:
        """Kinds of parts that are cut, in the order in which they are looked for, with the characters of the shortest ones."""
        longer_than = self.settings.held_out.cut_shared_lines_over
        repeats = [(kind, found.min_characters) for kind in (REPEATED_PARAGRAPHS, REPEATED_LINES) if (found := self._repeats(kind))]
        return dict(repeats) | ({} if longer_than is None else {SHARED_LINES: longer_than + 1})

    def repeats(self, kind: str) -> Repeats:
        """What the recipe says of repeated paragraphs or lines, which it asks for."""
        found = self._repeats(kind)
        assert found is not None, f"{kind} are only looked for if the recipe asks for them"
        return found

    def _repeats(self, kind: str) -> Repeats | None:
        return self.settings.dedup.paragraphs if kind == REPEATED_PARAGRAPHS else self.settings.dedup.lines

    def make_evaluation_index(self) -> None:
        """Make the index of the evaluation sets, if the recipe has any and it isn't there.

        Raises `InputChanged` if a file is not the one that was planned, and `RequestError` if one can't be read.
        """
        section, folder = self.settings.decontaminate, self._evaluation_folder
        if section is None or folder.exists():
            return
        paths = {one.name: Path(self.roots[input_role(one.name)]) for one in section.sets}
        for one in section.sets:
            if file_digest(one, str(paths[one.name])) != self.draft.identity.inputs[input_role(one.name)]:
                raise InputChanged(
                    f"evaluation set {one.name!r}: {paths[one.name]}: is not the file that this run planned to read. Run again"
                )
        build(folder, section, self.settings.clean, paths)

    @cached_property
    def evaluation_index(self) -> Index | None:
        """The index of the evaluation sets; None if the recipe has none."""
        section = self.settings.decontaminate
        if section is None:
            return None
        self.make_evaluation_index()
        return Index.open(self._evaluation_folder, section)

    @cached_property
    def tombstones(self) -> Tombstones | None:
        """Those of what was forgotten, if anything was."""
        return Tombstones.read(self._tombstones_file) if ROLE in self.draft.identity.inputs else None

    def record_tombstones(self) -> None:
        """Keep the tombstones, if there are any, for the versions to come. Raises `InputChanged` if they are not those of the plan."""
        if (tombstones := self.tombstones) is not None:
            if digest_file(self._tombstones_file) != self.draft.identity.inputs[ROLE]:
                raise InputChanged(f"{self._tombstones_file}: is not the file of tombstones that this run was planned with. Run again")
            copy = self.temporary("tombstones")
            shutil.copyfile(self._tombstones_file, copy)
            record_tombstones(self.draft, copy, len(tombstones.by_id))

    @property
    def _tombstones_file(self) -> Path:
        return Path(self.roots[ROOT])

    @property
    def _evaluation_folder(self) -> Path:
        return self.draft.scratch() / "evaluation"

    def read(self, handle: Handle) -> pa.Table:
        """The rows that a handle points to, memory-mapped."""
        return read_shard(self.draft.path / handle.path).slice(handle.offset, handle.rows)

    def temporary(self, name: str) -> Path:
        """A path in the scratch folder that no other attempt writes to."""
        return self.draft.scratch() / f"{name}-{uuid.uuid4().hex}"

    @contextmanager
    def attempt(self, stage: str, key: str) -> Iterator[None]:
        """Note a start on disk before the work, and take the notes away when it is done.

        Beside that, `work/speed.jsonl` gets a line with the seconds that it took and the process that did it.
        An exception is told to whoever runs the job (see `refusal`): a runner would bury it in its own traceback.
        """
        folder = self.draft.scratch() / "attempts" / stage
        started = time.monotonic()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{key}-{uuid.uuid4().hex}").touch(exist_ok=False)
            yield
            self._forget_attempts(folder, key)
            line = {"stage": stage, "key": key, "seconds": round(time.monotonic() - started, 3), "process": os.getpid()}
            with open(self.draft.scratch() / "speed.jsonl", "ab") as speed:
                speed.write(canonical_json(line) + b"\n")
        except MemoryError as error:  # as good as killed: the piece is tried again, then alone
            less = "fewer workers, a smaller corpus.split_bytes or corpus.clean.max_document_bytes need less"
            print(f"error: {stage} {key}: out of memory ({error}); {less}", file=sys.stderr, flush=True)
            raise
        except (OSError, InputChanged) as error:
            if isinstance(error, InputChanged) or is_full(error):
                self._forget_attempts(folder, key)  # that is not the piece's doing
            else:
                traceback.print_exc()  # for the log
            told = explain(error, self.draft.path, f"{stage} {key}", _UNREADABLE) if isinstance(error, OSError) else error
            self._refuse(f"error: {told}")
            raise
        except Exception:
            self._refuse(traceback.format_exc().strip())
            raise

    @staticmethod
    def _forget_attempts(folder: Path, key: str) -> None:
        for note in folder.glob(f"{key}-*"):
            note.unlink(missing_ok=True)

    def refusal(self) -> str | None:
        """Why a piece of work could not be done, if one of this run could not: what it raised."""
        return self._refusal.read_text(errors="replace").strip() or None if self._refusal.exists() else None

    def forget_refusal(self) -> None:
        """Call this before the work; it also takes the room for a refusal, so that a full disk can't silence what says so."""
        replace(self._refusal, b" " * _REFUSAL_BYTES)

    def _refuse(self, told: str) -> None:
        told_bytes = told.encode("utf-8", "backslashreplace")[-_REFUSAL_BYTES:].ljust(_REFUSAL_BYTES)
        descriptor = os.open(self._refusal, os.O_WRONLY | os.O_CREAT, 0o644)
        try:
            os.pwrite(descriptor, told_bytes, 0)  # in place: that needs no room
        finally:
            os.close(descriptor)

    @property
    def _refusal(self) -> Path:
        return self.draft.scratch() / "refusal.txt"

    def attempts(self, stage: str) -> dict[str, int]:
        """Starts without an end, by key, of a stage's pieces."""
        counts: dict[str, int] = {}
        for note in (self.draft.scratch() / "attempts" / stage).glob("*-*"):
            key = note.name.partition("-")[0]
            counts[key] = counts.get(key, 0) + 1
        return counts


def key_of(number: int) -> str:
    """The key of a split's or partition's part records."""
    return f"{number:05d}"
