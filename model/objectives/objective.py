"""The model: what every objective has; see the package."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor, nn

from model.data import Batch


@dataclass(frozen=True)
class Inputs:
    """What a pass reads: an objective's module is called with them."""

    tensors: tuple[Tensor, ...]
    predicted: int | None = None
    """Tokens that this pass predicts; the module then takes one more tensor, the number that it divides the sum of nats by. None: passes
    are all alike, and the module's loss is a mean."""


class Objective(Protocol):
    """See the package."""

    def window(self, context: int) -> int:
        """Tokens of a sample of the loader for so many positions of the model."""

    def inputs(self, batch: Batch) -> Inputs:
        """What a pass over these samples reads. Called by threads, ahead of time."""

    def module(self, model: Any) -> nn.Module:
        """From inputs to what is minimised, float32 scalar; or to that and the loss that is told."""
