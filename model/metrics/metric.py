"""The model: a *metric* turns an answer and what was wanted into *statistics*, a vector of numbers for each item, and any sum of such
vectors into a *value*. All that is known about the items is in their sums, so a sample of the items drawn again is one more sum."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Better = Literal["higher", "lower"]
Value = Callable[[Floats], Floats]
"""Sums of statistics, [..., k], to values, [...]."""


@dataclass(frozen=True)
class Metric:
    """A way to judge answers."""

    name: str
    better: Better
    signature: str
    """How it is computed: values of equal signatures compare."""
    statistics: Callable[[Any, Any], Floats]
    """An answer and what was wanted to [k] numbers; what both are, the modules of the metrics say. Every item has equal k."""
    value: Value

    def of(self, answers: Sequence[Any], wanted: Sequence[Any]) -> Floats:
        """[n, k] statistics of items. Raises `ValueError` if there is none, or the two are not of one length."""
        if not answers:
            raise ValueError(f"{self.name}: there are no items to judge")
        return np.stack([self.statistics(answer, want) for answer, want in zip(answers, wanted, strict=True)])


def scored(score: float) -> Floats:
    """Statistics of an item that has a score of its own: the score, and that it is one item."""
    return np.array([score, 1.0])


def ratio(above: Floats, below: Floats) -> Floats:
    """`above / below`, and 0 where `below` is 0, as scikit-learn, seqeval and sacrebleu have it."""
    return np.divide(above, below, out=np.zeros(np.broadcast_shapes(above.shape, below.shape)), where=below != 0)


def mean(sums: Floats) -> Floats:
    """The value of `scored` items: their mean score."""
    return ratio(sums[..., 0], sums[..., 1])


def f1(right: float, answered: float, wanted: float) -> float:
    """Harmonic mean of precision and recall, from counts."""
    return 2 * right / (answered + wanted) if right else 0.0
