"""The model: the *token space* of an artifact is one array of token ids over all its token shards, and a *place* is an index
into it. Shards lie there side by side, in their order, each where it would lie whether the others are mapped or not: so
a place means the same in every process that reads equal shards, and an index of places can be kept.

A shard is mapped when it is first *touched*, and its digest is checked then, once in a process. Ids are only ever copied
out of the space, so shards of a remote artifact can be let go of again.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import xxhash
from numpy.typing import NDArray

from model.addresses import Addresses, room
from model.shards import Shards
from schemas.artifact import Damaged, File
from schemas.errors import RequestError
from schemas.fingerprint import digest_json

DOWNLOADS = 4
"""Shards that are fetched at a time."""

TRIES = 3
"""How often a remote shard is fetched whose local copy was changed."""


class TokenSpace:
    """The token shards of an artifact as one array; see the module."""

    def __init__(self, files: Sequence[File], shards: Shards) -> None:
        self.files, self._shards = list(files), shards
        rooms = [room(file.bytes) for file in self.files]
        self._starts = np.concatenate(([0], np.cumsum(rooms, dtype=np.int64)))
        self._addresses = Addresses(max(int(self._starts[-1]), room(0)))
        self._mapped = np.zeros(len(self.files), dtype=bool)
        self._complete = False  # every shard is mapped, and stays so
        self._used: dict[int, None] = {}  # mapped shards, the one touched longest ago first
        self._lock = threading.RLock()

    @property
    def digest(self) -> str:
        """Digest of the shards' digests and sizes, in order: what a place means."""
        return digest_json([[file.digest, file.bytes] for file in self.files])

    @property
    def limit(self) -> int | None:
        """Bytes that may be mapped at a time."""
        return self._shards.limit

    def ids(self, width: int) -> NDArray[Any]:
        """The whole space as unsigned integers of ``width`` bytes."""
        return self._addresses.bytes.view(f"<u{width}")

    def table(self, number: int) -> tuple[pa.Table, int, int]:
        """A held shard as a table over its mapping; the address of the space; the byte where the shard starts. Raises Damaged."""
        start, size = int(self._starts[number]), self.files[number].bytes
        try:
            table = pa.ipc.open_file(pa.py_buffer(self._addresses.bytes[start : start + size])).read_all()
        except pa.ArrowInvalid as error:
            raise Damaged(f"{self.files[number].path}: not a readable Arrow file: {error}") from error
        return table, self._addresses.bytes.ctypes.data, start

    def fits(self, places: NDArray[np.int64], width: int) -> bool:
        """Whether the shards of these places may be mapped at a time."""
        if self.limit is None:
            return True
        return sum(self.files[number].bytes for number in self._numbers(places, width)) <= self.limit

    @contextmanager
    def hold(self, places: NDArray[np.int64], width: int) -> Iterator[None]:
        """Have the shards of these places (in ids of ``width`` bytes) mapped and checked while inside."""
        if self._complete:
            yield
        else:
            with self.hold_shards(self._numbers(places, width)):
                yield

    @contextmanager
    def hold_shards(self, numbers: NDArray[np.int64]) -> Iterator[None]:
        """Have these shards mapped and checked while inside. Raises Damaged naming one whose bytes are not the manifest's."""
        limited = self.limit is not None
        with self._lock if limited else nullcontext():  # another thread must not let go of them meanwhile
            if limited or not self._mapped[numbers].all():
                with self._lock:
                    self._touch(numbers.tolist())
            yield

    def _numbers(self, places: NDArray[np.int64], width: int) -> NDArray[np.int64]:
        if len(self.files) == 1:
            return np.zeros(1, dtype=np.int64)
        return np.unique(np.searchsorted(self._starts, places * width, side="right") - 1)

    def _touch(self, numbers: list[int]) -> None:
        absent = [number for number in numbers if not self._mapped[number]]
        self._let_go(sum(self.files[number].bytes for number in absent), numbers)
        if len(absent) > 1 and self.limit is not None:
            with ThreadPoolExecutor(DOWNLOADS) as pool:
                list(pool.map(self._map, absent))
        else:
            for number in absent:
                self._map(number)
        for number in numbers:
            self._used.pop(number, None)
            self._used[number] = None
        self._complete = self.limit is None and bool(self._mapped.all())

    def _let_go(self, more: int, needed: list[int]) -> None:
        """Unmap what was touched longest ago until ``more`` bytes can be mapped."""
        limit = self.limit
        if limit is None:
            return
        taken = more + sum(self.files[number].bytes for number in self._used)
        for number in [number for number in self._used if number not in needed]:
            if taken <= limit:
                return
            self._addresses.unmap(int(self._starts[number]), self.files[number].bytes)
            self._mapped[number] = False
            del self._used[number]
            taken -= self.files[number].bytes
        if taken > limit:
            raise RequestError(f"{taken:,} bytes of shards, needed at a time, do not fit the shard cache of {limit:,} bytes: allow more")

    def _map(self, number: int) -> None:
        file, start = self.files[number], int(self._starts[number])
        local = self._shards.fetch(file)
        for _ in range(TRIES):
            with local:
                problem = self._problem(file, start, local)
            if problem is None:
                self._mapped[number] = True
                return
            local = self._shards.again(file, problem)
        local.close()
        raise Damaged(f"{local.name}: {problem}, each of {TRIES} times that it was fetched: look after the disk that it is on")

    def _problem(self, file: File, start: int, local: BinaryIO) -> str | None:
        """Map a file; say what is wrong with it, if anything is."""
        size = os.fstat(local.fileno()).st_size
        if size != file.bytes:
            return f"has {size:,} bytes, the manifest says {file.bytes:,}"
        found = xxhash.xxh3_128(self._addresses.map(start, local, size).data).hexdigest()
        if found == file.digest:
            return None
        self._addresses.unmap(start, size)
        return f"its bytes have digest {found}, the manifest says {file.digest}"
