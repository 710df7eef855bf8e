"""The model: a *root* is where a source lies: a file, a folder or a glob, on disk or at any URL that fsspec reads. Its
*folder* is what URIs of inputs are relative to; a *place* is one input: a folder and a URI.

A place is opened again and again and read from anywhere, so nothing is copied before it is needed. ``file://`` is a
path like any other.
"""

from __future__ import annotations

import errno
import glob
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO, cast

import fsspec
import xxhash

BLOCK = 1 << 18
COMPRESSED = (".gz", ".zst", ".bz2", ".xz")
ARCHIVES = (".zip", ".tar", *(f".tar{suffix}" for suffix in COMPRESSED), ".tgz", ".tbz2", ".txz", ".tzst")
"""Endings of names of archives: each holds many inputs."""


_TAGS = ("ETag", "etag", "md5Hash", "Content-MD5", "mtime", "LastModified", "last_modified", "Last-Modified", "updated", "created")
"""What file systems call that which changes with a file's content."""


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
        """For reading from anywhere, if the place allows it. Raises `OSError`."""
        if self.is_remote:
            with as_os_error(self.name):
                return cast(BinaryIO, self.files.open(self.path, "rb"))
        return open(self.name, "rb")

    def blocks(self, start: int = 0) -> Iterator[bytes]:
        """What is stored, from offset `start` on. Raises `OSError`."""
        with as_os_error(self.name), self._open_at(start) as file:
            while block := file.read(BLOCK):
                yield block

    def _open_at(self, start: int) -> BinaryIO:
        if start or not is_web(self.files):
            file = self.open()
            if start == 0 or allows_seeking(file):
                file.seek(start)
                return file
            file.close()
        # Streamed: a server need not know of ranges, and a whole file comes in one answer.
        file = cast(BinaryIO, self.files.open(self.path, "rb", block_size=0) if is_web(self.files) else self.open())
        while start and (block := file.read(min(start, BLOCK))):
            start -= len(block)
        return file

    def size(self) -> int | None:
        """Bytes as stored; None if there is no such file, or its server doesn't say."""
        if not self.is_remote:
            return os.stat(self.name).st_size if os.path.isfile(self.name) else None
        with as_os_error(self.name):
            size: int | None = self.files.info(self.path).get("size")
            return size

    def exists(self) -> bool:
        """Whether there is anything at the place."""
        return exists(self.files, self.path) if self.is_remote else os.path.lexists(self.name)

    def stamp(self) -> list[Any] | None:
        """What changes when the place does: its size, and its time or its server's tag; None if there is nothing of the kind."""
        if not self.is_remote:
            status = os.stat(self.name)
            return [status.st_size, status.st_mtime_ns]
        with as_os_error(self.name):
            info = self.files.info(self.path)
        tag = next((info[key] for key in _TAGS if info.get(key)), None)
        return None if tag is None or info.get("size") is None else [info["size"], str(tag)]

    def measured(self) -> tuple[int, str]:
        """Bytes as stored and their xxh3-128 in hex, by reading them. Raises `OSError`."""
        hasher, size = xxhash.xxh3_128(), 0
        for block in self.blocks():
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
    with as_os_error(root):
        if is_folder(files, path):
            return files, path.rstrip("/")
        fixed = path
        while glob.has_magic(fixed) and not exists(files, fixed):
            fixed = fixed.rpartition("/")[0]
        return files, fixed.rstrip("/") if fixed != path else path.rpartition("/")[0]


def is_folder(files: Any, path: str) -> bool:
    """Whether a remote path is a folder. A web server knows none: there, a name that ends with a slash is one."""
    return path.endswith("/") if is_web(files) else bool(files.isdir(path))


def is_web(files: Any) -> bool:
    """Whether a file system is a web server."""
    return files is not None and "http" in files.protocol


def exists(files: Any, path: str) -> bool:
    """Whether there is something at a remote path; fsspec's own check asks a web server for all of it."""
    try:
        files.info(path)
    except FileNotFoundError:
        return False
    return True


def allows_seeking(file: BinaryIO) -> bool:
    """Whether a file can be read from its end; a web server tells when it is tried."""
    try:
        return file.seek(-1, os.SEEK_END) >= 0 and len(file.read(1)) == 1
    except (ValueError, OSError, NotImplementedError):
        return False


@contextmanager
def as_os_error(name: str) -> Iterator[None]:
    """Errors of remote file systems as `OSError` that names the place, whatever library they come from."""
    try:
        with naming(name):
            yield
    except (OSError, MemoryError):
        raise
    except Exception as error:
        raise OSError(errno.EIO, f"{type(error).__name__}: {error}", name) from error


@contextmanager
def naming(name: str) -> Iterator[None]:
    """Give an `OSError` that names no file this name: what fails while it is read doesn't say where."""
    try:
        yield
    except OSError as error:
        if error.filename is not None:
            raise
        number = error.errno or (errno.ENOENT if isinstance(error, FileNotFoundError) else errno.EIO)  # it decides the type
        raise OSError(number, error.strerror or f"{type(error).__name__}: {error}", name) from error
