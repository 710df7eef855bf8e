"""The model: an Arrow IPC file is *record batches*, listed at its end, or a stream of them. A record is a row, under its
number in the file (see `rows`). A range of a file owns the batches that lie in it; a stream is never cut.

Files of others may say anything: each batch is proved to be sound before a value of it is looked at. One that isn't is one
reject that names its rows.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from contextlib import suppress
from typing import BinaryIO

import pyarrow as pa

from pipelines.sources.entries import damage
from pipelines.sources.records import Record
from pipelines.sources.rows import owned, row_records, told, wanted_columns
from pipelines.sources.streams import Stream
from schemas.recipe import Source

_MAGIC = b"ARROW1"


def read(file: Stream, source: Source, limit: int) -> Iterator[Record]:
    """The rows of the batches that the range owns."""
    return owned(file, lambda handle: _records(file, handle, source, limit))


def _records(file: Stream, handle: BinaryIO, source: Source, limit: int) -> Iterator[Record]:
    size = handle.seek(0, 2)
    handle.seek(0)
    is_file = handle.read(len(_MAGIC)) == _MAGIC
    handle.seek(0)
    try:
        if is_file:
            yield from _of_file(file, handle, source, limit)
        elif not file.cut_before:
            yield from _of_stream(handle, source, limit)
    except (pa.ArrowException, OSError) as error:
        if not file.cut_before:
            yield damage(0, size, "corrupt_input", f"arrow: {told(error)}")


def _of_file(file: Stream, handle: BinaryIO, source: Source, limit: int) -> Iterator[Record]:
    opened = _mapped(handle)
    schema = pa.ipc.open_file(opened).schema
    columns = [schema.get_field_index(name) for name in wanted_columns(schema.names, source)]
    # All columns are mapped; some of them are copied, which is worth it if others would have to be decompressed.
    some = columns if len(columns) < len(schema.names) else None
    reader = pa.ipc.open_file(opened, options=pa.ipc.IpcReadOptions(included_fields=some, use_threads=False))
    narrowest = sorted(columns, key=lambda index: not pa.types.is_primitive(schema.field(index).type))[:1]
    counter = pa.ipc.open_file(opened, options=pa.ipc.IpcReadOptions(included_fields=narrowest, use_threads=False))
    first, count = 0, reader.num_record_batches
    for number in range(count):
        rows = None
        if file.owns(number, count):
            try:
                batch = reader.get_batch(number)
            except (pa.ArrowException, OSError) as error:
                yield damage(first, 0, "corrupt_input", f"arrow: batch {number} of {count}, from row {first:,} on: {told(error)}")
            else:
                rows = batch.num_rows
                yield from _sound(batch, first, number, source, limit)
        if rows is None:
            with suppress(pa.ArrowException):  # whoever owns that batch tells it
                rows = counter.get_batch(number).num_rows
        first += rows or 0


def _of_stream(handle: BinaryIO, source: Source, limit: int) -> Iterator[Record]:
    reader = pa.ipc.open_stream(_mapped(handle))
    columns, first, number = wanted_columns(reader.schema.names, source), 0, 0
    while True:
        try:
            batch = reader.read_next_batch()
        except StopIteration:
            return
        except (pa.ArrowException, OSError) as error:
            yield damage(first, 0, "corrupt_input", f"arrow: the stream ends at batch {number}, row {first:,}: {told(error)}")
            return
        yield from _sound(batch.select(columns), first, number, source, limit)
        first, number = first + batch.num_rows, number + 1


def _sound(batch: pa.RecordBatch, first: int, number: int, source: Source, limit: int) -> Iterator[Record]:
    try:
        _as_bytes(batch).validate(full=True)
    except pa.ArrowException as error:
        last = first + batch.num_rows - 1
        yield damage(first, batch.get_total_buffer_size(), "corrupt_input", f"arrow: batch {number}, rows {first:,} to {last:,}: {error}")
        return
    yield from row_records(batch, first, source, limit)


def _as_bytes(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch with bytes for strings: one that isn't UTF-8 is its row's fault alone, and found there."""
    kinds = {pa.string(): pa.binary(), pa.large_string(): pa.large_binary()}
    columns = [column.view(kinds[column.type]) if column.type in kinds else column for column in batch.columns]
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def _mapped(handle: BinaryIO) -> pa.NativeFile:
    """The file without holding it: mapped where the system can, else read piece by piece."""
    try:
        return pa.BufferReader(pa.py_buffer(mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ)))
    except (OSError, AttributeError, ValueError):
        return pa.PythonFile(handle, mode="r")
