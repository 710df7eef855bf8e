"""Records of a file, however it is cut into ranges."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import xxhash

from pipelines.sources import Record, open_piece, read_records
from schemas.recipe import Source

LIMIT = 1 << 20


def pieces(path: Path, cuts: tuple[int, ...] = ()) -> list[dict[str, Any]]:
    data = path.read_bytes()
    ends = [*sorted({cut for cut in cuts if 0 < cut < len(data)}), len(data)]
    common = {"source": "s", "uri": path.name, "size": len(data), "digest": xxhash.xxh3_128_hexdigest(data)}
    return [{**common, "start": start, "end": end} for start, end in zip([0, *ends], ends, strict=False)]


def read(path: Path, settings: Source, cuts: tuple[int, ...] = (), limit: int = LIMIT) -> tuple[list[Record], list[int]]:
    """All records of a file that is cut into ranges, and how many bytes each range owns."""
    records, owned = [], []
    for piece in pieces(path, cuts):
        file = open_piece(piece, settings, str(path))
        records += list(read_records(file, settings, limit))
        owned.append(file.owned)
    return records, owned


def write(folder: Path, name: str, data: bytes) -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def raws(records: list[Record]) -> list[bytes]:
    return [record.raw for record in records]


def faults(records: list[Record]) -> list[str | None]:
    return [record.fault and record.fault[0] for record in records]


def kinds(records: list[Record]) -> list[str]:
    """Reasons of the rejects, and `ok`."""
    return [record.fault[0] if record.fault else "ok" for record in records]


def balanced(records: list[Record], owned: list[int]) -> bool:
    """Whether every byte that was read is a record's or framing."""
    return sum(record.size for record in records) <= sum(owned) and all(record.size >= 0 <= record.offset for record in records)
