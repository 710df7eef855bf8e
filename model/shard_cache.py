"""The model: a *shard cache* is a local folder that holds copies of remote files, each under its digest, and never more bytes
than its *limit*: what was used longest ago goes first. Any number of processes share it.

    {digest}         a whole file; its time of modification is that of its last use
    {digest}.part    one that is being downloaded, of its full size from the start: so its bytes count as taken
    {digest}.lock    held by whoever downloads or opens it;  lock: held by whoever makes room

Locks are the kernel's (`flock`), so those of a killed process are free. A file that goes stays readable to who mapped it.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Protocol

import xxhash

from schemas.artifact import Damaged, File
from schemas.errors import RequestError

_BLOCK = 1 << 20
WAIT_SECONDS = 0.02

TRIES = 2
"""Downloads of a file whose bytes are not what they should be, before it is an error."""


class Reader(Protocol):
    """An open remote file."""

    def read(self, size: int, /) -> bytes: ...
    def close(self) -> None: ...


class ShardCache:
    """A bounded folder of downloaded files; see the module."""

    def __init__(self, folder: Path, limit: int) -> None:
        """``limit``: bytes that the files may take together."""
        self.folder, self.limit = folder, limit
        folder.mkdir(parents=True, exist_ok=True)

    def fetch(self, file: File, where: str, open_remote: Callable[[], Reader]) -> BinaryIO:
        """The local copy of a remote file, open to read; downloaded and checked if there is none.

        Raises Damaged naming ``where`` if its bytes are not those of the manifest, RequestError if it can't fit.
        """
        if file.bytes > self.limit:
            raise RequestError(
                f"{where}: its {file.bytes:,} bytes do not fit the shard cache {self.folder} of {self.limit:,} bytes: allow more"
            )
        target = self.folder / file.digest
        with self._lock(f"{file.digest}.lock"):
            if not target.exists():
                self._download(file, where, open_remote, target)
            os.utime(target)
            return open(target, "rb")

    def discard(self, file: File) -> None:
        """Remove the copy of a file: its bytes on disk have changed."""
        (self.folder / file.digest).unlink(missing_ok=True)

    def bytes(self) -> int:
        """Bytes that the files take now."""
        with self._lock("lock"):
            return sum(size for _, size, _ in self._entries())

    def _download(self, file: File, where: str, open_remote: Callable[[], Reader], target: Path) -> None:
        part = target.with_suffix(".part")
        found = ""
        try:
            for _ in range(TRIES):
                self._reserve(part, file.bytes)
                if (found := _copy(open_remote(), part, file.bytes)) == file.digest:
                    with self._lock("lock"):
                        os.replace(part, target)
                    return
        finally:
            part.unlink(missing_ok=True)
        raise Damaged(
            f"{where}: its bytes have digest {found}, the manifest says {file.digest} ({TRIES} downloads): "
            "the copy there is damaged or incomplete; put it there again from the artifact that it was copied from"
        )

    def _reserve(self, part: Path, size: int) -> None:
        """Have an empty file of the full size, within the limit; wait while others' downloads take the room."""
        while True:
            with self._lock("lock"):
                part.unlink(missing_ok=True)
                if self._make_room(size):
                    with open(part, "wb") as reserved:
                        reserved.truncate(size)
                    return
            time.sleep(WAIT_SECONDS)

    def _make_room(self, size: int) -> bool:
        """Remove what was used longest ago, abandoned downloads first, until ``size`` more bytes fit; False if they don't."""
        entries = sorted(self._entries(), key=lambda entry: (entry[2].suffix != ".part", entry[0]))
        taken = sum(held for _, held, _ in entries)
        for _, held, path in entries:
            if taken + size <= self.limit:
                break
            if self._remove_if_free(path):
                taken -= held
        return taken + size <= self.limit

    def _entries(self) -> Iterator[tuple[int, int, Path]]:
        """Last use, size and path of each file."""
        for path in self.folder.iterdir():
            if path.name != "lock" and path.suffix != ".lock":
                try:
                    status = path.stat()
                except FileNotFoundError:
                    continue
                yield status.st_mtime_ns, status.st_size, path

    def _remove_if_free(self, path: Path) -> bool:
        """Remove a file unless somebody is downloading or opening it; whether that was done."""
        with open(path.with_suffix(".lock"), "a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            path.unlink(missing_ok=True)  # still locked: who comes next finds that it is gone, and fetches it
        return True

    @contextmanager
    def _lock(self, name: str) -> Iterator[None]:
        with open(self.folder / name, "a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _copy(remote: Reader, part: Path, size: int) -> str:
    """Write a remote file over ``part``; return the digest of what came, at most one byte more than ``size``."""
    state, left = xxhash.xxh3_128(), size + 1
    try:
        with open(part, "r+b") as local:
            while left and (block := remote.read(min(_BLOCK, left))):
                state.update(block)
                left -= len(block)
                local.write(block)
            local.flush()
            os.fsync(local.fileno())
    finally:
        remote.close()
    return state.hexdigest()
