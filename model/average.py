"""The model: an *average* of the weights follows them through training, each update a little (exponential moving average). It
is less noisy than the weights of any one step, and often better before the learning rate has decayed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class WeightAverage:
    """The average of a model's weights, float32, by name of the parameter; equal on all ranks, as the weights are."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self._decay = decay
        self._live = dict(model.named_parameters())
        self.weights: dict[str, Tensor] = {name: weight.detach().clone() for name, weight in self._live.items()}

    @torch.no_grad()
    def follow(self, updates: int) -> None:
        """Move towards the weights as they are after ``updates`` updates; the more at first, lest it keep their random start."""
        keep = min(self._decay, (1 + updates) / (10 + updates))
        for name, weight in self._live.items():
            self.weights[name].lerp_(weight, 1 - keep)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Within, the model has the average for weights; after, its own again, to the bit."""
        with torch.no_grad():
            own = {name: weight.detach().clone() for name, weight in self._live.items()}
            for name, weight in self._live.items():
                weight.copy_(self.weights[name])
            try:
                yield
            finally:
                for name, weight in self._live.items():
                    weight.copy_(own[name])
