"""The model: what encoder-decoders are trained by, whatever was done to the text that they read: the *written* tokens are predicted, each
from those before it and from all that was read. Every one of them weighs the same.

`Writing` is what objectives of this kind share; each says how much of a text is read, and what.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.cross_entropy import linear_cross_entropy
from model.data import Batch, Packing
from model.encoder_decoder import EncoderDecoderModel
from model.objectives.objective import Inputs
from model.objectives.validate_written import WrittenLoss
from model.parallel import Ranks
from model.stream import validation_streams
from model.text import Special
from schemas.recipe import Pretrain


class Written(nn.Module):
    """Mean cross entropy, in nats, of what is written."""

    def __init__(self, model: EncoderDecoderModel, z_loss: float = 0.0, chunk: int | None = None) -> None:
        super().__init__()
        self.model, self.z_loss, self.chunk = model, z_loss, chunk

    def forward(self, read: Tensor, written: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """int64 [batch, time], and int64 [batch, 1 + tokens] from the start token on -> float32 scalar; with a z-loss or chunks, what to
        minimise and the cross entropy."""
        model, targets = self.model, written[:, 1:].flatten()
        states = model.hidden(written[:, :-1], model.read(read)).flatten(0, 1)
        if not self.z_loss and self.chunk is None:
            return F.cross_entropy(model.logits(states).float(), targets)
        weights = torch.full(targets.shape, 1 / len(targets), dtype=torch.float32, device=targets.device)
        head = model.lm_head.weight[: model.vocab_size]
        return linear_cross_entropy(states, head, targets, weights, z_loss=self.z_loss, chunk=self.chunk)


class Writing(ABC):
    """An objective by which what is written is predicted; see the module."""

    packing: Packing = "concat"
    words = False

    def __init__(self, settings: Pretrain, special: Mapping[str, int]) -> None:
        """``special``: ids of the tokenizer's special tokens by role."""
        self._settings, self._special = settings, special
        self._share, self._span = settings.aim.share, settings.aim.span

    @abstractmethod
    def window(self, context: int) -> int:
        """Tokens of a sample."""

    @abstractmethod
    def inputs(self, batch: Batch) -> Inputs:
        """What is read, int64 [samples, read], and what is written, [samples, 1 + written], with its start token."""

    def validation(self, location: Path, around: Special, key: str, group: Ranks) -> WrittenLoss:
        s = self._settings
        return WrittenLoss(self, validation_streams(location, around), s.validate_tokens, self.window(s.model.context), key, group)

    def module(self, model: EncoderDecoderModel) -> Written:
        return Written(model, self._settings.z_loss, self._settings.loss_chunk)
