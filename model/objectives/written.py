"""The model: what encoder-decoders are trained by, whatever was done to the text that they read: the *written* tokens are predicted, each
from those before it and from all that was read. Every one of them weighs the same.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.cross_entropy import linear_cross_entropy
from model.encoder_decoder import EncoderDecoderModel


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
        weights = torch.full(targets.shape, 1 / len(targets), dtype=torch.float32)
        head = model.lm_head.weight[: model.vocab_size]
        return linear_cross_entropy(states, head, targets, weights, z_loss=self.z_loss, chunk=self.chunk)
