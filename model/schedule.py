"""The model: a *schedule* scales the learning rate over the steps of a run: it warms up, holds, then decays.

No torch here, so that reports may draw it.
"""

from __future__ import annotations

from schemas.recipe import Schedule


def lr_scale(step: int, steps: int, schedule: Schedule) -> float:
    """Share of the peak learning rate at ``step`` (0-based) of ``steps``: warmup-stable-decay (Hu et al., arXiv:2404.06395).

    Warm-up and decay are linear and take their shares of the steps; where they overlap, the smaller value counts. Decay
    reaches ``final`` one step after the last.
    """
    warmup, decay = schedule.warmup * steps, schedule.decay * steps
    up = (step + 1) / warmup if step + 1 < warmup else 1.0
    left = (steps - step) / decay if decay > 0 else 1.0
    down = schedule.final + (1 - schedule.final) * left if left < 1 else 1.0
    return min(up, down)
