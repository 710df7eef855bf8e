"""What is taken from the runs of ancestors, against a naive restatement."""

from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.dedup.ancestors import matching
from pipelines.dedup.runs import DIGESTS
from pipelines.job import Handle
from schemas.arrow import read_shard, write_shard


class Shards:
    """Reads handles, as a job does."""

    def read(self, handle: Handle) -> pa.Table:
        return read_shard(handle.path)


KEYS = st.integers(0, 12).map(lambda n: n * (1 << 60) + n)


@pytest.mark.parametrize("schema", [DIGESTS, pa.schema([("key", pa.uint64()), ("row", pa.uint32())])], ids=["digests", "numbers"])
@settings(deadline=None, max_examples=60)
@given(old=st.lists(st.lists(KEYS, max_size=12), max_size=4), new=st.lists(KEYS, max_size=6), most=st.none() | st.integers(1, 3))
def test_rows_with_a_new_key_are_taken_and_no_others(
    tmp_path_factory: pytest.TempPathFactory, schema: pa.Schema, old: list[list[int]], new: list[int], most: int | None
) -> None:
    handles, expected, taken = [], [], Counter[int]()
    folder = tmp_path_factory.getbasetemp()
    for split, keys in enumerate(old):
        handles.append(Handle("digests", split, write(folder / f"{split}.arrow", schema, sorted(keys)), 0, len(keys), ""))
        for row, key in enumerate(sorted(keys)):
            if key in new and (most is None or taken[key] < most):
                taken[key] += 1
                expected.append((split, row))
    run = read_shard(write(folder / "new.arrow", schema, sorted(new)))
    found = matching(Shards(), handles, [run.slice(0, 2), run.slice(2)], most)  # type: ignore[arg-type]
    assert [(split, row) for split, table in found for row in table["row"].to_pylist()] == expected


def write(path: Path, schema: pa.Schema, keys: list[int]) -> str:
    """A run in two batches."""
    columns: dict[str, pa.Array] = {"row": pa.array(np.arange(len(keys), dtype=np.uint32))}
    for field in schema:
        if field.type == pa.binary(16):
            columns[field.name] = pa.array([key.to_bytes(8, "big") + bytes(8) for key in keys], field.type)
        elif field.name != "row":
            columns[field.name] = pa.array(keys, field.type) if field.type == pa.uint64() else pa.nulls(len(keys), field.type)
    batch = pa.RecordBatch.from_arrays([columns[field.name] for field in schema], schema=schema)
    write_shard(path, schema, [batch.slice(0, 3), batch.slice(3)], compress=False)
    return str(path)
