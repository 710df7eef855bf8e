"""The model: a *batch* is a RecordBatch of 1-4 MB of text, all of one source. A *stage* is a pure function from a batch
to what it keeps and what it rejects; every row that goes in comes out on one of the two sides.

One bad record never kills a batch: `guarded` halves a batch whose stage raised, down to the row that made it raise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from schemas.arrow import DOCUMENTS, REJECTS
from schemas.ledger import Ledger

BATCH_BYTES = 2 << 20
BATCH_ROWS = 1 << 14
DETAIL_LIMIT = 500
"""Characters of a reject's detail."""

_SEQ = pa.field("seq", pa.int32(), nullable=False)
"""Number of a record among all of its split, kept or not: the canonical order."""

RAW = pa.schema(
    [
        _SEQ,
        pa.field("doc_id", pa.binary(16), nullable=False),
        REJECTS.field("source"),
        REJECTS.field("uri"),
        REJECTS.field("record"),
        REJECTS.field("record_bytes"),
        pa.field("digest", pa.binary(16), nullable=False),
        pa.field("raw", pa.large_binary(), nullable=False),
        pa.field("encoding", pa.string(), nullable=False),
        pa.field("extra", pa.string()),
        pa.field("reason", pa.string()),
        pa.field("detail", pa.string()),
    ]
)
"""Records as a format read them; `digest` is of the bytes that the record owns, `reason` and `detail` are its fault."""

_ANNOTATED = ("sentence_ends", "word_starts", "word_ends", "pos")

PREPARED = pa.schema(
    [
        _SEQ,
        *(field for field in DOCUMENTS if field.name not in _ANNOTATED),
        pa.field("cleaned", pa.string()),
    ]
)
"""A document before annotation; `cleaned` is the JSON of {kind: bytes}, null if cleaning found nothing to do."""

PREPARED_REJECTS = pa.schema([_SEQ, *REJECTS])

Verdict = tuple[str, str] | None
"""Reason and detail of a reject, or None to keep."""


class Sifted(NamedTuple):
    """What a stage made of a batch."""

    kept: pa.RecordBatch
    rejects: pa.RecordBatch
    """Of schema PREPARED_REJECTS."""


Stage = Callable[[pa.RecordBatch], Sifted]


def sift(batch: pa.RecordBatch, stage: str, verdicts: Sequence[Verdict], *, keep_text: bool) -> Sifted:
    """Divide a batch by verdicts, one a row; `stage` is the name that rejects carry.

    With `keep_text` rejects hold the text of their record: what is raw of it, if the batch still has that.
    """
    bad = [i for i, verdict in enumerate(verdicts) if verdict is not None]
    if not bad:
        return Sifted(batch, no_rejects())
    good = pa.array([verdict is None for verdict in verdicts], pa.bool_())
    return Sifted(batch.filter(good), _rejects(batch.take(pa.array(bad)), stage, [verdicts[i] for i in bad], keep_text))


def no_rejects() -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([], schema=PREPARED_REJECTS)


def _rejects(batch: pa.RecordBatch, stage: str, verdicts: Sequence[Verdict], keep_text: bool) -> pa.RecordBatch:
    rows = batch.num_rows
    columns = {name: batch.column(name) for name in ("seq", "doc_id", "source", "uri", "record", "record_bytes")}
    columns["stage"] = pa.array([stage] * rows, pa.string())
    columns["reason"] = pa.array([verdict[0] for verdict in verdicts if verdict], pa.string())
    columns["detail"] = pa.array([_one_line(verdict[1]) for verdict in verdicts if verdict], pa.string())
    columns["text"] = pa.array(_raw_text(batch) if keep_text else [None] * rows, pa.string())
    return pa.RecordBatch.from_arrays([columns[name] for name in PREPARED_REJECTS.names], schema=PREPARED_REJECTS)


def _one_line(detail: str) -> str:
    """A detail that any page or terminal can show, whatever the record held."""
    return " ".join(detail.encode("utf-8", "backslashreplace").decode().split())[:DETAIL_LIMIT]


def _raw_text(batch: pa.RecordBatch) -> list[str]:
    """The raw text as characters; bytes that are none are written as escapes."""
    if "raw" not in batch.schema.names:
        return batch.column("text").to_pylist()
    pairs = zip(batch.column("raw").to_pylist(), batch.column("encoding").to_pylist(), strict=True)
    return [raw.decode(encoding, "backslashreplace") for raw, encoding in pairs]


def guarded(stage: str, function: Stage, batch: pa.RecordBatch, *, keep_text: bool) -> Iterator[Sifted]:
    """Run a stage; rows that make it raise become rejects `error_{stage}`, with the exception's type and message.

    What no record can be blamed for (a package, memory or a disk that is missing) is raised on.
    """
    try:
        yield function(batch)
    except (ImportError, MemoryError, OSError):
        raise
    except Exception as error:  # whatever a record may hold that no stage foresaw
        if batch.num_rows == 1:
            verdict = (f"error_{stage}", f"{type(error).__name__}: {error}")
            yield Sifted(batch.slice(0, 0), sift(batch, stage, [verdict], keep_text=keep_text).rejects)
        else:
            half = batch.num_rows // 2
            yield from guarded(stage, function, batch.slice(0, half), keep_text=keep_text)
            yield from guarded(stage, function, batch.slice(half), keep_text=keep_text)


def with_columns(batch: pa.RecordBatch, **columns: pa.Array) -> pa.RecordBatch:
    """The batch with columns added or replaced."""
    for name, column in columns.items():
        at = batch.schema.get_field_index(name)
        batch = batch.append_column(name, column) if at < 0 else batch.set_column(at, name, column)
    return batch


def rejected_ledger(rejects: pa.Table, source: str) -> Ledger:
    """The rejected records of one source and their bytes, by reason."""
    of_source = rejects.filter(pc.equal(rejects["source"], source))
    table = of_source.group_by("reason").aggregate([("record_bytes", "count"), ("record_bytes", "sum")])
    columns = (table.column(name).to_pylist() for name in ("reason", "record_bytes_count", "record_bytes_sum"))
    rows = sorted(zip(*columns, strict=True))
    return Ledger(rejected={reason: count for reason, count, _ in rows}, bytes_rejected={reason: size for reason, _, size in rows})
