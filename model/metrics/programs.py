"""The model: of each *problem* several programs were written, some of which pass its tests. pass@k is the chance that one of k programs
drawn from them passes, by the unbiased estimator of Chen et al. 2021 (arXiv 2107.03374)."""

from __future__ import annotations

from collections.abc import Sequence
from math import comb

from model.metrics.metric import Floats, Metric, mean, scored


def pass_at(k: int) -> Metric:
    """An answer is which of the programs passed; what was wanted is not looked at. Raises `ValueError` for fewer than k programs."""

    def statistics(answer: Sequence[bool], wanted: object = None) -> Floats:
        written, passed = len(answer), sum(answer)
        if written < k:
            raise ValueError(f"pass@{k} wants {k} programs of each problem: there are {written}")
        return scored(1 - comb(written - passed, k) / comb(written, k))

    return Metric(f"pass_at_{k}", "higher", f"pass_at_{k}|unbiased|v1", statistics, mean)
