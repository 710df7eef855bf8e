"""The model: an answer is the *nats* that a model needs for a text (its negative log-likelihood), and what was wanted is the text's size:
how many tokens were predicted, and its bytes of UTF-8. Loss is nats a token, perplexity its exponential; bits per byte alone compares
across tokenizers."""

from __future__ import annotations

import math

import numpy as np

from model.metrics.metric import Floats, Metric, Value


def loss() -> Metric:
    return _likelihood("loss", loss_value)


def perplexity() -> Metric:
    return _likelihood("perplexity", perplexity_value)


def bits_per_byte() -> Metric:
    return _likelihood("bits_per_byte", bits_per_byte_value)


def _likelihood(name: str, value: Value) -> Metric:
    def statistics(answer: float, wanted: tuple[int, int]) -> Floats:
        return np.array([answer, *wanted], dtype=np.float64)

    return Metric(name, "lower", f"{name}|v1", statistics, value)


def loss_value(sums: Floats) -> Floats:
    return sums[..., 0] / sums[..., 1]


def perplexity_value(sums: Floats) -> Floats:
    return np.exp(loss_value(sums))


def bits_per_byte_value(sums: Floats) -> Floats:
    return sums[..., 0] / math.log(2) / sums[..., 2]
