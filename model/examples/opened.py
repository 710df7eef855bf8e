"""The model: a path of a task names *files*: one, those that match a wildcard, or members of a zip (`data.zip!train.csv`). A file is read
whole, decompressed by its ending.
"""

from __future__ import annotations

import bz2
import fnmatch
import glob
import gzip
import hashlib
import io
import lzma
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import zstandard

from schemas.errors import RequestError
from schemas.fingerprint import digest_json

_COMPRESSED = (".gz", ".bz2", ".xz", ".zst")


def open_files(path: str, key: str) -> Iterator[tuple[str, bytes]]:
    """Names and contents of the files that a path means, in the order of their names. Raises `RequestError` if there is none, or one
    can't be read; `key` is that of the task which holds the path."""
    outside, _, inside = path.partition("!")
    found = [outside] if Path(outside).exists() else sorted(name for name in glob.glob(outside, recursive=True) if not Path(name).is_dir())
    if not found:
        raise RequestError(f"{key}: {outside}: there is no such file (paths are relative to the folder that the command runs in)")
    for name in found:
        try:
            content = Path(name).read_bytes()
            if inside:
                yield from _members(name, content, inside, key)
            else:
                yield name, _decompressed(name, content)
        except (OSError, EOFError, ValueError, RuntimeError, zlib.error, lzma.LZMAError, zstandard.ZstdError, zipfile.BadZipFile) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise RequestError(f"{key}: {name}: can't be read: {reason}") from error


def files_digest(path: str, key: str) -> str:
    """Digest of the files that a path means: of their names and contents in their order, not of where they lie. Raises `RequestError` as
    `open_files`."""
    return digest_json([[Path(name).name, hashlib.sha256(content).hexdigest()] for name, content in open_files(path, key)])


def check_files(roots: Mapping[str, str], digests: Mapping[str, str]) -> None:
    """Raises `RequestError` if files are no longer those whose digests decide the step; both by key."""
    for key, path in roots.items():
        if key in digests and files_digest(path, key) != digests[key]:
            raise RequestError(f"{key}: {path}: changed since the step was planned: run again")


def bare_name(name: str) -> str:
    """A file's name in lower case, without the ending of its compression: what tells its format."""
    low = name.lower()
    return next((low.removesuffix(ending) for ending in _COMPRESSED if low.endswith(ending)), low)


def _members(name: str, content: bytes, pattern: str, key: str) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = sorted(member for member in archive.namelist() if not member.endswith("/"))
        matching = [member for member in members if member == pattern] or fnmatch.filter(members, pattern)
        if not matching:
            raise RequestError(f"{key}: {name} has no member {pattern!r}: it has {', '.join(members[:10]) or 'none at all'}")
        for member in matching:
            yield f"{name}!{member}", _decompressed(member, archive.read(member))


def _decompressed(name: str, content: bytes) -> bytes:
    match name.lower().rpartition(".")[2]:
        case "gz":
            return gzip.decompress(content)
        case "bz2":
            return bz2.decompress(content)
        case "xz":
            return lzma.decompress(content)
        case "zst":
            return b"".join(_frames(content))
        case _:
            return content


def _frames(content: bytes) -> Iterator[bytes]:
    """What the frames of a zstd file hold."""
    while content:
        frame = zstandard.ZstdDecompressor().decompressobj()
        yield frame.decompress(content)
        if not frame.eof:  # a stream reader would take what is there for all
            raise EOFError("the file ends inside a zstd frame")
        content = frame.unused_data
