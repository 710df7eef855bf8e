"""The model: the order of samples: permutations lose nothing and scatter, schedules keep every share at every prefix."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.order import Permutation, Permutations, Schedule, integer_weights
from schemas.errors import RequestError


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 5000), st.binary(max_size=20))
def test_a_permutation_is_a_bijection(size: int, key: bytes) -> None:
    image = Permutation(size, key)(np.arange(size))
    assert np.array_equal(np.sort(image), np.arange(size))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 300), min_size=1, max_size=4), st.integers(0, 1 << 40))
def test_permutations_of_several_things_and_epochs_are_each_their_own(sizes: list[int], epoch: int) -> None:
    """All in one call, shuffled together, they are what each alone is; and every epoch is a bijection."""
    many = Permutations(sizes, [str(number).encode() for number in range(len(sizes))])
    thing = np.repeat(np.arange(len(sizes)), sizes)
    index = np.concatenate([np.arange(size) for size in sizes])
    mixed = np.random.default_rng(0).permutation(len(thing))
    image = np.empty_like(index)
    image[mixed] = many(thing[mixed], np.full(len(thing), epoch), index[mixed])
    for number, size in enumerate(sizes):
        assert np.array_equal(np.sort(image[thing == number]), np.arange(size))
        if epoch == 0:
            assert np.array_equal(image[thing == number], Permutation(size, str(number).encode())(np.arange(size)))


def test_a_permutation_depends_on_its_key_and_scatters_neighbours() -> None:
    one, other = Permutation(10_000, b"a")(np.arange(10_000)), Permutation(10_000, b"b")(np.arange(10_000))
    assert (one == other).mean() < 0.01
    assert abs(np.corrcoef(np.arange(10_000), one)[0, 1]) < 0.05
    assert (np.abs(np.diff(one)) == 1).mean() < 0.01
    epochs = Permutations([10_000], [b"a"])
    first, second = (epochs(np.zeros(10_000, int), np.full(10_000, epoch), np.arange(10_000)) for epoch in (0, 1))
    assert np.array_equal(first, one) and (first == second).mean() < 0.01
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.05


def test_every_place_is_as_likely_over_many_keys() -> None:
    """Where index 0 and index 1 of 1,000 go, over 2,000 keys: the chi-square of ten classes stays below its 99.99th percentile."""
    images = np.array([Permutation(1000, bytes([key & 255, key >> 8]))(np.arange(2)) for key in range(2000)])
    for counts in (np.bincount(images[:, 0] // 100, minlength=10), np.bincount((images[:, 0] - images[:, 1]) % 1000 // 100, minlength=10)):
        assert ((counts - 200) ** 2 / 200).sum() < 33.7


def test_a_permutation_of_very_many_things_needs_no_table() -> None:
    for size in (1 << 40, (1 << 62) - 1):
        image = Permutation(size, b"")(np.arange(1000))
        assert len(set(image.tolist())) == 1000
        assert image.min() >= 0 and image.max() < size
    with pytest.raises(ValueError, match="want 1 to 2\\^62"):
        Permutation(0, b"")


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=5))
def test_a_schedule_holds_every_share_at_every_prefix(weights: list[int]) -> None:
    schedule, samples = Schedule(weights), np.arange(3 * sum(weights) + 7)
    turn, rank = schedule.at(samples)
    for number, weight in enumerate(weights):
        mine = turn == number
        assert np.array_equal(rank[mine], np.arange(mine.sum()))
        exact = (samples + 1) * weight / sum(weights)
        assert np.abs(np.cumsum(mine) - exact).max() < len(weights)
    for prefix in (0, 1, sum(weights), len(samples) - 1):
        assert np.array_equal(schedule.dealt(prefix), np.bincount(turn[:prefix], minlength=len(weights)))


@given(st.dictionaries(st.sampled_from("abcdef"), st.floats(0.001, 1e6), min_size=1))
def test_integer_weights_keep_the_shares(mix: dict[str, float]) -> None:
    weights = integer_weights(mix)
    assert set(weights) == set(mix)
    for name in mix:
        assert weights[name] / sum(weights.values()) == pytest.approx(mix[name] / sum(mix.values()), abs=2e-3)


def test_integer_weights_are_in_lowest_terms_and_judge_their_input() -> None:
    assert integer_weights({"zh": 2, "en": 1, "code": 1}) == {"zh": 2, "en": 1, "code": 1}
    assert integer_weights({"a": 1 / 3, "b": 2 / 3, "c": 0}) == {"a": 1, "b": 2}
    for bad in ({"a": -1.0, "b": 2.0}, {"a": float("nan")}, {"a": 0.0}, {}):
        with pytest.raises(RequestError, match="weights must be"):
            integer_weights(bad)
