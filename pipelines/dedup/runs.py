"""The model: a *run* is one split's digests, sorted, in one file with an offset for each hash partition. A partition is
a range of the digests' leading 64 bits, so it is a slice of every run.

Runs stay in the artifact: they are the index that later versions are deduplicated against.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import xxhash

from pipelines.text_digests import text_digests
from schemas.arrow import write_shard

DIGESTS = pa.schema(
    [
        pa.field("digest", pa.binary(16), nullable=False),
        pa.field("doc_id", pa.binary(16), nullable=False),
        pa.field("row", pa.uint32(), nullable=False),
        pa.field("label", pa.string()),
    ]
)
"""xxh3-128 of the clean text; `row` is the document's row among the prepared ones of its split."""

_LONGEST_LABEL = 64
"""Characters; a longer label is compared by its hash."""


class DigestRun:
    """Gathers the digests of a split's documents."""

    kind = folder = "digests"
    role = "digests"

    def __init__(self, label_field: str | None) -> None:
        self._label_field = label_field
        self._digests: list[bytes] = []
        self._ids: list[bytes] = []
        self._labels: list[str | None] = []

    def add(self, batch: pa.RecordBatch) -> None:
        """Add a batch of schema PREPARED."""
        self._digests.append(b"".join(text_digests(batch)))
        self._ids.append(b"".join(batch.column("doc_id").to_pylist()))
        if self._label_field is not None:
            self._labels += [_label(extra, self._label_field) for extra in batch.column("extra").to_pylist()]

    def write(self, path: Path, partitions: int) -> list[int]:
        """Write the run sorted by digest, then row; return the offsets of the partitions, and the end."""
        digests, ids = (np.frombuffer(b"".join(blocks), "V16") for blocks in (self._digests, self._ids))
        high, low = halves(digests)
        order = np.lexsort((low, high))  # stable: rows stay in order
        labels = pa.array(self._labels if self._label_field is not None else [None] * len(digests), pa.string())
        columns = [fixed(digests[order]), fixed(ids[order]), pa.array(order.astype(np.uint32)), labels.take(pa.array(order))]
        write_shard(path, DIGESTS, [pa.RecordBatch.from_arrays(columns, schema=DIGESTS)], compress=False)
        return partition_offsets(high[order], partitions)


def partition_offsets(sorted_keys: npt.NDArray[np.uint64], partitions: int) -> list[int]:
    """Where each of `partitions` equal ranges of uint64 starts among sorted keys, and the number of keys."""
    starts = [-(-(number << 64) // partitions) for number in range(partitions)]
    return [*np.searchsorted(sorted_keys, np.array(starts, np.uint64), side="left").tolist(), len(sorted_keys)]


def halves(digests: npt.NDArray[np.void]) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
    """The leading and the trailing 64 bits of 16-byte digests, as numbers in the digests' own order."""
    pairs = np.frombuffer(digests.tobytes(), ">u8").reshape(-1, 2)
    return pairs[:, 0].astype(np.uint64), pairs[:, 1].astype(np.uint64)


def fixed(values: npt.NDArray[np.void]) -> pa.FixedSizeBinaryArray:
    """An Arrow array of 16-byte values."""
    return pa.Array.from_buffers(pa.binary(16), len(values), [None, pa.py_buffer(values.tobytes())])


def bytes16(column: pa.ChunkedArray) -> npt.NDArray[np.void]:
    """A column of 16-byte values as numpy; no value may be null."""
    parts = [np.frombuffer(chunk.buffers()[1], "V16", count=len(chunk), offset=16 * chunk.offset) for chunk in column.chunks]
    return np.concatenate(parts) if parts else np.empty(0, "V16")


def _label(extra: str | None, field: str) -> str | None:
    value = orjson.loads(extra).get(field) if extra else None
    if value is None:
        return None
    text = orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
    return text if len(text) <= _LONGEST_LABEL else f"xxh3:{xxhash.xxh3_128_hexdigest(text.encode())}"


def concatenated(tables: Sequence[pa.Table], schema: pa.Schema) -> pa.Table:
    return pa.concat_tables([schema.empty_table(), *tables])
