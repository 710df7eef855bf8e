"""The model: a *listing* holds every file of every source, in canonical order: source priority, then URI. A *split* is
a unit of input work: *pieces* that follow each other in that order, each a file or a byte range of one.

Both are pure functions of the files and of what the recipe says, never of workers or of the order in which a file
system lists its folders. A *stat cache* remembers digests by (path or URL, size, time of change or tag), so that a second plan
over the same files reads none of them.
"""

from __future__ import annotations

import contextlib
import errno
import fnmatch
import glob
import os
import stat
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pipelines.places import Place, is_packed, is_url, place_of, root_folder
from pipelines.remote import find_remote
from pipelines.settling import Settling
from schemas.errors import RequestError
from schemas.files import replace
from schemas.fingerprint import canonical_json, digest_json, read_json
from schemas.recipe import Corpus, Source

_INFLATION = 4
"""Bytes of text for a byte of compressed input."""
_CUT = ("jsonl", "tsv", "parquet", "arrow", "mediawiki")
"""Formats, beside lines of text, whose files can be read from the middle."""
_UNSETTLED = 2_000_000_000
"""Nanoseconds: a file changed this recently could change again without a new modification time, so it isn't cached."""


class InputError(RequestError):
    """A source cannot be read as the recipe says. The message names the source and the place, and says what to do."""


@dataclass(frozen=True)
class InputFile:
    """A file to read; `bytes` as stored, `digest` (xxh3-128, hex) of what is stored."""

    source: str
    uri: str
    bytes: int
    digest: str


@dataclass(frozen=True)
class Listing:
    """All inputs of a corpus, each group in canonical order."""

    files: tuple[InputFile, ...]
    empty: tuple[tuple[str, str], ...]
    """(source, uri) of files without a byte."""
    unreadable: tuple[tuple[str, str, str], ...]
    """(source, uri, why) of files and folders that could not be read."""
    waiting: tuple[tuple[str, str, str], ...] = ()
    """(source, uri, why) of files that are not settled: they are no part of it yet."""

    @cached_property
    def digest(self) -> str:
        """Digest of what was found: names, contents, and what could not be read."""
        files = [[f.source, f.uri, f.digest] for f in self.files]
        return digest_json({"files": files, "empty": self.empty, "unreadable": self.unreadable})


def list_inputs(settings: Corpus, roots: Mapping[str, str], stat_cache: Path | None = None, settling: Settling | None = None) -> Listing:
    """List the files of all sources with their digests; `roots` gives the path (file, folder or glob) of each source.

    With `settling` files that are not settled wait, and a source may hold no file yet. Raises `InputError` for a source whose path is
    missing, can't be listed, or (without `settling`) holds no file that the recipe includes.
    """
    found = [
        (source, roots[source.name], _find(source, roots[source.name], may_be_empty=settling is not None)) for source in settings.sources
    ]
    known = _StatCache(stat_cache)
    files: list[InputFile] = []
    empty: list[tuple[str, str]] = []
    unreadable: list[tuple[str, str, str]] = []
    waiting: list[tuple[str, str, str]] = []
    for source, root, entries in found:
        for uri, problem in sorted(entries.items()):
            if settling is not None and settling.is_marker(uri):
                continue
            try:
                if not _is_text(uri):
                    raise OSError(errno.EILSEQ, "its name is not UTF-8")
                if settling is not None and (why := _why_waits(settling, root, uri, problem)) is not None:
                    waiting.append((source.name, uri, why))
                    continue
                if problem is not None:
                    raise OSError(errno.EIO, problem)
                size, digest, before = known.digest(place_of(root, uri))
                if settling is not None and place_of(root, uri).stamp() != before:
                    waiting.append((source.name, uri, "was changed while it was looked at"))
                    continue
            except OSError as error:
                unreadable.append((source.name, uri.encode("utf-8", "backslashreplace").decode(), error.strerror or str(error)))
                continue
            if size == 0:
                empty.append((source.name, uri))
            else:
                files.append(InputFile(source.name, uri, size, digest))
    known.save()
    return Listing(tuple(files), tuple(empty), tuple(unreadable), tuple(waiting))


def _why_waits(settling: Settling, root: str, uri: str, problem: str | None) -> str | None:
    try:
        return settling.why_waits(root, uri)
    except FileNotFoundError:
        return None if problem is not None else "was taken away while it was looked at"


def plan_splits(listing: Listing, settings: Corpus, first: int = 0, generation: int = 0) -> list[dict[str, Any]]:
    """Pack the files, in canonical order, into splits of about `settings.split_bytes` bytes as stored.

    A split is ``{ordinal, bytes, pieces: [{source, uri, start, end, size, digest}], empty, unreadable}``; `size` and
    `digest` are the whole file's. Uncompressed files whose records can be found from anywhere are cut where a split is full;
    others are never cut.
    Inputs that hold nothing to read stand in the first split, so that a ledger can count them.

    Ordinals begin at `first`; splits of a version that extends others have a `generation`, the number of those.
    """
    numbered = {"generation": generation} if generation else {}
    cut = {source.name for source in settings.sources if source.format in _CUT or (source.format == "txt" and source.unit == "line")}
    packs: list[list[dict[str, Any]]] = [[]]
    room = settings.split_bytes
    for file in listing.files:
        cuttable = file.source in cut and not is_packed(file.uri)
        start = 0
        while start < file.bytes:
            left = file.bytes - start
            if packs[-1] and (room <= 0 or (not cuttable and left > room)):
                packs.append([])
                room = settings.split_bytes
            end = start + min(left, room) if cuttable else file.bytes
            piece = {"source": file.source, "uri": file.uri, "start": start, "end": end, "size": file.bytes, "digest": file.digest}
            packs[-1].append(piece)
            room -= end - start
            start = end
    splits: list[dict[str, Any]] = []
    for ordinal, pieces in enumerate(packs, first):
        total = sum(piece["end"] - piece["start"] for piece in pieces)
        splits.append({"ordinal": ordinal, "bytes": total, "pieces": pieces, "empty": [], "unreadable": []} | numbered)
    splits[0]["empty"] = [list(entry) for entry in listing.empty]
    splits[0]["unreadable"] = [list(entry) for entry in listing.unreadable]
    return splits


def weighed_bytes(piece: Mapping[str, Any]) -> int:
    """Bytes of text that a piece of a split may hold, by its plan alone."""
    return int((piece["end"] - piece["start"]) * (_INFLATION if is_packed(piece["uri"]) else 1))


def _find(source: Source, root: str, *, may_be_empty: bool) -> dict[str, str | None]:
    """Relative POSIX path of each input of a source, and why it can't be read (None: it can)."""
    path = Path(root.removeprefix("file://"))
    try:
        if is_url(root):
            entries = find_remote(source, root)
        elif path.is_dir():
            os.listdir(path)
            entries = dict(_below(path, source))
        elif path.exists():
            real = path.resolve()  # a link that the recipe names itself is meant
            entries = {path.name: _refusal(real, real.parent)}
        elif glob.has_magic(root):
            entries = dict(_matches(path, source))
        else:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), root)
    except OSError as error:
        raise InputError(
            f"source {source.name!r}: {root}: {error.strerror or error} (seen from {os.getcwd()}). "
            "Correct corpus.sources[].path in the recipe, or put the data there"
        ) from error
    if not entries and not may_be_empty:
        wanted = f"include {list(source.include)}" + (f", exclude {list(source.exclude)}" if source.exclude else "")
        raise InputError(f"source {source.name!r}: no file at {root} matches ({wanted}). Correct its path, include or exclude")
    return entries


def _below(folder: Path, source: Source) -> Iterator[tuple[str, str | None]]:
    refused: list[OSError] = []
    inside = folder.resolve()
    for parent, folders, names in os.walk(folder, onerror=refused.append):
        relative = os.path.relpath(parent, folder)
        prefix = "" if relative == "." else Path(relative).as_posix() + "/"
        folders[:] = [name for name in folders if not _excluded(prefix + name, source)]
        for name in folders:  # os.walk does not go through links; one that leads out is worth a word
            if os.path.islink(os.path.join(parent, name)) and (problem := _refusal(Path(parent, name), inside)):
                yield prefix + name, problem
        for name in names:
            if any(fnmatch.fnmatchcase(name, pattern) for pattern in source.include) and not _excluded(prefix + name, source):
                yield prefix + name, _refusal(Path(parent, name), inside)
    for error in refused:
        yield Path(os.path.relpath(error.filename, folder)).as_posix(), error.strerror or str(error)


def _matches(pattern: Path, source: Source) -> Iterator[tuple[str, str | None]]:
    folder = root_folder(pattern)
    for match in glob.glob(str(pattern), recursive=True):
        uri = Path(os.path.relpath(match, folder)).as_posix()
        if not os.path.isdir(match) and not _excluded(uri, source):
            yield uri, _refusal(Path(match), folder.resolve())


def _excluded(uri: str, source: Source) -> bool:
    return any(fnmatch.fnmatchcase(uri, pattern) for pattern in source.exclude)


def _refusal(path: Path, inside: Path) -> str | None:
    """Why a file is not read, if it isn't: links out of the root or in a circle, pipes and devices."""
    try:
        real = path.resolve(strict=True)
        if path.is_symlink() and not real.is_relative_to(inside):
            return "a symbolic link that leads out of the source's folder"
        if path.is_symlink() or real.is_dir() or stat.S_ISREG(real.stat().st_mode):
            return None
        return "not a regular file"
    except RuntimeError:
        return os.strerror(errno.ELOOP)  # as pathlib tells it before Python 3.13, with the path of this machine in its words
    except OSError as error:
        return error.strerror or type(error).__name__


def _is_text(name: str) -> bool:
    """Whether a name of the file system is UTF-8, as columns and JSON need it."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


class _StatCache:
    """Digests by absolute path or URL, size and time of change or server's tag; without a path it remembers nothing."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._before: dict[str, list[Any]] = {}
        if path is not None and path.is_file():
            with contextlib.suppress(ValueError):  # a damaged cache only costs reading the files again
                self._before = read_json(path)
        self._now: dict[str, list[Any]] = {}

    def digest(self, place: Place) -> tuple[int, str, list[Any] | None]:
        """Size in bytes, xxh3-128 in hex, and the stamp before it was read. Raises `OSError`."""
        stamp = place.stamp()
        if stamp is None:
            return *place.measured(), None
        key = place.files.unstrip_protocol(place.path) if place.is_remote else os.path.abspath(place.name)
        key = os.fsencode(key).decode("utf-8", "backslashreplace")
        entry = self._before.get(key)
        if entry is None or entry[:2] != stamp:
            size, digest = place.measured()
            entry = [size, stamp[1], digest]
        if place.is_remote or time.time_ns() - stamp[1] > _UNSETTLED:
            self._now[key] = entry
        return entry[0], entry[2], stamp

    def save(self) -> None:
        """Keep what other runs noted, too: one cache serves all recipes of a store."""
        merged = {**self._before, **self._now}
        if self._path is not None and merged != self._before:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            replace(self._path, canonical_json(merged))
