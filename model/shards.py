"""The model: *shards* come from a *location*: a folder of this machine, or an fsspec URL (`https://`, `s3://`, ...) that is
read through a cache. Either holds a copy of a tokens artifact: its manifest, and the files that it lists.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, BinaryIO, Protocol

import fsspec
import orjson

from model.shard_cache import Reader, ShardCache
from schemas.artifact import MANIFEST, Artifact, Damaged, File, Manifest
from schemas.errors import RequestError


class Shards(Protocol):
    """Where shards come from."""

    limit: int | None
    """Bytes that may be mapped at a time; None: no limit."""

    def fetch(self, file: File) -> BinaryIO:
        """A local file with the bytes of a shard, open to read. Raises Damaged if it is missing."""

    def again(self, file: File, problem: str) -> BinaryIO:
        """The local file has a problem: get it again, or raise Damaged."""


class LocalShards:
    """Shards in a folder of this machine."""

    limit: int | None = None

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def fetch(self, file: File) -> BinaryIO:
        try:
            return open(self._folder / file.path, "rb")
        except FileNotFoundError:
            return self.again(file, "is missing")

    def again(self, file: File, problem: str) -> BinaryIO:
        raise Damaged(
            f"{self._folder / file.path}: {problem}: restore the file from a copy, or remove {self._folder} and run the recipe "
            "again, which makes it anew; `gristmill audit` lists all damage"
        )


class RemoteShards:
    """Shards at an fsspec URL, read through a cache."""

    def __init__(self, url: str, cache: ShardCache) -> None:
        self._url, self._cache = url.rstrip("/"), cache
        self.limit: int | None = cache.limit
        try:
            self._files, self._root = fsspec.url_to_fs(self._url)
        except (ImportError, ValueError) as error:
            raise RequestError(f"{url}: can't be read: {error}") from error

    def manifest(self) -> Manifest:
        """Raises Damaged if there is no sound one."""
        return Manifest.from_json(self._json(MANIFEST), f"{self._url}/{MANIFEST}", lambda version: self._json(f"../{version}/{MANIFEST}"))

    def _json(self, path: str) -> dict[str, Any]:
        try:
            value: dict[str, Any] = orjson.loads(self._files.cat_file(self._place(path)))
        except FileNotFoundError as error:
            raise Damaged(f"{self._url}: has no {path}, so it is not an artifact") from error
        except orjson.JSONDecodeError as error:
            raise Damaged(f"{self._url}/{path}: not valid JSON: {error}") from error
        return value

    def _place(self, path: str) -> str:
        """Where a file lies: the path of an inherited one leads out of the artifact's folder, into one beside it (`../VERSION/...`)."""
        folder = self._root.rpartition("/")[0] if path.startswith("../") else self._root
        return f"{folder}/{path.removeprefix('../')}"

    def fetch(self, file: File) -> BinaryIO:
        return self._cache.fetch(file, f"{self._url}/{file.path}", lambda: self._open(file))

    def again(self, file: File, problem: str) -> BinaryIO:
        self._cache.discard(file)
        return self.fetch(file)

    def _open(self, file: File) -> Reader:
        try:
            opened: Reader = self._files.open(self._place(file.path), "rb", block_size=0)
        except FileNotFoundError as error:
            raise Damaged(f"{self._url}/{file.path}: is missing") from error
        return opened


def open_location(location: str | Path, cache: ShardCache | None = None) -> tuple[Manifest, Shards]:
    """The manifest of the tokens artifact at a folder or URL, and its shards. A URL needs a cache. Raises Damaged or RequestError."""
    scheme, separator, rest = str(location).partition("://")
    if not separator or scheme == "file":
        folder = Path(rest if separator else location)
        return Artifact.open(folder).manifest, LocalShards(folder)
    if cache is None:
        raise RequestError(f"{location}: remote shards are read through a shard cache: give it a folder and a limit in bytes")
    remote = RemoteShards(str(location), cache)
    return remote.manifest(), remote
