"""The model: a *headed model* is a pretrained backbone with a *head* for what it is fine-tuned to tell, its *purpose*:

    sequence   a score for each label of a text, or of two
    tokens     a score for each label of each token
    spans      of each token, whether an answer begins there, and whether it ends there

The layers of each head are those of `transformers`' class for the family and purpose, so that a headed model is saved as one
(`model.hf.heads`): BERT tells a sequence by its pooler, ModernBERT by the mean of its states, a decoder by its last token's state.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.decoder import INIT_STD, DecoderModel
from model.encoder import EncoderModel, norm_of
from schemas import recipe
from schemas.errors import RequestError

Purpose = Literal["sequence", "tokens", "spans"]
BEGINS, ENDS = 0, 1
"""Scores of a token, for `spans`."""


class ScoreHead(nn.Module):
    """What ModernBERT's heads do before they score: the same layers as those of its head for masked tokens, which it starts from."""

    def __init__(self, config: recipe.Encoder) -> None:
        super().__init__()
        self.dense = nn.Linear(config.width, config.width, bias=False)
        self.norm = norm_of(config)

    def forward(self, states: Tensor) -> Tensor:
        """float [..., width] -> the same shape."""
        return self.norm(F.gelu(self.dense(states)))


class HeadedModel(nn.Module):
    """A backbone and a head; see the module."""

    def __init__(self, base: EncoderModel | DecoderModel, purpose: Purpose, labels: Sequence[str], dropout: float = 0.0) -> None:
        """Takes over the weights of `base`; those that it lacks are drawn from torch's global generator. `labels` are empty for spans."""
        super().__init__()
        config = base.config
        self.architecture, self.vocab_size, self.purpose, self.labels = config, base.vocab_size, purpose, tuple(labels)
        self.model = base.model
        self.pooler: nn.Linear | None = None
        self.head: ScoreHead | None = None
        if isinstance(base, EncoderModel):
            if base.config.family == "modernbert":
                self.head = ScoreHead(base.config)
                if base.head is not None:
                    self.head.load_state_dict({name: value for name, value in base.head.state_dict().items() if name != "bias"})
                else:
                    _draw(self.head.dense)
            elif purpose == "sequence":
                self.pooler = base.pooler or _draw(nn.Linear(config.width, config.width))
        self.dropout = nn.Dropout(dropout)
        scores = 2 if purpose == "spans" else len(labels)
        # transformers' decoders score sequences without a bias.
        self.score = _draw(nn.Linear(config.width, scores, bias=isinstance(base, EncoderModel) or purpose != "sequence"))

    def forward(self, ids: Tensor, types: Tensor | None, lengths: Tensor) -> Tensor:
        """int64 [batch, time] each but `lengths`, int64 [batch] -> logits: float [batch, labels] of sequences, [batch, time, labels] of
        tokens, [batch, time, 2] of spans. What stands after a text's length is not seen."""
        inside = torch.arange(ids.shape[1], device=ids.device) < lengths[:, None]
        if isinstance(self.architecture, recipe.Encoder):
            documents = None if bool(inside.all()) else inside.long() - 1
            states = self.model(ids, types if self.architecture.family == "bert" else None, documents)
        else:
            states = self.model(ids)
        if self.purpose == "sequence":
            states = self._pooled(states, inside, lengths)
        if self.head is not None:
            states = self.head(states)
        return self.score(self.dropout(states))

    def _pooled(self, states: Tensor, inside: Tensor, lengths: Tensor) -> Tensor:
        """float [batch, time, width] -> [batch, width]."""
        if self.pooler is not None:
            return torch.tanh(self.pooler(states[:, 0]))
        if self.head is not None:
            return (states * inside[..., None]).sum(1) / lengths[:, None]
        return states[torch.arange(len(states), device=states.device), lengths - 1]


def headed(base: nn.Module, purpose: Purpose, labels: Sequence[str], dropout: float = 0.0) -> HeadedModel:
    """A headed model of a pretrained one. Raises `RequestError` for a family that has no such heads."""
    if not isinstance(base, EncoderModel | DecoderModel):
        family = {"EncoderDecoderModel": "an encoder-decoder, which answers in words: take kind generation"}
        told = family.get(type(base).__name__, "no encoder or decoder: fine-tune one of those")
        raise RequestError(f"the model has no head for {purpose}: it is {told}")
    return HeadedModel(base, purpose, labels, dropout)


def _draw(layer: nn.Linear) -> nn.Linear:
    nn.init.normal_(layer.weight, std=INIT_STD)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer
