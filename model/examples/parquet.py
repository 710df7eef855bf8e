"""The model: a Parquet file has an example a row; keys are its columns."""

from __future__ import annotations

from collections.abc import Iterator

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
            for values in batch.to_pylist():
                number += 1
                yield Row(f"row {number}", values)
    except (pa.ArrowException, OSError) as error:
        raise RequestError(f"can't be read as Parquet after row {number}: {error}") from error
