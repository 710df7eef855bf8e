"""The model: a Parquet file has an example a row; keys are its columns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from model.examples.rows import Fault, Row
from schemas.errors import RequestError
from schemas.recipe.task import TaskData


def read(content: bytes, data: TaskData) -> Iterator[Row | Fault]:
    """The rows, numbered from 1. Raises `RequestError` if it is no Parquet."""
    number = 0
    try:
        for batch in pq.ParquetFile(pa.BufferReader(content)).iter_batches():
            for values in _rows(batch):
                number += 1
                if isinstance(values, UnicodeDecodeError):
                    yield Fault(f"row {number}", "undecodable", f"holds text that is not UTF-8: {values}")
                else:
                    yield Row(f"row {number}", values)
    except (pa.ArrowException, OSError) as error:
        raise RequestError(f"can't be read as Parquet after row {number}: {error}") from error


def _rows(batch: pa.RecordBatch) -> Iterator[dict[str, Any] | UnicodeDecodeError]:
    """Nothing has checked that texts are UTF-8: a batch that isn't is taken row by row."""
    try:
        yield from batch.to_pylist()
    except UnicodeDecodeError as error:
        if batch.num_rows == 1:
            yield error
            return
        for place in range(batch.num_rows):
            yield from _rows(batch.slice(place, 1))
