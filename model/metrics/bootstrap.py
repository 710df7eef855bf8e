"""The model: a *bootstrap* (Efron and Tibshirani 1993) draws as many items as there are, with replacement, many times. How a value varies
over the draws is its standard error, and the middle 95 % of it its interval.

Where an item is a hit or none, few hits, or none, vary too little over draws: `wilson` has an interval for their share.

Equal numbers of items and equal seeds give equal draws, so systems that answered the same items are drawn together.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from model.metrics.metric import Floats, Metric
from schemas.results import Measure

DRAWS = 1000


def counts(items: int, seed: int, draws: int = DRAWS) -> Iterator[npt.NDArray[np.int64]]:
    """For each draw [items] how often each item stands in it."""
    generator = np.random.Generator(np.random.Philox(seed % (1 << 64)))
    for _ in range(draws):
        yield np.bincount(generator.integers(items, size=items), minlength=items)


def resampled(statistics: Floats, seed: int, draws: int = DRAWS) -> Floats:
    """[draws, k] sums of [items, k] statistics."""
    return np.stack([drawn @ statistics for drawn in counts(len(statistics), seed, draws)])


def interval(values: Floats) -> tuple[float, float]:
    """The 2.5 and 97.5 percentiles."""
    low, high = np.percentile(values, (2.5, 97.5))
    return float(low), float(high)


def wilson(hits: int, n: int) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson 1927): sound for few hits and for none.

    >>> [round(bound, 3) for bound in wilson(0, 50)]
    [0.0, 0.071]
    """
    if not n:
        return 0.0, 1.0
    z, share = 1.959964, hits / n
    middle, half = share + z * z / (2 * n), z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, (middle - half) / (1 + z * z / n)), min(1.0, (middle + half) / (1 + z * z / n))


def measure(metric: Metric, statistics: Floats, seed: int) -> Measure:
    """The value over [n, k] statistics, with its standard error and interval."""
    drawn = metric.value(resampled(statistics, seed))
    value = float(metric.value(statistics.sum(0)))
    return Measure(value, metric.better, metric.signature, float(drawn.std(ddof=1)), interval(drawn))
