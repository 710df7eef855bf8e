"""The model: a *document shard* is an Arrow IPC file with one row a document; a *reject shard* has one row a
record that was not kept; a *token shard* has row i for row i of its document shard.

The three schemas are declared here and nowhere inferred. Names of enumerations (UPOS tags) and the versions of the
engines that made a shard ride in the schema metadata. Offsets are byte offsets into the UTF-8 text. ``redacted`` counts the
values that were replaced in a text, by kind, and is null where none was looked for. ``flags`` names what a document was kept
in spite of; ``weight`` is how often training reads it (`schemas.sampling`), 1 unless the recipe says otherwise.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.ipc

UPOS = (
    "ADJ", "ADP", "ADV", "AUX", "CCONJ", "DET", "INTJ", "NOUN", "NUM", "PART", "PRON", "PROPN", "PUNCT", "SCONJ",
    "SYM", "VERB", "X",
)  # fmt: skip
"""Universal POS tags (universaldependencies.org/u/pos), in the order of their codes in the ``pos`` column."""

UPOS_CODE: Mapping[str, int] = {tag: code for code, tag in enumerate(UPOS)}

SUBSETS = ("train", "validation", "test")
"""Where a document's origin group fell; validation and test are the held-out subsets."""

SIGNALS = (
    "chars", "words", "mean_word_length", "alphabetic", "digits", "symbols", "han", "lines_end_punctuation", "new_lines",
    "duplicate_lines", "top_2gram", "harmful",
)  # fmt: skip
"""What rules judge by. Ratios are of characters or lines, in 0..1; ``chars`` and ``words`` are counts; ``harmful`` is null where
nobody looked for it."""

REDACTED = ("secret", "email", "id_card", "card", "ip", "phone")
"""Kinds of values that redaction replaces."""

DOCUMENTS = pa.schema(
    [
        pa.field("doc_id", pa.binary(16), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("uri", pa.string(), nullable=False),
        pa.field("record", pa.int64(), nullable=False),
        pa.field("record_bytes", pa.int64(), nullable=False),
        pa.field("clean_is_identity", pa.bool_(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
        pa.field("lang", pa.string(), nullable=False),
        pa.field("lang_score", pa.float32(), nullable=False),
        pa.field("origin_group", pa.uint64(), nullable=False),
        pa.field("subset", pa.string(), nullable=False),
        pa.field("sentence_ends", pa.list_(pa.int32()), nullable=False),
        pa.field("word_starts", pa.list_(pa.int32()), nullable=False),
        pa.field("word_ends", pa.list_(pa.int32()), nullable=False),
        pa.field("pos", pa.list_(pa.uint8())),
        pa.field("signals", pa.struct([pa.field(name, pa.float32()) for name in SIGNALS]), nullable=False),
        pa.field("flags", pa.list_(pa.string()), nullable=False),
        pa.field("weight", pa.float32(), nullable=False),
        pa.field("redacted", pa.struct([pa.field(kind, pa.int32(), nullable=False) for kind in REDACTED])),
        pa.field("extra", pa.string()),
    ],
    metadata={"upos": ",".join(UPOS)},
)

REJECTS = pa.schema(
    [
        pa.field("doc_id", pa.binary(16), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("uri", pa.string(), nullable=False),
        pa.field("record", pa.int64(), nullable=False),
        pa.field("record_bytes", pa.int64(), nullable=False),
        pa.field("stage", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("detail", pa.string(), nullable=False),
        pa.field("text", pa.string()),
    ]
)

PLACES = pa.schema([REJECTS.field(name) for name in ("doc_id", "source", "uri", "record", "record_bytes")])
"""Of token rows without a document shard: where each comes from."""


def tokens_schema(vocab_size: int, metadata: Mapping[str, str] | None = None) -> pa.Schema:
    """The schema of token shards: ids are uint16 when the vocabulary fits, else uint32, without special tokens.

    ``source``, ``lang``, ``subset`` and ``weight`` repeat the document's, so that a trainer needs no second file.
    ``token_starts`` (byte offsets) is null for byte-level tokenizers, where it is a cumulative sum of token lengths.
    ``word_start`` and ``sentence_ends`` are null where nobody looked for words: text that was tokenized without a documents step.
    """
    width = pa.uint16() if vocab_size <= 1 << 16 else pa.uint32()
    return pa.schema(
        [
            pa.field("doc_id", pa.binary(16), nullable=False),
            pa.field("source", pa.string(), nullable=False),
            pa.field("lang", pa.string(), nullable=False),
            pa.field("subset", pa.string(), nullable=False),
            pa.field("weight", pa.float32(), nullable=False),
            pa.field("tokens", pa.large_list(width), nullable=False),
            pa.field("token_starts", pa.list_(pa.uint32())),
            pa.field("word_start", pa.list_(pa.bool_())),
            pa.field("sentence_ends", pa.list_(pa.uint32())),
            pa.field("n_bytes", pa.uint64(), nullable=False),
        ],
        metadata=dict(metadata or {}),
    )


def write_shard(path: str | os.PathLike[str], schema: pa.Schema, batches: Iterable[pa.RecordBatch], *, compress: bool) -> int:
    """Write batches as an Arrow IPC file, zstd buffers if ``compress``; return the rows written.

    The file is synced to disk, and holds no time or host: equal batches give equal bytes.
    """
    options = pa.ipc.IpcWriteOptions(compression=pa.Codec("zstd", compression_level=1) if compress else None, use_threads=False)
    rows = 0
    with open(path, "wb") as sink:
        with pa.ipc.new_file(sink, schema, options=options) as writer:
            for batch in batches:
                writer.write_batch(batch)
                rows += batch.num_rows
        sink.flush()
        os.fsync(sink.fileno())
    return rows


def read_shard(path: str | os.PathLike[str]) -> pa.Table:
    """Memory-map a shard as a table; uncompressed columns are zero-copy. Raises ``pa.ArrowInvalid`` naming the file."""
    try:
        with pa.memory_map(str(path)) as source:
            return pa.ipc.open_file(source).read_all()
    except pa.ArrowInvalid as error:
        raise pa.ArrowInvalid(f"{Path(path)}: not a readable Arrow file: {error}") from error


def read_batches(path: str | os.PathLike[str], columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
    """The batches of a shard, one after the other; of other columns than the named ones nothing is read. Raises as `read_shard`."""
    try:
        with pa.memory_map(str(path)) as source:
            schema = pa.ipc.open_file(source).schema
            fields = [schema.get_field_index(name) for name in columns or ()]
            options = pa.ipc.IpcReadOptions(use_threads=False, included_fields=fields)
            with pa.ipc.open_file(source, options=options) as reader:
                for number in range(reader.num_record_batches):
                    yield reader.get_batch(number)
    except pa.ArrowInvalid as error:
        raise pa.ArrowInvalid(f"{Path(path)}: not a readable Arrow file: {error}") from error


def ids_of(column: pa.Array) -> npt.NDArray[np.uint64]:
    """uint64 [rows, 2] of a column of 16-byte ids: two big-endian halves, so that they sort as their bytes do."""
    whole = np.frombuffer(column.buffers()[1] or b"", np.uint8)[16 * column.offset :][: 16 * len(column)]
    return whole.view(">u8").astype(np.uint64).reshape(-1, 2)
