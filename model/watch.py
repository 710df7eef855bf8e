"""The model: a *flag* marks a step that a person should look at. Flags are told by simple rules over the metrics of the steps
before, by medians, which one odd step can't move; they change nothing in the run.

    loss_spike    the loss is far above those of the last steps
    norm_spike    the gradient norm is ten times that of the last steps
    norm_grows    gradient norms have grown fourfold within some hundred steps
    dead_units    hidden units got no gradient at all from the whole batch
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from statistics import median
from typing import Any

import torch
from torch import nn

from model.spread import whole

RECENT = 50
"""Steps that one is compared with."""
FEWEST = 20
"""Earlier steps without which nothing is told."""
SPREADS = 8.0
LEAST_RISE = 0.25
"""Nats."""
TIMES = 10.0
GROWTH = 4.0
NOW, BEFORE = 20, 100


class Watch:
    """Looks at the metrics of every step in turn."""

    def __init__(self, rows: Iterable[Mapping[str, Any]] = ()) -> None:
        """``rows``: the metrics of the steps so far, so that a resumed run tells the same."""
        self._losses, self._norms = deque[float](maxlen=RECENT), deque[float](maxlen=NOW + BEFORE)
        self._grew = False
        for row in rows:
            self.flags(row)

    def flags(self, row: Mapping[str, Any]) -> dict[str, str]:
        """What is odd about a step, by flag, in words."""
        found = {}
        loss, norm = row["loss"], row["grad_norm"]
        if loss is None or norm is None:  # a skipped step
            return {}
        if len(self._losses) >= FEWEST:
            middle = median(self._losses)
            spread = 1.4826 * median(abs(value - middle) for value in self._losses)  # the standard deviation, if they are normal
            if loss > middle + max(SPREADS * spread, LEAST_RISE):
                found["loss_spike"] = f"the loss is {loss:.3f}, the median of the last {len(self._losses)} steps {middle:.3f}"
            middle = median(list(self._norms)[-RECENT:])
            if norm > TIMES * middle:
                found["norm_spike"] = f"the gradient norm is {norm:.3g}, the median of the last {len(self._losses)} steps {middle:.3g}"
        self._losses.append(loss)
        self._norms.append(norm)
        if len(self._norms) == NOW + BEFORE:
            now, before = median(list(self._norms)[-NOW:]), median(list(self._norms)[:BEFORE])
            grows = now > GROWTH * before
            if grows and not self._grew:
                found["norm_grows"] = f"the gradient norm's median grew from {before:.3g} to {now:.3g} within {NOW + BEFORE} steps"
            self._grew = grows
        if row.get("dead_units"):
            found["dead_units"] = f"{row['dead_units']:,} hidden units got no gradient; too high a learning rate does that"
        return found


def dead_units(model: nn.Module) -> int:
    """Rows of hidden 2-D weights whose gradient is all zero: units that nothing flows through."""
    outside = {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding)}
    weights = [(name, weight) for name, weight in model.named_parameters() if weight.ndim == 2 and id(weight) not in outside]
    grads = [weight.grad for name, weight in weights if not name.startswith("lm_head.") and weight.grad is not None]
    return sum(int((~torch.any(whole(grad) != 0, dim=1)).sum()) for grad in grads)
