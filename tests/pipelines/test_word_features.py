"""Word types and their features depend on spellings alone."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.annotate.fast.hashing import Spellings
from pipelines.annotate.fast.word_features import TABLE_ROWS, fold, type_features, word_types
from pipelines.characters import codes_of

WORDS = st.lists(st.text(st.characters(codec="utf-8", exclude_characters=" "), min_size=1, max_size=9), max_size=30)


def spread(words: list[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    data = " ".join(words).encode()
    sizes = np.array([len(word.encode()) for word in words], np.int64)
    starts = np.cumsum(sizes + 1) - sizes - 1 if words else np.zeros(0, np.int64)
    return np.frombuffer(data, np.uint8), starts, starts + sizes


@settings(deadline=None)
@given(WORDS)
def test_types_are_the_distinct_spellings(words: list[str]) -> None:
    types, spellings = word_types(*spread(words))
    assert [spellings[number].as_py().decode() for number in types.tolist()] == words
    assert len(set(spellings.to_pylist())) == len(spellings) == len(set(words))


@settings(deadline=None)
@given(WORDS)
def test_features_of_a_type_do_not_depend_on_the_others(words: list[str]) -> None:
    distinct = [word.encode() for word in dict.fromkeys(words)]
    together = type_features(pa.array(distinct, pa.binary()))
    assert together.shape == (len(distinct), 12)
    assert ((together >= 0) & (together < TABLE_ROWS)).all()
    for number, word in enumerate(distinct):
        assert np.array_equal(type_features(pa.array([word], pa.binary()))[0], together[number])


@settings(deadline=None)
@given(st.text(max_size=40), st.data())
def test_equal_pieces_have_equal_hashes_wherever_they_stand(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    codes = codes_of(text) if not any(0xD800 <= ord(c) < 0xE000 for c in text) else codes_of("")
    if codes.size:
        inside = Spellings(codes).hashes(np.array([start]), np.array([end]))
        assert inside == Spellings(codes[start:end]).hashes(np.array([0]), np.array([end - start]))


@settings(max_examples=200, deadline=None)
@given(st.text(st.characters(codec="utf-8"), max_size=20))
def test_folding_twice_is_folding_once(text: str) -> None:
    once = fold(codes_of(text))
    assert np.array_equal(fold(once), once)


def test_folding_forgets_case_width_digits_and_the_look_of_quotes() -> None:
    assert np.array_equal(fold(codes_of("ＵＳＡ’s Ａ１9")), fold(codes_of("usa's a00")))
