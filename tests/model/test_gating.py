"""What lets a challenger through a gate, and what does not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.metrics.bootstrap import wilson
from model.metrics.gating import FEWEST, STUDENT, corrected, deviation, gained, guarded, needed_of, spread
from model.metrics.likelihood import bits_per_byte_value
from model.metrics.metric import mean
from tests.model.gates import read_items, simulate

SEED = 20261127


def test_an_equal_challenger_is_refused_in_19_of_20_gates_and_a_better_one_is_not() -> None:
    items = read_items()
    print(f"seed {SEED}")
    assert simulate(items, 100, 4, 0.0, SEED) <= 5
    assert simulate(items, 20, 4, 12.0, SEED) >= 19
    assert simulate(items, 20, 7, 3.0, SEED) >= 11, "most of those that are better by three deviations"


@pytest.mark.soak
def test_an_equal_challenger_is_refused_in_19_of_20_of_a_thousand_gates() -> None:
    items = read_items()
    for seeds in (2, 3, 4, 7):
        promoted = simulate(items, 1000, seeds, 0.0, SEED)
        print(f"{seeds} seeds: {promoted} of 1,000 promoted, 95 % interval {wilson(promoted, 1000)}")
        assert promoted <= 50


def statistics(n: int, seed: int, level: float = 3.0) -> np.ndarray:
    draw = np.random.default_rng(seed)
    sizes = draw.integers(50, 500, n).astype(np.float64)
    return np.column_stack([sizes * draw.normal(level, 0.3, n), np.zeros(n), sizes])


@settings(max_examples=30)
@given(st.integers(2, 60), st.integers(0, 1000), st.floats(0.5, 2.0))
def test_a_gain_has_the_sign_and_size_of_its_difference(n: int, seed: int, factor: float) -> None:
    champion = statistics(n, seed)
    challenger = champion * np.array([factor, 1.0, 1.0])
    found = gained(champion, challenger, bits_per_byte_value, 0.0, 0.05, seed)
    assert found.gain == pytest.approx(found.champion * (1 - factor))
    assert found.interval[0] <= found.interval[1] and found.passed == (n >= FEWEST and found.interval[0] > 0)
    same = gained(champion, champion, bits_per_byte_value, 0.0, 0.05, seed)
    assert same.gain == 0 and same.interval == (0, 0) and not same.passed


@settings(max_examples=30)
@given(st.integers(12, 60), st.integers(0, 1000), st.floats(0.001, 0.5))
def test_a_rise_by_the_margin_is_never_passed_and_no_rise_is(n: int, seed: int, margin: float) -> None:
    champion = statistics(n, seed)
    worse = champion * np.array([1 + margin * 1.001, 1.0, 1.0])
    assert guarded(champion, worse, bits_per_byte_value, "lower", margin, True, seed).p == 1
    same = guarded(champion, champion, bits_per_byte_value, "lower", margin, True, seed)
    assert same.worse == 0 and same.passed(0.05)


@pytest.mark.parametrize(("n", "t"), [(10, 2.262), (30, 2.045), (1000, 1.962)])
def test_draws_of_few_items_are_spread_as_students_t_is(n: int, t: float) -> None:
    assert spread(np.array([1.5, 1.0]), 1.0, n) == pytest.approx([1 + 0.5 * t / 1.96 * (n / (n - 1)) ** 0.5, 1.0], rel=0.001)


@pytest.mark.soak
@pytest.mark.parametrize("n", [FEWEST, 30])
def test_a_challenger_that_is_worse_by_the_margin_passes_a_guard_once_in_twenty_times(n: int) -> None:
    draw, passed = np.random.default_rng(SEED), 0
    for seed in range(1000):
        sizes = draw.integers(100, 400, n).astype(np.float64)
        nats = sizes * draw.normal(1.4, 0.1, n)
        champion, challenger = (np.column_stack([one, np.zeros(n), sizes]) for one in (nats, nats * 1.02 * draw.normal(1, 0.03, n)))
        passed += guarded(champion, challenger, bits_per_byte_value, "lower", 0.02, True, seed).passed(0.05)
    print(f"{n} items: {passed} of 1,000, 95 % interval {wilson(passed, 1000)}")
    assert wilson(passed, 1000)[0] <= 0.05


@given(st.integers(2, 60))
def test_draws_that_are_all_alike_stay_so(n: int) -> None:
    assert spread(np.zeros(3), 0.0, n).tolist() == [0, 0, 0]


def test_a_fall_is_worse_where_higher_is_better() -> None:
    champion, challenger = (np.column_stack([np.arange(100) < right, np.ones(100)]).astype(float) for right in (90, 70))
    found = guarded(champion, challenger, mean, "higher", 0.02, False, 0)
    assert found.worse == pytest.approx(0.2) and not found.passed(0.05)
    assert guarded(challenger, champion, mean, "higher", 0.02, False, 0).passed(0.05)


def test_few_items_can_show_little() -> None:
    few = statistics(4, 0)
    assert guarded(few, few * np.array([0.5, 1, 1]), bits_per_byte_value, "lower", 0.02, True, 0).p == 2**-4


def test_guards_are_corrected_together() -> None:
    found = [guarded(statistics(30, n), statistics(30, n), bits_per_byte_value, "lower", 0.02, True, 0) for n in range(9)]
    assert [one.corrected for one in corrected(found)] == pytest.approx([9 * found[0].p] * 9)


@given(st.lists(st.floats(0.5, 4.0), min_size=2, max_size=12))
def test_the_gain_that_is_needed_is_two_deviations_or_what_few_seeds_ask_for(values: list[float]) -> None:
    times = STUDENT[len(values) - 2] if len(values) <= 6 else 2.0
    assert needed_of(values) == pytest.approx(times * deviation(values))


def test_systems_that_answered_other_items_are_not_compared() -> None:
    with pytest.raises(ValueError, match="the same items, one or more"):
        gained(statistics(3, 0), statistics(4, 0), bits_per_byte_value, 0.0, 0.05, 0)
