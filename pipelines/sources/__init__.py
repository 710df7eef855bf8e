"""The model: a *format* turns one stored file, or a range of it, into *records*. A record owns a byte range of the
decoded stream; bytes that no record owns (byte order mark, line ends, blank lines) are *framing*.

Each format is one module with ``read(file, source, limit) -> Iterator[Record]``. Every byte of a file is owned once:
``file.owned`` is the sum of the records' sizes plus the framing, whatever ranges a file was cut into.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pipelines.sources import jsonl, tree, txt
from pipelines.sources.records import Record
from pipelines.sources.streams import InputChanged, StoredFile, stated_bytes
from pipelines.splits import COMPRESSED, root_folder, weighed_bytes
from schemas.recipe import Source

__all__ = ["InputChanged", "Record", "StoredFile", "expected_bytes", "open_piece", "read_records"]

_READ: Mapping[str, Callable[[StoredFile, Source, int], Iterator[Record]]] = {"txt": txt.read, "jsonl": jsonl.read, "tree": tree.read}


def open_piece(piece: Mapping[str, Any], source: Source, root: str) -> StoredFile:
    """Open a piece of a split; `root` is the path of its source. Raises `InputChanged` if it isn't as planned."""
    return StoredFile(root_folder(Path(root)) / piece["uri"], piece, source.encoding)


def expected_bytes(piece: Mapping[str, Any], root: str) -> int:
    """Bytes of text that a piece is expected to hold: what a compressed file says of itself, else by experience."""
    stated = stated_bytes(root_folder(Path(root)) / piece["uri"]) if piece["uri"].endswith(COMPRESSED) else None
    return stated if stated is not None else weighed_bytes(piece)


def read_records(file: StoredFile, source: Source, limit: int) -> Iterator[Record]:
    """The records of an open piece, in order; `limit` is the most bytes that a record may have."""
    return _READ[source.format](file, source, limit)
