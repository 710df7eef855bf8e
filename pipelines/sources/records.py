"""The model: a *record* is one candidate for a document, with the byte range of the decoded stream that it owns.

A *fault* is why a reader could make no text of a record; such a record still owns its range and becomes a reject.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import xxhash

_MEMBER = "!/"
"""Between an archive and a member, in a URI; names of folders may have it, too."""


class Record(NamedTuple):
    """What a format reads."""

    offset: int
    """Byte offset in the decoded (decompressed) stream of the file."""
    size: int
    """Bytes owned."""
    digest: bytes
    """xxh3-128 of the bytes owned."""
    raw: bytes
    """The bytes of the text, in the file's encoding; empty if they were too many to hold."""
    extra: str | None = None
    """Canonical JSON of what else the record carries."""
    fault: tuple[str, str] | None = None
    """Reason and detail, if there is no text to go on with."""
    member: str | None = None
    """Name of the member of an archive that it comes from."""
    encoding: str | None = None
    """Encoding of `raw`; None: the file's."""

    def uri(self, of_file: str) -> str:
        """What it comes from: a file, or a member of one."""
        return of_file if self.member is None else member_uri(of_file, self.member)


def member_uri(archive: str, name: str) -> str:
    """The URI of a member of an archive, or of a member of one."""
    return f"{archive}{_MEMBER}{name}"


def containers(uri: str) -> Iterator[str]:
    """A URI itself, and all that it may be a member of."""
    yield uri
    at = uri.find(_MEMBER)
    while at >= 0:
        yield uri[:at]
        at = uri.find(_MEMBER, at + 1)


def too_long(offset: int, size: int, digest: bytes, limit: int) -> Record:
    """A record that was streamed past, never held."""
    return Record(offset, size, digest, b"", fault=("too_long", f"{size:,} bytes, max_document_bytes is {limit:,}"))


class Gathering:
    """Bytes that belong to one record, held up to a limit and digested beyond it."""

    def __init__(self, offset: int, limit: int) -> None:
        self.offset = offset
        self.size = 0
        self._limit = limit
        self._held: list[bytes] = []
        self._beyond: xxhash.xxh3_128 | None = None

    def add(self, block: bytes) -> None:
        self.size += len(block)
        if self._beyond is None and self.size > self._limit:
            self._beyond = xxhash.xxh3_128(b"".join(self._held))
            self._held = []
        if self._beyond is not None:
            self._beyond.update(block)
        else:
            self._held.append(block)

    def pass_by(self, line: Record) -> None:
        """A line of this record that was itself too long to hold: its digest stands for it."""
        self.add(line.digest)
        self.size += line.size - len(line.digest)
        if self._beyond is None:
            self._beyond = xxhash.xxh3_128(b"".join(self._held))
            self._held = []

    def record(self, fault: tuple[str, str] | None = None) -> Record:
        """What was gathered; a fault of its own goes before the one of being too long."""
        if self._beyond is not None:
            record = too_long(self.offset, self.size, self._beyond.digest(), self._limit)
            return record._replace(fault=fault) if fault else record
        raw = b"".join(self._held)
        return Record(self.offset, self.size, xxhash.xxh3_128_digest(raw), raw, fault=fault)
