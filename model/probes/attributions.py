"""The model: *attributions* share out a number that a model gives, such as the log-probability of the next token, among the tokens that it
read: by integrated gradients (Sundararajan et al., arXiv:1703.01365). The tokens' embeddings walk in a straight line from those of a
*baseline*, a text that says nothing, to their own; a token gets the integral of the gradient along its walk. Attributions are *complete*:
they sum to the number for the text minus that for the baseline. How far they are from it is the error of the integration, and told.

The integral is Gauss and Legendre's, with more steps until it is complete to `CLOSE`, or `MOST` were taken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

CLOSE = 0.005
FEWEST, MOST = 16, 512
BATCH = 16
"""Steps that are computed at a time."""

Scalar = Callable[[Tensor], Tensor]
"""Embeddings, float [n, time, width] -> the numbers that are shared out, float [n]."""


@dataclass(frozen=True)
class Attributions:
    """A number, shared out among tokens."""

    tokens: tuple[float, ...]
    value: float
    """For the text."""
    baseline: float
    """For the baseline."""
    error: float
    """Sum of the tokens' minus (value minus baseline)."""
    steps: int


def integrated_gradients(scalar: Scalar, embeddings: Tensor, baseline: Tensor) -> Attributions:
    """Of float [time, width] each."""
    with torch.no_grad():
        ends = scalar(torch.stack((embeddings, baseline)))
    value, start = float(ends[0]), float(ends[1])
    steps = FEWEST
    while True:
        shares = _integral(scalar, embeddings, baseline, steps)
        error = float(shares.sum()) - (value - start)
        if abs(error) <= CLOSE * max(abs(value - start), 0.01) or steps >= MOST:
            return Attributions(tuple(shares.tolist()), value, start, error, steps)
        steps *= 2


def _integral(scalar: Scalar, embeddings: Tensor, baseline: Tensor, steps: int) -> Tensor:
    nodes, areas = np.polynomial.legendre.leggauss(steps)  # over -1 to 1
    places, weights = torch.tensor((nodes + 1) / 2), torch.tensor(areas / 2)
    apart, total = embeddings - baseline, torch.zeros_like(embeddings, dtype=torch.float64)
    for first in range(0, steps, BATCH):
        at = places[first : first + BATCH].to(embeddings.dtype)[:, None, None]
        points = (baseline + at * apart).detach().requires_grad_()
        (slopes,) = torch.autograd.grad(scalar(points).sum(), points)
        total += (weights[first : first + BATCH][:, None, None] * slopes.double()).sum(0)
    return (total * apart.double()).sum(-1)


@contextmanager
def embedded_as(table: nn.Embedding, embeddings: Tensor) -> Iterator[None]:
    """Inside, the embedding gives these, float [n, time, width], whatever it is asked for."""
    handle = table.register_forward_hook(lambda module, arguments, output: embeddings)
    try:
        yield
    finally:
        handle.remove()


def through(model: Callable[[Tensor], Tensor], table: nn.Embedding, ids: Tensor, pick: Callable[[Tensor], Tensor]) -> Scalar:
    """What ``pick`` takes of what a model gives for ids, int64 [time], as a function of their embeddings. ``model``: ids [n, time] -> any
    tensor [n, ...]; ``pick``: that -> float [n]."""

    def scalar(embeddings: Tensor) -> Tensor:
        with embedded_as(table, embeddings):
            return pick(model(ids.expand(len(embeddings), -1)))

    return scalar
