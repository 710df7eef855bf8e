"""The model: an *entry* is what an archive says of a member before it is read: its name, why it can't be read, its bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import xxhash

from pipelines.sources.records import Record

NOTHING = xxhash.xxh3_128_digest(b"")
"""Digest of a record without bytes that could be read."""


class Entry(NamedTuple):
    """A member as it is listed."""

    name: str
    """As stored; what isn't UTF-8 in it is escaped."""
    fault: tuple[str, str] | None
    blocks: Callable[[], Iterator[bytes]]
    """Its bytes, uncompressed as far as the archive compressed them. Raises `BadStream`."""
    again: bool
    """Whether they can be had more than once."""


def damage(offset: int, size: int, reason: str, detail: str) -> Record:
    """What of an archive, or another file of many parts, can't be told apart: `size` bytes from `offset` on."""
    return Record(offset, size, NOTHING, b"", fault=(reason, detail))


def fault_of_name(name: str) -> tuple[str, str] | None:
    """Why a member of this name is not read, if it isn't: it climbs out of the archive or is absolute, on any system."""
    parts = name.replace("\\", "/").split("/")
    if ".." in parts or not name.strip() or "\0" in name:
        return "unsafe_path", "its name climbs, is empty or holds a zero byte"
    if parts[0] == "" or (len(parts[0]) == 2 and parts[0][1] == ":"):
        return "unsafe_path", "its name is absolute"
    return None
