"""The model: how often an epoch reads a document: by its weight and its id, and by nothing else."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.sampling import times_read

WEIGHTS = st.floats(0, 100, width=32)


def batch_of(weights: list[float], subset: str = "train", salt: str = "") -> pa.RecordBatch:
    columns = {
        "doc_id": pa.array([xxhash.xxh3_128_digest(f"{salt}{n}".encode()) for n in range(len(weights))], pa.binary(16)),
        "subset": pa.array([subset] * len(weights)),
        "weight": pa.array(weights, pa.float32()),
    }
    return pa.RecordBatch.from_pydict(columns)


@settings(deadline=None)
@given(st.lists(WEIGHTS, min_size=1, max_size=40), st.text(max_size=3))
def test_a_weight_is_whole_units_and_perhaps_one_more(weights: list[float], salt: str) -> None:
    times = times_read(batch_of(weights, salt=salt))
    for weight, found in zip(weights, times.tolist(), strict=True):
        assert found in ({int(weight)} if weight == int(weight) else {int(weight), int(weight) + 1})


@settings(deadline=None)
@given(st.lists(st.tuples(WEIGHTS, WEIGHTS), min_size=1, max_size=40))
def test_a_larger_weight_only_adds(pairs: list[tuple[float, float]]) -> None:
    smaller, larger = (times_read(batch_of([pick(pair) for pair in pairs])) for pick in (min, max))
    assert (smaller <= larger).all()


@settings(deadline=None)
@given(st.lists(WEIGHTS, min_size=1, max_size=40), st.data())
def test_neighbours_do_not_matter(weights: list[float], data: st.DataObject) -> None:
    batch = batch_of(weights)
    some = data.draw(st.lists(st.integers(0, len(weights) - 1)))
    assert times_read(batch.take(pa.array(some, pa.int64()))).tolist() == times_read(batch)[some].tolist()
    start = data.draw(st.integers(0, len(weights)))
    assert times_read(batch.slice(start)).tolist() == times_read(batch)[start:].tolist()


@pytest.mark.parametrize("weight", [0.1, 0.5, 1.0, 1.3, 2.75])
def test_the_mean_is_the_weight(weight: float) -> None:
    rows = 40_000
    times = times_read(batch_of([weight] * rows))
    five_sigma = 5 * np.sqrt((weight % 1) * (1 - weight % 1) / rows)
    assert abs(times.mean() - weight) <= five_sigma + 1e-6


def test_held_out_documents_and_old_shards_are_read_once() -> None:
    weights = [0.0, 0.5, 7.0]
    for subset in ("validation", "test"):
        assert times_read(batch_of(weights, subset)).tolist() == [1, 1, 1]
    assert times_read(batch_of(weights).drop_columns(["weight"])).tolist() == [1, 1, 1]
