"""An index is a dict by another name; types that it numbers have the table's rows, whether they are kept or passing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.annotate.fast import indexes
from pipelines.annotate.fast.indexes import Index, NumberIndex, SpellingIndex
from pipelines.annotate.fast.known_types import KnownTypes

BATCHES = st.lists(st.lists(st.integers(0, (1 << 64) - 1) | st.integers(0, 40), max_size=30, unique=True), max_size=8)


def as_spellings(keys: list[int]) -> np.ndarray:
    made = np.empty(len(keys), object)
    made[:] = [str(key).encode() for key in keys]
    return made


@settings(deadline=None)
@given(BATCHES)
def test_numbers_are_those_of_a_dict(batches: list[list[int]]) -> None:
    number: dict[int, int] = {}
    by_number, by_spelling = NumberIndex(300), SpellingIndex()
    for keys in batches:
        numbers = np.array(keys, np.uint64)
        expected = [number.get(key, -1) for key in keys]
        assert by_number.find(numbers).tolist() == by_spelling.find(as_spellings(keys)).tolist() == expected
        new = [key for key in keys if key not in number]
        number |= {key: len(number) + i for i, key in enumerate(new)}
        by_number.add(np.array(new, np.uint64))
        by_spelling.add(as_spellings(new))
        assert len(by_number) == len(by_spelling) == len(number)
    by_number.clear()
    assert len(by_number) == 0 and (by_number.find(np.array(list(number), np.uint64)) == -1).all()


def test_keys_of_one_slot_find_each_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexes, "mixed", lambda keys: np.full(keys.shape, 6, np.uint64))
    index = NumberIndex(4)
    index.add(np.array([5, 9], np.uint64))
    index.add(np.array([7, 1], np.uint64))
    assert index.find(np.array([1, 5, 7, 9, 2], np.uint64)).tolist() == [3, 0, 2, 1, -1]


@pytest.mark.parametrize("spelled", [False, True])
def test_projections_are_found_by_number_whatever_was_met_before(spelled: bool) -> None:
    def project(keys: np.ndarray, out: np.ndarray) -> None:
        out += np.array([int(key) for key in keys], np.int16)[None, :, None]

    index: Index = SpellingIndex() if spelled else NumberIndex(20)
    known = KnownTypes(index, project, (-1, 0), 3, most=20)
    draw = np.random.default_rng(3)
    for size, highest in [(5, 10), (15, 40), (40, 90), (8, 90), (30, 9000), (20, 60)] * 3:
        keys = draw.choice(highest, size, replace=False).tolist()
        numbers, table = known.numbers(as_spellings(keys) if spelled else np.array(keys, np.uint64))
        assert (table.projections[:, 0] == 0).all()
        assert table.projections[:, numbers + 1].tolist() == [[[key] * 3 for key in keys]] * 2
