"""The model: a Parquet file is *row groups*, each read by itself, column by column in batches. A record is a row, under its
number in the file (see `rows`). A range of a file owns the row groups that lie in it.

A row group that can't be read, or from some row on, is one reject that names the rows and owns its stored bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.sources.compression import Inflation
from pipelines.sources.entries import damage
from pipelines.sources.records import Record
from pipelines.sources.rows import owned, row_records, told, wanted_columns
from pipelines.sources.streams import Stream
from schemas.recipe import Source

_BATCH = 2 << 20
"""Bytes of a batch, by what the row group says of itself."""
_MOST_ROWS = 4096
_FEWEST_ROWS, _EXPANDED = 16, 1 << 31
"""Where a column has a dictionary, few rows may stand for many bytes: so many rows that even the worst stay below this."""
_DICTIONARY = 8 << 20
"""Bytes of a column up to which its dictionary is handed on as one; writers give up dictionaries that grow, at 1 MiB mostly."""
_BUFFER = 1 << 20
"""Bytes of a column that are read at a time."""


def read(file: Stream, source: Source, limit: int) -> Iterator[Record]:
    """The rows of the row groups that the range owns."""
    return owned(file, lambda handle: _records(file, handle, source, limit))


def _records(file: Stream, handle: BinaryIO, source: Source, limit: int) -> Iterator[Record]:
    size = handle.seek(0, 2)
    try:
        metadata = pq.read_metadata(handle)
        names = metadata.schema.to_arrow_schema().names
    except (pa.ArrowException, OSError) as error:
        if (bad := told(error)) and not file.cut_before:
            yield damage(0, size, "corrupt_input", f"parquet: {bad}")
        return
    first = 0
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        if file.owns(number, metadata.num_row_groups):
            yield from _group_records(handle, group, number, first, wanted_columns(names, source), source, limit)
        first += group.num_rows


def _group_records(
    handle: BinaryIO, group: pq.RowGroupMetaData, number: int, first: int, columns: list[str], source: Source, limit: int
) -> Iterator[Record]:
    chunks = [group.column(index) for index in range(group.num_columns)]
    chunks = [chunk for chunk in chunks if chunk.path_in_schema.split(".")[0] in columns]
    stored = sum(chunk.total_compressed_size for chunk in chunks)
    held = sum(chunk.total_uncompressed_size for chunk in chunks)
    rows = max(1, min(_MOST_ROWS, _BATCH * group.num_rows // max(held, 1)))
    repeats = False
    for chunk in chunks:
        if chunk.has_dictionary_page:  # a row may be as long as all that the chunk says it holds
            repeats |= chunk.path_in_schema == source.text_field and chunk.total_uncompressed_size <= _DICTIONARY
            rows = min(rows, max(_FEWEST_ROWS, _EXPANDED // max(chunk.total_uncompressed_size, 1)))
    inflation, row, end = Inflation(stored), first, first + group.num_rows
    try:
        opened = pq.ParquetFile(
            handle, buffer_size=_BUFFER, pre_buffer=False, page_checksum_verification=True,
            read_dictionary=[source.text_field] if repeats else None,
        )  # fmt: skip
        for batch in opened.iter_batches(rows, row_groups=[number], columns=columns, use_threads=False):
            for record in row_records(batch, row, source, limit):
                if bomb := inflation.add(record.size):
                    yield damage(record.offset, 0, bomb.reason, f"{_rows(record.offset, end)}: {bomb.detail}")
                    return
                yield record
            row += batch.num_rows
        if row != end:
            yield damage(row, stored, "corrupt_input", f"parquet: {_rows(row, end)} are missing")
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        yield damage(row, stored, "corrupt_input", f"parquet: {_rows(row, end)}: {told(error)}")


def _rows(first: int, end: int) -> str:
    return f"rows {first:,} to {end - 1:,}"
