"""The model: an *index* says where the documents of one subset lie in a token space. They stand in *streams*, one a language
(or one a source and language, `source/lang`; or of old and of new documents apart, `old/lang` and `new/lang`: see `By`), stream after
stream, in shard order within each: one long line of *positions*, on which a document takes its tokens with a bos before and an eos after.

A document of the training subset stands there as often as its weight says (`schemas.sampling`). A stream is laid in *rounds*: first
all that is read at all, then all that is read twice, and so on; so copies of a document lie apart.

An index can be kept as a file, named by what decides it and mapped when opened: then nothing that grows with the number of
documents is done at the start of a run.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from model.known import NEW, OLD, Known
from model.token_space import TokenSpace
from schemas.arrow import read_shard, write_shard
from schemas.artifact import Damaged, File
from schemas.fingerprint import digest_json
from schemas.sampling import SAMPLED, times_read

FORMAT = 1
_SCHEMA = pa.schema([pa.field(name, pa.int64(), nullable=False) for name in ("end", "place", "n_bytes")])
_COLUMNS = ("source", "lang", "subset", "tokens", "n_bytes")
_READ = tuple(dict.fromkeys(_COLUMNS + SAMPLED))


@dataclass(frozen=True)
class By:
    """What streams are by, beside their language."""

    source: bool = False
    known: Known | None = None
    """Tells old documents from new ones."""


@dataclass(frozen=True)
class Index:
    """Documents of a subset, in the order of their streams and rounds; all arrays int64 [documents]."""

    end: NDArray[np.int64]
    """Position after each document's eos."""
    place: NDArray[np.int64]
    """Of each document's first token in the space."""
    n_bytes: NDArray[np.int64]
    """Of each document's UTF-8 text."""
    streams: Mapping[str, tuple[int, int]]
    """First document of each stream, and the one after its last."""
    width: int
    """Bytes of a token id in the space."""

    def begin(self, document: int) -> int:
        """Position of a document's bos."""
        return int(self.end[document - 1]) if document else 0

    def span(self, stream: str) -> tuple[int, int]:
        """First position of a stream, and the one after its last."""
        first, last = self.streams[stream]
        return self.begin(first), self.begin(last)


def build_index(space: TokenSpace, subset: str, by: By = By()) -> Index:
    """Read the index of a subset off all shards; every shard is touched. Raises Damaged naming one that has no tokens."""
    found: dict[str, dict[int, list[NDArray[np.int64]]]] = {}  # by stream and round
    widths = set()
    for number, file in enumerate(space.files):
        with space.hold_shards(np.array([number])):
            table, address, start = space.table(number)
            missing = [name for name in _COLUMNS if name not in table.column_names]
            if missing:
                raise Damaged(f"{file.path}: is not a token shard: it has no column {missing[0]!r}")
            for batch in table.select([name for name in _READ if name in table.column_names]).to_batches():
                ids = batch.column("tokens").values
                widths.add(width := ids.type.bit_width // 8)
                first = (ids.buffers()[1].address - address) // width + ids.offset if len(ids) else start // width + 1
                offsets, times = batch.column("tokens").offsets.to_numpy(), times_read(batch)
                for stream, rows in _streams(batch, subset, by, file).items():
                    lengths, n_bytes = offsets[rows + 1] - offsets[rows], batch.column("n_bytes").to_numpy()[rows]
                    columns = np.stack((lengths + 2, first + offsets[rows], n_bytes.astype(np.int64)))
                    for earlier in range(int(times[rows].max())):
                        found.setdefault(stream, {}).setdefault(earlier, []).append(columns[:, times[rows] > earlier])
    if len(widths) > 1:
        raise Damaged(f"{space.files[0].path} and its neighbours: their ids have {sorted(widths)} bytes, so they are not of one artifact")
    streams, documents = {}, 0
    parts = [np.zeros((3, 0), dtype=np.int64)]
    for stream in sorted(found):
        laid = [columns for _, each in sorted(found[stream].items()) for columns in each]
        size = sum(columns.shape[1] for columns in laid)
        streams[stream] = (documents, documents + size)
        documents += size
        parts += laid
    lengths, place, n_bytes = np.concatenate(parts, axis=1)
    return Index(np.cumsum(lengths), place, n_bytes, streams, max(widths, default=2))


def _streams(batch: pa.RecordBatch, subset: str, by: By, file: File) -> dict[str, NDArray[np.int64]]:
    """Rows of a subset, by stream."""
    langs, sources = (batch.column(name).dictionary_encode() for name in ("lang", "source"))
    code = langs.indices.to_numpy().astype(np.int64)
    if by.source:
        code += sources.indices.to_numpy().astype(np.int64) * len(langs.dictionary)
    sides = len(langs.dictionary) * max(len(sources.dictionary), 1)
    if by.known:
        code += by.known.is_old(file, batch) * sides
    rows = np.flatnonzero(pc.equal(batch.column("subset"), subset).to_numpy(zero_copy_only=False))
    found = {}
    for each in np.unique(code[rows]).tolist():
        old, rest = divmod(each, sides)
        source, lang = divmod(rest, len(langs.dictionary))
        path = ([OLD if old else NEW] if by.known else []) + ([str(sources.dictionary[source])] if by.source else [])
        found["/".join([*path, str(langs.dictionary[lang])])] = rows[code[rows] == each]
    return found


def kept_index(space: TokenSpace, subset: str, by: By, folder: Path) -> Index:
    """The index of a subset as a mapped file of ``folder``; built if it isn't there."""
    known = by.known.digest if by.known else None
    key = digest_json({"format": FORMAT, "space": space.digest, "subset": subset, "by_source": by.source, "known": known})
    path = folder / f"index-{key[:16]}.arrow"
    if not path.is_file():
        save_index(build_index(space, subset, by), path)
    return open_index(path)


def save_index(index: Index, path: Path) -> None:
    """Write an index; the file is whole or not there."""
    metadata = {"streams": json.dumps(dict(index.streams)), "width": str(index.width)}
    batch = pa.RecordBatch.from_arrays([pa.array(column) for column in (index.end, index.place, index.n_bytes)], schema=_SCHEMA)
    keep(path, _SCHEMA.with_metadata(metadata), batch)


def keep(path: Path, schema: pa.Schema, batch: pa.RecordBatch) -> None:
    """Write one batch as a file that is whole or not there. Processes that do so together write equal bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    write_shard(temporary, schema, [batch.replace_schema_metadata(schema.metadata)], compress=False)
    os.replace(temporary, path)


def open_index(path: Path) -> Index:
    """Map a saved index; nothing that grows with it is read. Raises Damaged."""
    columns, metadata = mapped(path)
    streams = {name: (int(first), int(last)) for name, (first, last) in json.loads(metadata[b"streams"]).items()}
    return Index(columns["end"], columns["place"], columns["n_bytes"], streams, int(metadata[b"width"]))


def mapped(path: Path) -> tuple[dict[str, NDArray[Any]], Mapping[bytes, bytes]]:
    """The columns of a file of one batch as views of its mapping, and its metadata. Raises Damaged."""
    try:
        table = read_shard(path)
    except pa.ArrowInvalid as error:
        raise Damaged(f"{error}: remove it, and it is made again") from error
    arrays = {name: table.column(name).chunk(0).to_numpy() if table.num_rows else np.zeros(0, np.int64) for name in table.column_names}
    return arrays, table.schema.metadata
