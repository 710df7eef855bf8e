"""The model: the objective of decoders: *next token*. A model predicts each token given those before it in its sample: in blocks, every
token but the first; in rows of several documents, those whose predecessor is of their document.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.cross_entropy import linear_cross_entropy
from model.data import Batch, Packing
from model.families import Causal
from model.objectives.objective import Inputs
from model.parallel import Ranks
from model.spread import whole
from model.stream import validation_streams
from model.text import Special
from model.validate import Validation
from schemas.recipe import Pretrain


class NextTokenObjective:
    """What decoders are trained by."""

    def __init__(self, settings: Pretrain) -> None:
        self._settings = settings
        self.packing: Packing = settings.packing
        self.words = False

    def window(self, context: int) -> int:
        return context + 1

    def inputs(self, batch: Batch) -> Inputs:
        if batch.documents is None or batch.positions is None:
            return Inputs((batch.ids,))
        return Inputs((batch.ids, batch.documents, batch.positions), int(own(batch.documents).sum()))

    def validation(self, location: Path, around: Special, key: str, group: Ranks) -> Validation:
        s = self._settings
        return Validation(validation_streams(location, around), s.validate_tokens, s.model.context, key, group, s.document_mask)

    def module(self, model: Causal) -> nn.Module:
        s = self._settings
        if s.z_loss or s.loss_chunk:
            return NextTokenInChunks(model, s.document_mask, s.z_loss, s.loss_chunk)
        boundaries = s.document_mask or s.packing == "best_fit"
        return NextTokenOfDocument(model, s.document_mask) if boundaries else NextToken(model)


def own(documents: Tensor) -> Tensor:
    """Which tokens but the first are predicted: those whose predecessor is of their document, and that are no filling.

    int32 [batch, time] -> bool [batch, time - 1].
    """
    return (documents[:, 1:] == documents[:, :-1]) & (documents[:, 1:] >= 0)


class NextToken(nn.Module):
    """The training objective: mean cross entropy, in nats, of each token given those before it in its block."""

    def __init__(self, decoder: Causal) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, blocks: Tensor) -> Tensor:
        """int64 [batch, context + 1] -> float32 scalar."""
        logits = self.decoder(blocks[:, :-1])
        return F.cross_entropy(logits.flatten(0, 1).float(), blocks[:, 1:].flatten())


class NextTokenOfDocument(nn.Module):
    """The training objective over rows of several documents: a document's first token, and filling, are not predicted."""

    def __init__(self, decoder: Causal, masked: bool) -> None:
        """``masked``: attend within documents, with positions of their own; else to all that is before in the row."""
        super().__init__()
        self.decoder, self.masked = decoder, masked

    def forward(self, rows: Tensor, documents: Tensor, positions: Tensor, share: Tensor) -> Tensor:
        """int64 [batch, context + 1], int32 and int64 of that shape, and the number of tokens to divide the sum of nats by ->
        float32 scalar. With the same ``share`` on all ranks, tokens of all rows weigh the same, whatever is filling where."""
        logits = self.decoder(rows[:, :-1], packed=(documents[:, :-1], positions[:, :-1]) if self.masked else None)
        nats = F.cross_entropy(logits.flatten(0, 1).float(), rows[:, 1:].flatten(), reduction="none")
        return (nats * own(documents).flatten()).sum() / share


class NextTokenInChunks(nn.Module):
    """The two objectives above, by the cross entropy of `model.cross_entropy`."""

    def __init__(self, decoder: Causal, masked: bool, z_loss: float, chunk: int | None) -> None:
        super().__init__()
        self.decoder, self.masked, self.z_loss, self.chunk = decoder, masked, z_loss, chunk

    def forward(
        self, rows: Tensor, documents: Tensor | None = None, positions: Tensor | None = None, share: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """As `NextToken`, or with all four as `NextTokenOfDocument` -> what to minimise, and the cross entropy, float32 scalars."""
        targets = rows[:, 1:].flatten()
        packed = None
        if documents is None or positions is None or share is None:
            weights = torch.full(targets.shape, 1 / len(targets), dtype=torch.float32, device=targets.device)
        else:
            weights = own(documents).flatten().float() / share
            packed = (documents[:, :-1], positions[:, :-1]) if self.masked else None
        states = self.decoder.hidden(rows[:, :-1], packed=packed).flatten(0, 1)
        head = whole(self.decoder.lm_head.weight)[: self.decoder.vocab_size]
        return linear_cross_entropy(states, head, targets, weights, z_loss=self.z_loss, chunk=self.chunk)
