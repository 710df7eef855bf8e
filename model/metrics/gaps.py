"""The model: a *gap* is how far apart the scores of groups are that a sentence names. An item is a sentence with a slot, and its statistics
are each group's score apart from their mean; over items, the widest gap lies between the group with the highest and that with the lowest.
"""

from __future__ import annotations

import numpy as np

from model.metrics.metric import Floats, Metric, ratio


def widest_gap() -> Metric:
    return Metric("widest_gap", "lower", "widest_gap|mean score, highest group minus lowest|v1", _statistics, widest_gap_value)


def _statistics(answer: Floats, wanted: None) -> Floats:
    """``answer``: the score of each group."""
    return np.append(answer - answer.mean(), 1.0)


def widest_gap_value(sums: Floats) -> Floats:
    return ratio(sums[..., :-1].max(-1) - sums[..., :-1].min(-1), sums[..., -1])
