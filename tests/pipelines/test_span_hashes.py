"""Equal spans have equal hashes wherever they lie, and others have others."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines import span_hashes
from pipelines.span_hashes import SpanHashes


@settings(deadline=None)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=40), st.sampled_from([1, 3, 8, 1 << 16]), st.data())
def test_hashes_are_equal_exactly_if_spans_are(values: list[int], chunk: int, data: st.DataObject) -> None:
    bounds = st.tuples(st.integers(0, len(values)), st.integers(0, len(values))).map(sorted).filter(lambda pair: pair[0] < pair[1])
    pairs = data.draw(st.lists(bounds, min_size=1, max_size=20))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(span_hashes, "_CHUNK", chunk)
        span_hashes._powers.cache_clear()
        spans = SpanHashes(np.array(values, np.uint64) + np.uint64(1))
        starts, ends = np.array(pairs, np.int64).T
        found = spans.of(starts, ends).tolist()
    span_hashes._powers.cache_clear()
    contents = [tuple(values[start:end]) for start, end in pairs]
    assert len(set(zip(contents, found, strict=True))) == len(set(contents)) == len(set(found))


def test_a_span_has_one_hash_at_every_distance() -> None:
    word = np.array([7, 1, 4], np.uint64)
    values = np.zeros(200_000, np.uint64)
    starts = np.array([0, 65_534, 65_537, 131_071, 199_997])
    for start in starts:
        values[start : start + 3] = word
    assert len(set(SpanHashes(values).of(starts, starts + 3).tolist())) == 1
