"""The model: a *class weight* makes up for how rare a label is: all labels weigh the same together, and an example weighs 1 on average."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence


def class_weights(labels: Sequence[str]) -> dict[str, float]:
    """Weight by label, n / (classes * count), labels sorted: what scikit-learn calls `balanced` (King and Zeng 2001).

    >>> class_weights(["good", "good", "good", "bad"])
    {'bad': 2.0, 'good': 0.6666666666666666}
    """
    counts = Counter(labels)
    return {label: len(labels) / (len(counts) * count) for label, count in sorted(counts.items())}
