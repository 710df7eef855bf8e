"""The model: figures of classifiers, and the baselines that a fine-tuned model must beat."""

from __future__ import annotations

import random
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from model.evaluate.baselines import BagOfWords, Rows, count_features, majority
from model.evaluate.classification import judge


def test_majority_is_the_most_frequent_label_and_the_first_of_equals() -> None:
    assert majority(["b", "a", "b"]) == "b"
    assert majority(["b", "a"]) == "a"


def test_figures_by_hand() -> None:
    truth, answers = ["a"] * 6 + ["b"] * 3 + ["c"], ["a"] * 5 + ["b"] + ["b"] * 2 + ["a"] + ["b"]
    figures = judge(answers, truth)
    assert figures["accuracy"] == pytest.approx(0.7)
    assert figures["accuracy_standard_error"] == pytest.approx((0.7 * 0.3 / 10) ** 0.5)
    assert figures["classes"]["a"] == {
        "n": 6,
        "precision": pytest.approx(5 / 6),
        "recall": pytest.approx(5 / 6),
        "f1": pytest.approx(5 / 6),
    }
    assert figures["classes"]["b"] == {"n": 3, "precision": 0.5, "recall": pytest.approx(2 / 3), "f1": pytest.approx(4 / 7)}
    assert figures["classes"]["c"] == {"n": 1, "precision": 0.0, "recall": 0.0, "f1": 0.0}
    assert figures["macro_f1"] == pytest.approx((5 / 6 + 4 / 7) / 3)


@example(["\x000", "", "aaaa", "Aa你你"])
@given(st.lists(st.text(max_size=12), max_size=8))
def test_features_are_the_runs_of_one_to_four_characters_of_each_text(texts: list[str]) -> None:
    counted = count_features(texts)
    assert len(counted.starts) == len(texts) + 1
    for row, text in enumerate(texts):
        runs = Counter(text.lower()[i : i + n] for n in range(1, 5) for i in range(len(text.lower()) - n + 1))
        counts = counted.counts[counted.starts[row] : counted.starts[row + 1]]
        assert counts.sum() == runs.total() and 0 <= len(runs) - len(counts) <= 1  # two runs may share a bucket


def test_equal_runs_are_one_feature_wherever_they_stand() -> None:
    counted = count_features(["abc", "xxabc"])
    first, second = (set(counted.features[counted.starts[row] : counted.starts[row + 1]].tolist()) for row in (0, 1))
    assert len(first) == 6 and first < second


def test_a_sparse_matrix_times_a_dense_one() -> None:
    rows = Rows(torch.tensor([0, 2, 2]), torch.tensor([3, 0, 1]), torch.tensor([2.0, 1.0, 5.0]))
    dense = torch.arange(8.0).reshape(4, 2)
    matrix = torch.tensor([[1.0, 0, 0, 2], [0, 0, 0, 0], [0, 5, 0, 0]])
    torch.testing.assert_close(rows.times(dense), matrix @ dense)
    torch.testing.assert_close(rows.transposed(4).times(dense[:3]), matrix.T @ dense[:3])


def reviews(n: int, seed: int) -> tuple[list[str], list[str]]:
    draw = random.Random(seed)
    told = {"好": "喜欢 满意 不错".split(), "坏": "失望 退货 太差".split(), "中": "一般 还行 凑合".split()}
    labels = [draw.choice("好坏坏中") for _ in range(n)]
    return ["".join([*draw.choices("房书屏酒送价服早电作", k=6), draw.choice(told[label])]) for label in labels], labels


def test_bag_of_words_learns_several_classes_and_repeats_itself() -> None:
    train, validation, (texts, labels) = reviews(300, 1), reviews(60, 2), reviews(200, 3)
    answers = BagOfWords(train, validation).classify(texts)
    assert np.mean([a == t for a, t in zip(answers, labels, strict=True)]) > 0.95
    assert BagOfWords(train, validation).classify(texts) == answers


def test_bag_of_words_does_without_validation_and_answers_unknown_text() -> None:
    fitted = BagOfWords((["好好", "好好", "坏坏", "坏坏", "坏坏"], ["p", "p", "n", "n", "n"]), ([], []))
    assert fitted.classify(["好好", "坏坏", "?", ""]) == ["p", "n", "n", "n"]
    assert fitted.classify([]) == []
