"""The model: a *root* is where a source lies: a file, a folder or a glob, on disk or at any URL that fsspec reads. Its
*folder* is what URIs of inputs are relative to; a *place* is one input: a folder and a URI.

A place is opened again and again and read from anywhere, so nothing is copied before it is needed. ``file://`` is a
path like any other.
"""

from __future__ import annotations

import glob
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO, cast

import fsspec
import xxhash

from schemas.fingerprint import digest_file

BLOCK = 1 << 18
COMPRESSED = (".gz", ".zst", ".bz2", ".xz")
ARCHIVES = (".zip", ".tar", *(f".tar{suffix}" for suffix in COMPRESSED), ".tgz", ".tbz2", ".txz", ".tzst")
"""Endings of names of archives: each holds many inputs."""


def is_packed(uri: str) -> bool:
    """Whether a name says that what is stored is compressed or an archive: it can't be read from the middle."""
    return uri.lower().endswith((*COMPRESSED, *ARCHIVES))


def is_url(root: str) -> bool:
    """Whether a root is a URL; ``file://`` counts as a path."""
    return "://" in root and not root.startswith("file://")


def absolute(root: str) -> str:
    """A root as any process can use it, wherever it runs."""
    return root if is_url(root) else os.path.abspath(root.removeprefix("file://"))


def root_folder(path: Path) -> Path:
    """The folder that URIs of a source are relative to: the path itself, a file's folder, or a glob's fixed beginning."""
    if path.is_dir():
        return path
    fixed = path
    while any(glob.has_magic(part) for part in fixed.parts) and not fixed.exists():
        fixed = fixed.parent
    return fixed if fixed != path else path.parent


@dataclass(frozen=True)
class Place:
    """One input. `name` is its path or its URL."""

    name: str
    files: Any = None
    """The fsspec file system that it lies on; None: the local disk."""
    path: str = ""
    """Its name on that file system."""

    @property
    def is_remote(self) -> bool:
        return self.files is not None

    def open(self) -> BinaryIO:
        """For reading, from anywhere if the place allows it. Raises `OSError`."""
        return cast(BinaryIO, self.files.open(self.path, "rb")) if self.is_remote else open(self.name, "rb")

    def size(self) -> int | None:
        """Bytes as stored; None if there is no such file, or its server doesn't say."""
        if not self.is_remote:
            return os.stat(self.name).st_size if os.path.isfile(self.name) else None
        try:
            return cast("int | None", self.files.info(self.path).get("size"))
        except FileNotFoundError:
            return None

    def digest(self) -> str:
        """xxh3-128 of what is stored, in hex. Reads all of it."""
        return self.measured()[1] if self.is_remote else digest_file(self.name)

    def measured(self) -> tuple[int, str]:
        """Bytes as stored and their digest, by reading them."""
        hasher, size = xxhash.xxh3_128(), 0
        with self.open() as file:
            while block := file.read(BLOCK):
                hasher.update(block)
                size += len(block)
        return size, hasher.hexdigest()


def place_of(root: str, uri: str) -> Place:
    """The place of an input of a source whose root is `root`."""
    if is_url(root):
        files, folder = remote_folder(root)
        return Place(f"{root}: {uri}", files, f"{folder}/{uri}")
    return Place(str(root_folder(Path(root.removeprefix("file://"))) / uri))


@cache
def remote_folder(root: str) -> tuple[Any, str]:
    """The file system of a URL and the folder there that URIs are relative to, as `root_folder` has it for paths."""
    files, path = fsspec.core.url_to_fs(root)
    if files.isdir(path):
        return files, path.rstrip("/")
    fixed = path
    while glob.has_magic(fixed) and not files.exists(fixed):
        fixed = fixed.rpartition("/")[0]
    return files, fixed.rstrip("/") if fixed != path else path.rpartition("/")[0]
