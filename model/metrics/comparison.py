"""The model: a *comparison* asks whether system A is better than B, by one metric, on the *same items*. The difference of their values has
an interval by a paired bootstrap: both are drawn together. Its *p* is how often a difference as large comes up where there is none: by
McNemar's exact test (1947) where each item is right or wrong, else by the same bootstrap, moved to no difference (Efron and Tibshirani
1993, 16.4). Several comparisons at once are *corrected* by Holm (1979): the chance that any of them shows a difference where there is none
stays below 5 %.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from model.metrics.bootstrap import DRAWS, interval, resampled
from model.metrics.items import Judged
from model.metrics.metric import Better, Floats
from model.metrics.named import value_named
from schemas.results import Result

LEVEL = 0.05

Test = Literal["McNemar", "bootstrap"]


@dataclass(frozen=True)
class Comparison:
    """What was found by one metric."""

    task: str
    metric: str
    better: Better
    n: int
    a: float
    b: float
    difference: float
    """Of A's value to B's."""
    interval: tuple[float, float]
    test: Test
    p: float
    corrected: float
    """p after Holm's correction over all that were compared at once."""

    @property
    def winner(self) -> Literal["a", "b"] | None:
        """Which of the two is better, if that can be told."""
        if self.corrected >= LEVEL or self.difference == 0:
            return None
        return "a" if (self.difference > 0) == (self.better == "higher") else "b"


def refusal(a: Result, b: Result) -> str | None:
    """Why results of one task don't compare at all, or None."""
    for what, one, other in (("version of the task", a.version, b.version), ("digest of the data", a.data[:8], b.data[:8])):
        if one != other:
            return f"the {what} differs: {one} against {other}"
    if a.data != b.data:
        return "the digest of the data differs"
    if a.shots != b.shots:
        return f"the number of examples in the prompt (shots) differs: {a.shots} against {b.shots}"
    return None


def differing_items(a: Judged, b: Judged) -> str | None:
    """How the items that two systems answered differ, or None."""
    for which, names in (("first", set(a.names) - set(b.names)), ("second", set(b.names) - set(a.names))):
        if names:
            return f"the items differ: {len(names):,} are only among the {which} model's, as {min(names)!r}"
    return None


def compare(task: str, metric: str, better: Better, a: Floats, b: Floats, seed: int) -> Comparison:
    """Compare two systems by [n, k] statistics of the same n items; `corrected` is p as yet.

    Raises `ValueError` for an unknown metric, or statistics of different shapes.
    """
    if a.shape != b.shape:
        raise ValueError(f"{task}: statistics of {metric} are {a.shape} against {b.shape}")
    value = value_named(metric)
    values = float(value(a.sum(0))), float(value(b.sum(0)))
    difference = values[0] - values[1]
    sums = resampled(np.hstack([a, b]), seed)
    drawn = value(sums[:, : a.shape[1]]) - value(sums[:, a.shape[1] :])
    if _right_or_wrong(a) and _right_or_wrong(b):
        only_a, only_b = int((a[:, 0] > b[:, 0]).sum()), int((b[:, 0] > a[:, 0]).sum())
        test: Test = "McNemar"
        p = mcnemar(only_a, only_b)
    else:
        slack = 1e-12 * max(map(abs, values))  # equal differences must count as such, whatever order they were summed in
        as_large = int((np.abs(drawn - difference) >= abs(difference) - slack).sum())
        # Where there is no difference, the 2^m ways to swap the systems on the m items that differ are equally likely, so p is two of them
        # at the least. A bootstrap of few items doesn't know that.
        differ = int((a != b).any(1).sum())
        test, p = "bootstrap", max((1 + as_large) / (1 + DRAWS), min(1.0, 2.0 ** (1 - differ)))
    return Comparison(task, metric, better, len(a), *values, difference, interval(drawn), test, p, p)


def _right_or_wrong(statistics: Floats) -> bool:
    return statistics.shape[1] == 2 and bool(np.isin(statistics[:, 0], (0, 1)).all() and (statistics[:, 1] == 1).all())


def mcnemar(only_a: int, only_b: int) -> float:
    """Two-sided p of the exact test, from how many items only the one or only the other has right.

    >>> mcnemar(0, 0), mcnemar(5, 0), mcnemar(3, 3)
    (1.0, 0.0625, 1.0)
    """
    n = only_a + only_b
    tail = ways = 1
    for k in range(min(only_a, only_b)):
        ways = ways * (n - k) // (k + 1)
        tail += ways
    return min(1.0, 2 * tail / 2**n)


def holm(ps: Sequence[float]) -> list[float]:
    """Corrected p of each, in the order given.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    corrected, largest = [0.0] * len(ps), 0.0
    for rank, place in enumerate(sorted(range(len(ps)), key=lambda place: ps[place])):
        largest = max(largest, min(1.0, (len(ps) - rank) * ps[place]))
        corrected[place] = largest
    return corrected


def correct(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """The same comparisons, corrected over all of them."""
    return [replace(one, corrected=p) for one, p in zip(comparisons, holm([one.p for one in comparisons]), strict=True)]
