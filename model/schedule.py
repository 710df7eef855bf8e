"""The model: a *schedule* scales the learning rate over the steps of a run: it warms up linearly, then holds or falls.

No torch here, so that reports may draw it.
"""

from __future__ import annotations

import math

from schemas.recipe import Schedule


def lr_scale(step: int, steps: int, schedule: Schedule) -> float:
    """Share of the peak learning rate at ``step`` (0-based) of ``steps``.

    Warm-up and decay take their shares of the steps; where they overlap, the smaller value counts. ``final`` is reached one
    step after the last. Warmup-stable-decay: Hu et al., arXiv:2404.06395; cosine: Loshchilov and Hutter, arXiv:1608.03983;
    inverse square root: Vaswani et al., arXiv:1706.03762, here 1 at the end of the warm-up.
    """
    warmup = schedule.warmup * steps
    up = (step + 1) / warmup if step + 1 < warmup else 1.0
    if schedule.name == "constant":
        return up
    if schedule.name == "inverse_sqrt":
        return min(up, math.sqrt(max(warmup, 1) / (step + 1)))
    decay = schedule.decay * steps if schedule.name == "wsd" else steps - warmup
    left = min((steps - step) / decay, 1.0) if decay > 0 else 1.0
    if schedule.name == "cosine":
        left = (1 - math.cos(math.pi * left)) / 2
    down = schedule.final + (1 - schedule.final) * left if left < 1 else 1.0
    return min(up, down)


def decay_begins(steps: int, schedule: Schedule) -> int:
    """Steps of ``steps`` that a warmup-stable-decay takes before it falls; all, if it never does."""
    decay = schedule.decay * steps
    if not decay:
        return steps
    begins = max(int(steps - decay) - 1, 0)
    while (steps - begins) / decay >= 1:  # as `lr_scale` asks it, rounding included
        begins += 1
    return begins
