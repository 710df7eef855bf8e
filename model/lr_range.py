"""The model: a learning-rate *range test* trains a model for a few dozen steps while the learning rate grows from one end of a range to
the other, the same share at each step (Smith, arXiv:1506.01186; exponential growth as in arXiv:1708.07120 and fast.ai's finder). Too
small a rate leaves the loss where it is, too large a one makes it rise. From the *points* of that curve comes a *suggestion*.

It is done on the run's own data and model, in one process, and leaves nothing behind. With Muon both of its rates grow together.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch.nn.utils import clip_grad_norm_

from model.backward import Backward
from model.data import training_batches
from model.device import CPU
from model.families import build_model
from model.objectives import objective_of
from model.optim import build_optimizer
from model.parallel import ranks
from model.phases import stages
from model.sentinels import sentinels_of
from model.text import Special
from schemas.artifact import Artifact
from schemas.errors import RequestError
from schemas.recipe import Pretrain

SMOOTHING = 0.9
RISE = 0.2
"""How far above its lowest the smoothed loss is when it has diverged, as a share of what it had fallen till then."""
BELOW = 5.0
"""The suggestion is the rate at which the smoothed loss was lowest, over this: that rate is about the largest that still learns, and the
schedule holds its peak for hundreds of steps, not for one."""


@dataclass(frozen=True)
class Point:
    """A step of the test."""

    lr: float
    loss: float
    """Nats a token, before the update."""
    smoothed: float
    """Mean of the losses so far, the later the more."""


@dataclass(frozen=True)
class Suggestion:
    """What the curve says."""

    lr: float
    lowest: float
    """The rate at which the smoothed loss was lowest."""
    steepest: float
    """The rate at which it fell fastest."""
    diverged: bool
    """Whether it rose again within the range; if not, a larger rate may do as well."""


def range_test(
    tokens: Artifact,
    tokenizer: Artifact,
    settings: Pretrain,
    *,
    lowest: float,
    highest: float,
    steps: int,
    ranks_: int,
    threads: int,
    device: torch.device = CPU,
    tell: Callable[[Point], None] = lambda point: None,
) -> list[Point]:
    """Train for ``steps`` with rates (of `optimizer.lr`) from ``lowest`` to ``highest``; ends early where the loss has diverged.

    A batch is taken in as many passes as all of ``ranks_`` would take, one after the other. Raises RequestError as training does.
    """
    vocabulary = tokenizer.facts("tokenizer")
    around = Special(vocabulary["special_tokens"]["bos"], vocabulary["special_tokens"]["eos"])
    objective, parts = objective_of(settings, vocabulary, sentinels_of(tokenizer)), settings.accumulate * ranks_
    batches = training_batches(
        tokens.path, stages(settings)[:1], settings.seed, around,
        packing=objective.packing, boundaries=settings.document_mask,
        window=objective.window, words=objective.words,
    )  # fmt: skip
    points: list[Point] = []
    with ranks(threads, device) as group:
        torch.manual_seed(settings.seed)
        model = build_model(settings.architecture, vocabulary["vocab_size"]).to(device)
        optimizer = build_optimizer(model, settings.optimizer, group)
        dtype = torch.bfloat16 if settings.precision == "bf16" else torch.float32
        backward = Backward(objective.module(model), dtype, group, compiled=False)
        mean = 0.0
        for step in range(steps):
            lr = lowest * (highest / lowest) ** (step / (steps - 1))
            batch = batches.batch_at(step)
            loss = float(backward([objective.inputs(batch.part(number, parts)) for number in range(parts)]))
            if not math.isfinite(loss):
                break
            mean = SMOOTHING * mean + (1 - SMOOTHING) * loss
            points.append(Point(lr, loss, mean / (1 - SMOOTHING ** (step + 1))))
            tell(points[-1])
            if diverged(points):
                break
            if group.stop_asked:
                raise RequestError(f"stopped by SIGTERM after {step + 1} of {steps} steps")
            clip_grad_norm_(model.parameters(), settings.optimizer.clip)
            optimizer.step(lr / settings.optimizer.lr)
            optimizer.zero_grad()
    return points


def diverged(points: Sequence[Point]) -> bool:
    """Whether the smoothed loss has risen far above its lowest."""
    smoothed = [point.smoothed for point in points]
    return smoothed[-1] - min(smoothed) > RISE * (smoothed[0] - min(smoothed)) + 0.01 * smoothed[0]


def suggestion(points: Sequence[Point]) -> Suggestion:
    """What a curve says. Raises RequestError if the loss never fell."""
    smoothed = [point.smoothed for point in points]
    low = min(range(len(points)), key=smoothed.__getitem__, default=0)
    if low == 0:
        raise RequestError("the loss only rose: begin the range lower")
    falls = [(smoothed[n] - smoothed[n - 1]) / math.log(points[n].lr / points[n - 1].lr) for n in range(1, low + 1)]
    steepest = points[1 + min(range(len(falls)), key=falls.__getitem__)].lr
    found = points[low].lr / BELOW
    return Suggestion(float(f"{found:.2g}"), points[low].lr, steepest, diverged(points))
