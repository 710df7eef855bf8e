"""A comparison finds a difference that is there, and none where there is none, about as often as it says."""

from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.metrics import metric_named
from model.metrics.comparison import Comparison, compare, correct, differing_items, holm, mcnemar, refusal
from model.metrics.items import Item, Judged, read_items, write_items
from model.metrics.verdicts import verdict
from schemas.results import Result

ACCURACY = metric_named("accuracy", "classification")


def right(answers: np.ndarray) -> np.ndarray:
    return np.stack([answers.astype(float), np.ones(len(answers))], axis=1)


@given(st.lists(st.booleans(), min_size=1, max_size=10))
@settings(max_examples=60, deadline=None)
def test_mcnemar_counts_outcomes_as_unlikely(only_a: list[bool]) -> None:
    """Of all ways that coins could have fallen, those at least as far from even."""
    n, a = len(only_a), sum(only_a)
    as_far = sum(abs(2 * sum(coins) - n) >= abs(2 * a - n) for coins in product((0, 1), repeat=n))
    assert mcnemar(a, n - a) == pytest.approx(as_far / 2**n)


def test_mcnemar_of_many_items() -> None:
    assert mcnemar(5_000, 5_000) == 1
    assert mcnemar(5_400, 4_600) < 1e-12
    assert mcnemar(4_900, 5_100) == pytest.approx(0.0466, abs=0.001), "the normal approximation with its correction says 0.0466"


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
@settings(max_examples=100, deadline=None)
def test_holm_rejects_what_its_steps_reject(ps: list[float]) -> None:
    corrected = holm(ps)
    for level in (0.05, 0.3):
        rejected = set()
        for step, place in enumerate(sorted(range(len(ps)), key=lambda place: ps[place])):
            if ps[place] * (len(ps) - step) >= level:
                break
            rejected.add(place)
        assert {place for place, p in enumerate(corrected) if p < level} == rejected
    assert all(c >= p for c, p in zip(corrected, ps, strict=True))


def test_a_difference_that_is_there_is_told_from_either_side() -> None:
    draw = np.random.default_rng(1)
    hard = draw.random(2000)
    a, b = right(draw.random(2000) < 0.9 - 0.2 * hard), right(draw.random(2000) < 0.82 - 0.2 * hard)
    found = compare("sentiment", "accuracy", "higher", a, b, seed=0)
    assert found.winner == "a" and found.test == "McNemar" and found.p < 0.001
    low, high = found.interval
    assert 0 < low < 0.08 < high and found.difference == pytest.approx(found.a - found.b)
    other = compare("sentiment", "accuracy", "higher", b, a, seed=0)
    assert other.winner == "b" and other.interval == pytest.approx((-high, -low))
    losses = np.stack([draw.gamma(2, 1, 300), np.ones(300), np.ones(300)], axis=1)
    less = losses - np.array([0.1, 0, 0]) * draw.random((300, 1))
    assert compare("lm", "bits_per_byte", "lower", less, losses, seed=0).winner == "a"


def test_equal_systems_do_not_differ() -> None:
    statistics = metric_named("rouge_l", "generation").of(["a b", "c", "d e f"], ["a", "b c", "d f"])
    found = compare("titles", "rouge_l", "higher", statistics, statistics, seed=0)
    assert (found.difference, found.interval, found.p, found.winner) == (0, (0, 0), 1, None)


@pytest.mark.slow
def test_no_difference_is_found_in_95_of_100_pairs_of_equals() -> None:
    """Pairs of systems that answer items of differing difficulty equally well: 200 of scores, and 1,000 right or wrong."""
    draw = np.random.default_rng(5)
    found = {"bootstrap": [], "McNemar": []}
    for pair in range(200):
        a, b = np.clip(draw.random(70) * 0.6 + draw.normal(0, 0.2, (2, 70)), 0, 1)
        one = compare("t", "f1", "higher", *(np.stack([s, np.ones(70)], axis=1) for s in (a, b)), pair)
        found[one.test].append(one.p)
    for _ in range(1000):
        a, b = draw.random((2, 300)) < draw.random(300)
        found["McNemar"].append(mcnemar(int((a & ~b).sum()), int((b & ~a).sum())))
    none = {test: np.mean(np.array(ps) >= 0.05) for test, ps in found.items()}
    assert 0.91 <= none["bootstrap"] <= 0.985
    assert 0.94 <= none["McNemar"] <= 0.985, "the exact test errs on the side of no difference"


def result(**changes: object) -> Result:
    return replace(Result("ner", "tagging", 1, "entity_f1", 3, 0, "ab" * 16, {}), **changes)


def test_refusals_say_what_differs() -> None:
    assert refusal(result(), result()) is None
    assert refusal(result(), result(version=2)) == "the version of the task differs: 1 against 2"
    assert refusal(result(), result(data="cd" * 16)) == "the digest of the data differs: abababab against cdcdcdcd"
    assert refusal(result(), result(data="ab" * 15 + "cd")) == "the digest of the data differs"
    assert refusal(result(), result(shots=5)) == "the number of examples in the prompt (shots) differs: 0 against 5"
    a, b = Judged(("1", "2", "3"), {}), Judged(("1", "3"), {})
    assert differing_items(a, a) is None
    assert differing_items(a, b) == "the items differ: 1 are only among the first model's, as '2'"
    assert differing_items(b, a) == "the items differ: 1 are only among the second model's, as '2'"
    with pytest.raises(ValueError, match=r"ner: statistics of macro_f1 are \(2, 6\) against \(2, 9\)"):
        compare("ner", "macro_f1", "higher", np.ones((2, 6)), np.ones((2, 9)), 0)


def test_verdicts() -> None:
    found = Comparison("sentiment", "accuracy", "higher", 1759, 0.861, 0.846, 0.015, (0.003, 0.027), "McNemar", 0.012, 0.012)
    assert verdict(found, "A", "B") == (
        "A is better than B on sentiment: accuracy 0.861 against 0.846, difference 1.5 points, 95 % interval 0.3 to 2.7, McNemar p = 0.012"
    )
    losing = replace(found, a=0.846, b=0.861, difference=-0.015, interval=(-0.027, -0.003), corrected=0.024)
    assert verdict(losing, "A", "B") == (
        "B is better than A on sentiment: accuracy 0.861 against 0.846, difference 1.5 points, 95 % interval 0.3 to 2.7, "
        "McNemar p = 0.012 (0.024 after Holm's correction)"
    )
    none = replace(
        found, metric="bleu", a=20.04, b=20.04, difference=-0.00001, interval=(-1.24, 1.5), test="bootstrap", p=0.9, corrected=0.9
    )
    assert verdict(none, "A", "B") == (
        "no difference can be told between A and B on sentiment: bleu 20.0 against 20.0, difference 0.0 points, "
        "95 % interval -1.2 to 1.5, bootstrap p = 0.900"
    )
    lower = replace(found, metric="bits_per_byte", better="lower", a=1.7, b=1.8, difference=-0.1, interval=(-0.12, -0.08), corrected=0.0001)
    assert verdict(lower, "A", "B").startswith("A is better than B on sentiment: bits_per_byte 1.700 against 1.800, difference -0.100, ")


def test_many_comparisons_are_corrected_together() -> None:
    one = Comparison("a", "f1", "higher", 9, 0.5, 0.4, 0.1, (0.01, 0.2), "bootstrap", 0.03, 0.03)
    assert one.winner == "a"
    assert [found.winner for found in correct([one, replace(one, task="b")])] == [None, None]
    assert [found.corrected for found in correct([one, replace(one, task="b", p=0.01)])] == [0.03, 0.02]


def test_items_come_back_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "ner.arrow"
    items = [
        Item(name, system, "中文", "", {"entity_f1": [n, 2, 3.5], "accuracy": [n / 3, 1]}, "zh")
        for n, (name, system) in enumerate([("b", "model"), ("b", "majority"), ("a", "model"), ("a", "majority")])
    ]
    assert write_items(path, items) == 4
    found = read_items(path, "model")
    assert found.names == ("a", "b")
    assert found.statistics["entity_f1"].tolist() == [[2, 2, 3.5], [0, 2, 3.5]]
    assert found.statistics["accuracy"].tolist() == [[2 / 3, 1], [0, 1]]
    assert read_items(path, "nobody") == Judged((), {})
    before = path.read_bytes()
    write_items(path, items)
    assert path.read_bytes() == before


def test_items_that_do_not_add_up_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "ner.arrow"
    write_items(path, [Item("a", "model", None, None, {"f1": [1, 1]}), Item("a", "model", None, None, {"f1": [0, 1]})])
    with pytest.raises(ValueError, match=r"ner.arrow: item 'a' of model is there twice"):
        read_items(path, "model")
    for other in ({"f1": [0.0]}, {"f1": [1.0, 1, 1, 1]}, {"accuracy": [0.0, 1]}):
        write_items(path, [Item("a", "model", None, None, {"f1": [1, 1]}), Item("b", "model", None, None, other)])
        with pytest.raises(ValueError, match=r"ner.arrow: not every item has statistics of \w+, or they are not of one length"):
            read_items(path, "model")


def test_few_items_tell_no_difference() -> None:
    for n, p in ((2, 0.5), (5, 0.0625)):
        better, worse = (np.column_stack([np.linspace(low, low + 0.1, n), np.ones(n)]) for low in (0.8, 0.2))
        found = compare("t", "f1", "higher", better, worse, 0)
        assert found.p == p and found.winner is None
