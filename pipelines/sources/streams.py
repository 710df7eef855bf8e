"""The model: a *stored file* is what lies on disk; its *decoded stream* is that, decompressed. Offsets of records are
offsets in the decoded stream, in bytes before any character decoding, so that a range can be read again exactly.

A compressed stream that ends badly gives all the bytes before the damage, then raises `BadStream`. The stored bytes
are digested while they are read: a file that isn't the one that was planned raises `InputChanged`.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import xxhash
import zstandard

from pipelines.clean.decode import HEAD_BYTES, detect_encoding
from schemas.fingerprint import digest_file

BLOCK = 1 << 18
_GROWTH = 16 * BLOCK
"""Most bytes that one step of gzip may give: a bomb is met in pieces."""
_ZSTD_STEP = 1 << 10
"""Compressed bytes for one step of zstd, whose output can't be bounded otherwise: four bytes can stand for 128 KiB."""


class BadStream(Exception):
    """A compressed stream ended badly, after `reason`: `truncated_input` or `corrupt_input`."""

    def __init__(self, reason: str, detail: str, block: int | None = None) -> None:
        super().__init__(detail)
        self.reason, self.detail = reason, detail
        self.block = block
        """Number of the stored block in which damage was met; None: the stream merely ends too early."""


class InputChanged(Exception):
    """A file is not what it was when the splits were planned; the message names it."""


class StoredFile:
    """A piece of a split, open for reading. `encoding` and `start` (of the text, after a byte order mark) are known at once."""

    def __init__(self, path: Path, piece: Mapping[str, Any], declared: str | None) -> None:
        self.path = path
        self.uri: str = piece["uri"]
        self.start: int = piece["start"]
        self.end: int | None = piece["end"] if piece["end"] < piece["size"] else None
        """Where the range ends in an uncompressed file; None: with the stream."""
        self.owned = 0
        """Bytes of the decoded stream that belong to this piece, as far as they were read."""
        self._digest: str = piece["digest"]
        self.cut_before = self.start > 0
        self._cut = self.cut_before or self.end is not None
        if not path.is_file() or path.stat().st_size != piece["size"]:
            raise self._changed()
        if self._cut and not self.cut_before and digest_file(path) != self._digest:
            raise self._changed()  # ranges can't tell by themselves: the first one answers for all
        head = self._head()
        self.encoding = detect_encoding(head, declared)
        """Python codec name; its byte order is known."""
        mark = "\ufeff".encode(self.encoding, "ignore")
        if not self.cut_before and mark and head.startswith(mark):
            self.start = self.owned = len(mark)

    @property
    def newline(self) -> bytes:
        """A line end in the file's encoding; its length is the width of a code unit."""
        return "\n".encode(self.encoding)

    def blocks(self, start: int) -> Iterator[bytes]:
        """The decoded stream from offset `start` to its end. Raises `BadStream` at damage, `InputChanged` at the end."""
        if self._cut:
            yield from _stored(self.path, start)
            return
        hasher = xxhash.xxh3_128()
        stored = _digested(_stored(self.path, 0), hasher)
        try:
            for block in _decompressed(self.path, stored):
                start, block = max(0, start - len(block)), block[start:]
                if block:
                    yield block
        except BadStream:
            self._check(stored, hasher)
            raise
        self._check(stored, hasher)

    def _check(self, rest: Iterator[bytes], hasher: xxhash.xxh3_128) -> None:
        for _ in rest:  # what damage left unread is digested, too
            pass
        if hasher.hexdigest() != self._digest:
            raise self._changed()

    def _head(self) -> bytes:
        head = b""
        try:
            for block in _decompressed(self.path, _stored(self.path, 0)):
                head += block
                if len(head) >= HEAD_BYTES:
                    break
        except BadStream:
            return head  # whoever reads the records meets the damage, and reports it
        return head[:HEAD_BYTES]

    def _changed(self) -> InputChanged:
        return InputChanged(f"{self.path}: is not the file that this run planned to read (changed or removed). Run again to plan anew")


def _stored(path: Path, start: int) -> Iterator[bytes]:
    with open(path, "rb") as file:
        file.seek(start)
        while block := file.read(BLOCK):
            yield block


def _digested(blocks: Iterator[bytes], hasher: xxhash.xxh3_128) -> Iterator[bytes]:
    for block in blocks:
        hasher.update(block)
        yield block


def _decompressed(path: Path, stored: Iterator[bytes]) -> Iterator[bytes]:
    decompress = {".gz": _gunzip, ".zst": _unzstd}.get(path.suffix)
    if decompress is None:
        yield from stored
        return
    given = 0
    try:
        for block in decompress(stored):
            given += len(block)
            yield block
    except BadStream as damage:
        if damage.block is not None:
            # A decompressor forgets what it made of a block when it meets damage in it: once more, byte by byte there.
            for block in decompress(_in_steps(_stored(path, 0), damage.block)):
                given, block = max(0, given - len(block)), block[given:]
                yield block
        raise


def _in_steps(stored: Iterator[bytes], number: int) -> Iterator[bytes]:
    for index, block in enumerate(stored):
        if index < number:
            yield block
        else:
            yield from (block[i : i + 1] for i in range(len(block)))


def _gunzip(stored: Iterator[bytes]) -> Iterator[bytes]:
    """RFC 1952: members follow each other; zero bytes after the last one are padding."""
    member, begun = zlib.decompressobj(zlib.MAX_WBITS | 16), False
    for number, block in enumerate(stored):
        while block := block if begun else block.lstrip(b"\0"):
            begun = True
            try:
                yield member.decompress(block, _GROWTH)
            except zlib.error as error:
                raise BadStream("corrupt_input", f"gzip: {error}", number) from error
            block = member.unconsumed_tail
            if member.eof:
                block, begun = member.unused_data, False
                member = zlib.decompressobj(zlib.MAX_WBITS | 16)
    if begun:
        while out := member.decompress(b"", _GROWTH):
            yield out
        if not member.eof:
            raise BadStream("truncated_input", "gzip: the stream ends inside a member")


def _unzstd(stored: Iterator[bytes]) -> Iterator[bytes]:
    """RFC 8878: frames follow each other."""
    frame, begun = zstandard.ZstdDecompressor().decompressobj(), False
    for number, block in enumerate(stored):
        for start in range(0, len(block), _ZSTD_STEP):
            step = block[start : start + _ZSTD_STEP]
            while step:
                begun = True
                try:
                    yield frame.decompress(step)
                except zstandard.ZstdError as error:
                    raise BadStream("corrupt_input", f"zstd: {error}", number) from error
                step = b""
                if frame.eof:
                    step, begun = frame.unused_data, False
                    frame = zstandard.ZstdDecompressor().decompressobj()
    if begun:
        raise BadStream("truncated_input", "zstd: the stream ends inside a frame")


def stated_bytes(path: Path) -> int | None:
    """Bytes that a compressed file says it decompresses to; None if it says nothing, or nothing that can be true.

    gzip: the last four bytes (RFC 1952), of the last member alone and modulo 2**32. zstd: the header of the first frame.
    """
    try:
        with open(path, "rb") as file:
            stored = file.seek(0, 2)
            if path.suffix == ".gz" and stored >= 18:
                file.seek(-4, 2)
                stated = int.from_bytes(file.read(4), "little")
            elif path.suffix == ".zst":
                file.seek(0)
                stated = zstandard.frame_content_size(file.read(18))
            else:
                return None
    except (OSError, zstandard.ZstdError):
        return None
    return stated if stated > stored else None
