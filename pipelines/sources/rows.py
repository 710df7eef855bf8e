"""The model: a *row* of a table is a record: one column holds the text, the others are *extra*, as canonical JSON.

A table has no byte stream of its own that rows would lie in, so a record is known by its row number in the file, and its
size is that of what it carries: the bytes of its text and of its extra.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from typing import Any, BinaryIO

import orjson
import pyarrow as pa
import pyarrow.types as types
import xxhash

from pipelines.sources.compression import BadStream
from pipelines.sources.entries import damage
from pipelines.sources.records import Record, too_long
from pipelines.sources.streams import Stream
from schemas.recipe import Source

_ROWS = 1024
"""Rows whose extras are made at a time."""
_TEXT = (types.is_string, types.is_large_string, types.is_string_view, types.is_binary, types.is_large_binary, types.is_binary_view)


def owned(file: Stream, records: Callable[[BinaryIO], Iterator[Record]]) -> Iterator[Record]:
    """The records that a reader finds in a file by seeking in it; the file's range owns their sizes."""
    try:
        with file.seekable() as handle:
            for record in records(handle):
                file.owned += record.size
                yield record
    except BadStream as bad:
        yield damage(0, 0, *bad.fault)


def told(error: Exception) -> str:
    """What is wrong with a file. Raises the error if it is the disk's or the network's."""
    if isinstance(error, OSError) and error.errno is not None:
        raise error
    return f"{type(error).__name__}: {error}"


def wanted_columns(names: Sequence[str], source: Source) -> list[str]:
    """The columns of a table that a source reads."""
    return [name for name in names if source.extra_fields is None or name == source.text_field or name in source.extra_fields]


def row_records(batch: pa.RecordBatch, first: int, source: Source, limit: int) -> Iterator[Record]:
    """The records of a batch whose first row has number `first` in its file; raw texts are UTF-8, or meant to be."""
    names = batch.schema.names
    at = names.index(source.text_field) if source.text_field in names else None
    others = batch.drop_columns([source.text_field]) if at is not None else batch
    for start in range(0, batch.num_rows, _ROWS):
        rows = min(_ROWS, batch.num_rows - start)
        texts = _texts(batch.column(at).slice(start, rows), source.text_field) if at is not None else None
        for index, extra in enumerate(_extras(others.slice(start, rows))):
            found = texts[index] if texts else ("missing_text", f"there is no column {source.text_field!r}")
            yield _record(first + start + index, found, extra, limit)


def _record(row: int, found: bytes | tuple[str, str], extra: str | tuple[str, str] | None, limit: int) -> Record:
    text, fault = (found, None) if isinstance(found, bytes) else (b"", found)
    told = extra.encode() if isinstance(extra, str) else b""
    size, digest = len(text) + len(told), xxhash.xxh3_128_digest(text + told if told else text)
    if len(text) > limit:
        return too_long(row, size, digest, limit)
    if isinstance(extra, tuple):
        return Record(row, size, digest, text, fault=extra)
    return Record(row, size, digest, text, extra, fault)


class _texts:
    """Texts of a column by position, made when they are asked for: a dictionary may hold one long text for a million rows."""

    def __init__(self, column: pa.Array, name: str) -> None:
        self._column, self._name = column, name
        kind = column.type.value_type if types.is_dictionary(column.type) else column.type
        self._fault = None if any(is_text(kind) for is_text in _TEXT) else ("missing_text", f"{name!r} is {kind}, not a string")

    def __getitem__(self, index: int) -> bytes | tuple[str, str]:
        if self._fault is not None:
            return self._fault
        value = self._column[index]
        if types.is_dictionary(value.type) and value.is_valid:
            value = value.value
        if not value.is_valid:
            return "missing_text", f"{self._name!r} is null"
        return bytes(value.as_buffer())


def _extras(rows: pa.RecordBatch) -> Iterator[str | tuple[str, str] | None]:
    if not rows.num_columns:
        yield from [None] * rows.num_rows
        return
    try:
        yield from [_json(row) for row in rows.to_pylist()]
        return
    except (ValueError, TypeError, OverflowError, ArithmeticError, pa.ArrowException):
        pass  # one of them can't be told: find out which
    for index in range(rows.num_rows):
        try:
            yield _json(rows.slice(index, 1).to_pylist()[0])
        except (ValueError, TypeError, OverflowError, ArithmeticError, pa.ArrowException) as error:
            yield "invalid_value", f"a column of this row can't be told as JSON: {error}"


def _json(row: dict[str, Any]) -> str:
    return orjson.dumps(row, option=orjson.OPT_SORT_KEYS, default=_plain).decode()


def _plain(value: Any) -> Any:
    """Values that JSON has no form for: bytes in base64, decimals and spans of time as text."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, Decimal) or type(value).__name__ in ("timedelta", "Timedelta", "MonthDayNano"):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no form in JSON")
