"""The model: Kneser-Ney in sorted arrays against the same formula in plain dictionaries."""

from __future__ import annotations

import math
from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from model import ngram
from model.ngram import FALLBACK_DISCOUNTS, KneserNey, frame

BOS, EOS, VOCAB = 0, 1, 6
documents = st.lists(st.lists(st.integers(2, VOCAB - 1), max_size=12), min_size=1, max_size=8)


class Plain:
    """The textbook: counts of tuples in dictionaries, one probability at a time."""

    def __init__(self, texts: list[list[int]], order: int) -> None:
        self.order = order
        framed = [(BOS, *text, EOS) for text in texts]
        plain = [Counter(t[i : i + k] for t in framed for i in range(len(t) - k + 1)) for k in range(1, order + 1)]
        self.counts: list[dict[tuple[int, ...], int]] = []
        for k in range(1, order + 1):
            if k == order:
                counts = dict(plain[k - 1])
            else:
                before = defaultdict(set)
                for gram in plain[k]:
                    before[gram[1:]].add(gram[0])
                counts = {gram: plain[k - 1][gram] if gram[0] == BOS else len(before[gram]) for gram in plain[k - 1]}
            if k == 1:
                counts.pop((BOS,))
            self.counts.append(counts)

    def discounts(self, k: int) -> tuple[float, ...]:
        n = Counter(self.counts[k - 1].values())
        if not all(n[c] for c in (1, 2, 3, 4)):
            return FALLBACK_DISCOUNTS
        y = n[1] / (n[1] + 2 * n[2])
        estimate = tuple(c - (c + 1) * y * n[c + 1] / n[c] for c in (1, 2, 3))
        return estimate if all(0 < d <= c for c, d in enumerate(estimate, 1)) else FALLBACK_DISCOUNTS

    def probability(self, context: tuple[int, ...], word: int, k: int) -> float:
        """Of `word` after the last k - 1 ids of `context`."""
        if k == 0:
            return 1 / VOCAB
        tail = context[len(context) - k + 1 :]
        lower = self.probability(context, word, k - 1)
        following = {gram[-1]: count for gram, count in self.counts[k - 1].items() if gram[:-1] == tail}
        if not following:
            return lower
        discount = (0.0, *self.discounts(k))
        total = sum(following.values())
        taken = sum(discount[min(count, 3)] for count in following.values())
        own = following.get(word, 0)
        return (own - discount[min(own, 3)]) / total + taken / total * lower

    def log_probs(self, text: list[int]) -> list[float]:
        framed = (BOS, *text, EOS)
        return [math.log(self.probability(framed[:i], framed[i], min(self.order, i + 1))) for i in range(1, len(framed))]


@settings(deadline=None, max_examples=60)
@given(documents, documents, st.integers(1, 4))
def test_equals_the_dictionary_implementation(train: list[list[int]], held_out: list[list[int]], order: int) -> None:
    model, plain = KneserNey(frame(train, BOS, EOS), order, VOCAB), Plain(train, order)
    text = frame(held_out, BOS, EOS)
    expected = [p for tokens in held_out for p in plain.log_probs(tokens)]
    np.testing.assert_allclose(model.log_probs(text)[text.predicted], expected, rtol=1e-9, atol=1e-9)


@settings(deadline=None, max_examples=40)
@example([[]], [2], 5)
@given(documents, st.lists(st.integers(2, VOCAB - 1), max_size=5), st.integers(1, 5))
def test_probabilities_sum_to_one_after_any_context(train: list[list[int]], context: list[int], order: int) -> None:
    model = KneserNey(frame(train, BOS, EOS), order, VOCAB)
    asked = frame([[*context, word] for word in range(VOCAB)], BOS, EOS)
    last = asked.place == len(context) + 1
    assert np.exp(model.log_probs(asked)[last]).sum() == pytest.approx(1, abs=1e-9)


def test_estimated_discounts_are_used_and_agree_with_the_dictionaries() -> None:
    draw = np.random.Generator(np.random.Philox(3))
    train = [draw.integers(2, VOCAB, size=40).tolist() for _ in range(30)]
    plain = Plain(train, 4)
    assert plain.discounts(4) != FALLBACK_DISCOUNTS
    held_out = [draw.integers(2, VOCAB, size=30).tolist() for _ in range(5)]
    text = frame(held_out, BOS, EOS)
    found = KneserNey(frame(train, BOS, EOS), 4, VOCAB).log_probs(text)[text.predicted]
    np.testing.assert_allclose(found, [p for tokens in held_out for p in plain.log_probs(tokens)], rtol=1e-9)


def test_a_document_starts_afresh() -> None:
    model = KneserNey(frame([[2, 3, 2, 3], [4, 5]], BOS, EOS), 3, VOCAB)
    alone = model.log_probs(frame([[4, 5]], BOS, EOS))
    after = model.log_probs(frame([[2, 3], [4, 5]], BOS, EOS))
    np.testing.assert_array_equal(after[4:], alone)


def test_a_higher_order_predicts_a_longer_pattern_better() -> None:
    # What follows 2 depends on the id before it: an order of 2 can't know, an order of 3 can.
    text = [[3, 2, 4, 5, 2, 3] * 6, [5, 2, 3, 3, 2, 4] * 6]
    bits = {order: -KneserNey(frame(text, BOS, EOS), order, VOCAB).log_probs(frame(text, BOS, EOS)).sum() for order in (1, 2, 3)}
    assert bits[3] < 0.8 * bits[2] < bits[1]


def test_unseen_ids_get_a_share_of_the_uniform_base() -> None:
    model = KneserNey(frame([[2, 2, 3]], BOS, EOS), 2, 1000)
    unseen = model.log_probs(frame([[900], [901]], BOS, EOS))
    assert unseen[1] == unseen[4] < math.log(1 / 1000)
    assert np.isfinite(unseen).all()


def test_keys_fold_contexts_so_that_long_grams_of_large_vocabularies_fit() -> None:
    vocab = 1 << 20
    draw = np.random.Generator(np.random.Philox(1))
    text = frame([draw.integers(0, vocab, size=200)], BOS, EOS)
    model = KneserNey(text, 8, vocab)  # 8 ids of 20 bits are 160 bits
    assert model.log_probs(text)[8:-1].min() > math.log(0.1)


@pytest.mark.parametrize(
    ("tokens", "order", "message"),
    [
        ([[2]], 0, "order must be at least 1"),
        ([], 2, "hold no tokens"),
        ([[VOCAB]], 2, "outside the vocabulary of 6"),
    ],
)
def test_says_what_is_wrong(tokens: list[list[int]], order: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        KneserNey(frame(tokens, BOS, EOS), order, VOCAB)


def test_scoring_refuses_ids_outside_the_vocabulary() -> None:
    model = KneserNey(frame([[2]], BOS, EOS), 2, VOCAB)
    with pytest.raises(ValueError, match="outside the vocabulary"):
        model.log_probs(frame([[-1]], BOS, EOS))


def test_no_text_has_no_probabilities() -> None:
    assert KneserNey(frame([[2]], BOS, EOS), 2, VOCAB).log_probs(frame([], BOS, EOS)).shape == (0,)
    assert ngram.frame([], BOS, EOS).predicted.shape == (0,)
