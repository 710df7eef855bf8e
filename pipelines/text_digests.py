"""The model: the *digest* of a text is xxh3-128 of it as UTF-8: equal digests are equal texts."""

from __future__ import annotations

import pyarrow as pa
import xxhash


def text_digests(batch: pa.RecordBatch) -> list[bytes]:
    """The digest of each text of a batch."""
    return [xxhash.xxh3_128_digest(text) for text in batch.column("text").cast(pa.binary()).to_pylist()]


def text_digest(text: str) -> bytes:
    """The digest of one text."""
    return xxhash.xxh3_128_digest(text.encode())
