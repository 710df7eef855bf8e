"""The model: a *stored file* is what lies at a place; its *decoded stream* is that, decompressed. A *member* is one file of
an archive, with a decoded stream of its own. Offsets of records are offsets in the decoded stream, in bytes before any
character decoding, so that a range can be read again exactly.

A stream that ends badly gives all the bytes before the damage, then raises `BadStream`. The stored bytes are digested
while they are read: a file that isn't the one that was planned raises `InputChanged`.
"""

from __future__ import annotations

import tempfile
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

import xxhash
import zstandard

from pipelines.clean.decode import HEAD_BYTES, detect_encoding
from pipelines.places import Place, allows_seeking
from pipelines.sources.compression import BadStream, Item, decompressed, is_compressed
from pipelines.sources.records import member_uri

__all__ = ["BadStream", "Characters", "InputChanged", "Member", "StoredFile", "Stream", "stated_bytes"]


class InputChanged(Exception):
    """A file is not what it was when the splits were planned; the message names it."""


class Characters(NamedTuple):
    """What a format and a source say of the characters of a file."""

    declared: str | None
    """The recipe's encoding."""
    text: bool = True
    """Whether the file is text, in an encoding that is to be found; else a format knows better."""
    unicode: bool = False
    """Whether it is UTF-8 unless something else is declared or its code units are wider, as JSON is (RFC 8259)."""
    as_utf8: bool = False
    """Whether the format hands on UTF-8, whatever it reads."""


class Stream(ABC):
    """What a format reads: a range of a stored file, or a member of an archive."""

    encoding: str
    """Python codec name of the text; its byte order is known."""
    start = 0
    """Where the range starts, behind a byte order mark."""
    end: int | None = None
    """Where the range ends in an uncompressed file; None: with the stream."""
    cut_before = False
    """Whether the range starts inside the file."""
    owned = 0
    """Bytes of the decoded stream that belong to this range, as far as they were read."""

    def __init__(self, uri: str, path: str, characters: Characters) -> None:
        self.uri = uri
        self.path = path
        """Its name in the folder or the archive that holds it."""
        self.encodings: Counter[str] = Counter()
        """Files, or parts of them with an encoding of their own, that begin here, by the encoding they were read in."""
        self.gives_utf8 = characters.as_utf8
        """Whether raw bytes of its records are known to be UTF-8."""

    @property
    def raw_encoding(self) -> str:
        """The encoding of the raw bytes of records."""
        return "utf-8" if self.gives_utf8 else self.encoding

    @property
    def newline(self) -> bytes:
        """A line end in the file's encoding; its length is the width of a code unit."""
        return "\n".encode(self.encoding)

    @abstractmethod
    def head(self) -> bytes:
        """The first `HEAD_BYTES` of the decoded stream of the whole file."""

    @abstractmethod
    def items(self, start: int) -> Iterator[Item]:
        """The decoded stream from offset `start` on, and damage in its place. Raises `InputChanged` at the end."""

    def blocks(self, start: int) -> Iterator[bytes]:
        """The decoded stream from offset `start` to its end. Raises `BadStream` at damage, `InputChanged` at the end."""
        items = self.items(start)
        for item in items:
            if isinstance(item, BadStream):
                for _ in items:  # whether it is damaged, or not the file that was planned, shows at its end
                    pass
                raise item
            yield item

    @contextmanager
    def seekable(self) -> Iterator[BinaryIO]:
        """The decoded stream as a file to read from anywhere, unpacked to disk if need be. Raises `BadStream`."""
        with tempfile.TemporaryFile() as file:
            for block in self.blocks(0):
                file.write(block)
            file.seek(0)
            yield cast(BinaryIO, file)

    def owns(self, number: int, of: int) -> bool:
        """Whether the range owns a part of a file that has `of` parts in all: each lies where it would if all had one size."""
        return True

    def _find_encoding(self, characters: Characters) -> None:
        if not characters.text:
            self.encoding = "utf-8"
            return
        head = self.head()
        self.encoding = detect_encoding(head, characters.declared)
        if characters.unicode and characters.declared is None and len(self.newline) == 1:
            self.encoding = "utf-8"
        if not self.cut_before:
            self.encodings[self.encoding] += 1
            mark = "\ufeff".encode(self.encoding, "ignore")
            if mark and head.startswith(mark):
                self.start = self.owned = len(mark)


class StoredFile(Stream):
    """A piece of a split, open for reading."""

    def __init__(self, place: Place, piece: Mapping[str, Any], characters: Characters) -> None:
        super().__init__(piece["uri"], piece["uri"], characters)
        self._place = place
        self.start = piece["start"]
        self.size: int = piece["size"]
        """Bytes as stored, of the whole file."""
        self.end = piece["end"] if piece["end"] < piece["size"] else None
        self._digest: str = piece["digest"]
        self.cut_before = self.start > 0
        self._cut = self.cut_before or self.end is not None
        try:
            size = place.size()
        except FileNotFoundError:
            raise self._changed() from None
        if size != self.size and not (size is None and place.is_remote):
            raise self._changed()
        if self._cut and not self.cut_before:
            self.verify()  # ranges can't tell by themselves: the first one answers for all
        self._head: bytes | None = None
        self._find_encoding(characters)

    def head(self) -> bytes:
        if self._head is None:
            self._head = b""
            for item in decompressed(self.uri, self._place.blocks()):
                if isinstance(item, BadStream):
                    break  # whoever reads the records meets the damage, and reports it
                self._head += item
                if len(self._head) >= HEAD_BYTES:
                    break
            self._head = self._head[:HEAD_BYTES]
        return self._head

    def items(self, start: int) -> Iterator[Item]:
        if self._cut:
            yield from self._place.blocks(start)
            return
        hasher = xxhash.xxh3_128()
        stored = _digested(self._place.blocks(), hasher)
        yield from _from(decompressed(self.uri, stored, self._place.blocks), start)
        for _ in stored:  # what damage left unread is digested, too
            pass
        if hasher.hexdigest() != self._digest:
            raise self._changed()

    @contextmanager
    def seekable(self) -> Iterator[BinaryIO]:
        if is_compressed(self.uri) or (self._place.is_remote and not self._cut):
            with super().seekable() as file:
                yield file
            return
        if not self._cut:
            self.verify()
        with self._place.open() as file:
            if not self._place.is_remote or allows_seeking(file):
                file.seek(0)
                yield file
                return
        with super().seekable() as unpacked:
            yield unpacked

    def verify(self) -> None:
        """Raise `InputChanged` unless what is stored is what was planned. Reads all of it."""
        if self._place.measured()[1] != self._digest:
            raise self._changed()

    def owns(self, number: int, of: int) -> bool:
        return self.start <= number * self.size // of < (self.size if self.end is None else self.end)

    def _changed(self) -> InputChanged:
        return InputChanged(
            f"{self._place.name}: is not the file that this run planned to read (changed or removed). Run again to plan anew"
        )


class Member(Stream):
    """A file of an archive; it can be read once."""

    def __init__(
        self,
        archive: StoredFile,
        path: str,
        stored: Iterator[bytes],
        characters: Characters,
        again: Callable[[], Iterator[bytes]] | None = None,
    ) -> None:
        """`stored` gives its bytes and raises `BadStream`; `again` gives them once more, if that can be done."""
        super().__init__(member_uri(archive.uri, path), path, characters)
        self._items = decompressed(path, stored, again)
        self._seen: list[Item] = []
        self._head = b""
        for item in self._items:
            self._seen.append(item)
            if not isinstance(item, bytes):
                break
            self._head += item
            if len(self._head) >= HEAD_BYTES:
                break
        self._head = self._head[:HEAD_BYTES]
        self._find_encoding(characters)

    def head(self) -> bytes:
        return self._head

    def items(self, start: int) -> Iterator[Item]:
        seen, self._seen = self._seen, []
        return _from(chain(seen, self._items), start)


def _from(items: Iterator[Item], start: int) -> Iterator[Item]:
    for item in items:
        if isinstance(item, bytes):
            start, item = max(0, start - len(item)), item[start:]
        if isinstance(item, BadStream) or item:
            yield item


def _digested(blocks: Iterator[bytes], hasher: xxhash.xxh3_128) -> Iterator[bytes]:
    for block in blocks:
        hasher.update(block)
        yield block


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
