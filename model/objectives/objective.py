"""The model: what every objective has; see the package."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from model.data import Batch, Packing
from model.parallel import Ranks
from model.text import Special


@dataclass(frozen=True)
class Inputs:
    """What a pass reads: an objective's module is called with them."""

    tensors: tuple[Tensor, ...]
    predicted: int | None = None
    """Tokens that this pass predicts; the module then takes one more tensor, the number that it divides the sum of nats by. None: passes
    are all alike, and the module's loss is a mean."""

    def ready_for(self, device: torch.device) -> Inputs:
        """Still on the CPU; for a card, where it can fetch them from while it computes."""
        return replace(self, tensors=tuple(tensor.pin_memory() for tensor in self.tensors)) if device.type == "cuda" else self

    def on(self, device: torch.device) -> Inputs:
        """On the device."""
        return replace(self, tensors=tuple(tensor.to(device, non_blocking=True) for tensor in self.tensors))


class Validation(Protocol):
    """Measures held-out text while a model trains."""

    measure: str
    """What metrics call the one that counts."""
    fact: str
    """What the model's facts call it."""

    def measures(self, model: Any, precision: torch.dtype) -> dict[str, dict[str, float]]:
        """By name, then language; all ranks call it together and get the same."""


class Objective(Protocol):
    """See the package."""

    packing: Packing
    """How samples are laid."""
    words: bool
    """Whether batches are to say where words begin."""

    def window(self, context: int) -> int:
        """Tokens of a sample of the loader for so many positions of the model."""

    def inputs(self, batch: Batch) -> Inputs:
        """What a pass over these samples reads. Called by threads, ahead of time."""

    def validation(self, location: Path, around: Special, key: str, group: Ranks) -> Validation:
        """Of a tokens artifact; ``key`` decides the draw."""

    def module(self, model: Any) -> nn.Module:
        """From inputs to what is minimised, float32 scalar; or to that and the loss that is told."""
