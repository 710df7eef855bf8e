"""The model: a *headed model* is a pretrained backbone with a *head* for what it is fine-tuned to tell, its *purpose*:

    sequence   a score for each label of a text, or of two
    tokens     a score for each label of each token
    spans      of each token, whether an answer begins there, and whether it ends there

The layers of each head are those of `transformers`' class for the family and purpose, so that a headed model is saved as one
(`model.hf.heads`): BERT tells a sequence by its pooler, ModernBERT by the mean of its states, a decoder by its last token's state.

Of an encoder-decoder, tokens are told by the encoder alone. For sequences and spans, its decoder is given the text to write that the
encoder read: so each state knows of all of it, and the last one, of the eos, tells the sequence.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model import decoder, encoder
from model.decoder import INIT_STD, DecoderModel
from model.encoder import EncoderModel, norm_of
from model.encoder_decoder import EncoderDecoderModel
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


class Stacks(nn.Module):
    """An encoder-decoder below its head; see the module."""

    def __init__(self, base: EncoderDecoderModel, start: int, writes: bool) -> None:
        """``start``: what it begins to write with. ``writes``: whether the decoder takes part."""
        super().__init__()
        self.embed_tokens, self.encoder, self.start = base.embed_tokens, base.encoder, start
        self.decoder = base.decoder if writes else None

    def forward(self, ids: Tensor, inside: Tensor | None) -> Tensor:
        """int64 [batch, time], and bool of that shape where some of it is padding, behind -> states, float [batch, time, width]."""
        read = self.encoder(self.embed_tokens(ids), inside)
        if self.decoder is None:
            states: Tensor = read.states
            return states
        written = torch.cat((torch.full_like(ids[:, :1], self.start), ids[:, :-1]), 1)
        states = self.decoder(self.embed_tokens(written), read)
        return states


class HeadedModel(nn.Module):
    """A backbone and a head; see the module."""

    def __init__(
        self,
        base: EncoderModel | DecoderModel | EncoderDecoderModel,
        purpose: Purpose,
        labels: Sequence[str],
        dropout: float = 0.0,
        start: int | None = None,
    ) -> None:
        """Takes over the weights of `base`; those that it lacks are drawn from torch's global generator. `labels` are empty for spans.
        `start`: what an encoder-decoder begins to write with; ValueError without."""
        super().__init__()
        config = base.config
        self.architecture, self.vocab_size, self.purpose, self.labels = config, base.vocab_size, purpose, tuple(labels)
        if isinstance(base, EncoderDecoderModel):
            if start is None:
                raise ValueError("decoder_start_token_id is missing: an encoder-decoder begins to write with it")
            self.model: decoder.Backbone | encoder.Backbone | Stacks = Stacks(base, start, writes=purpose != "tokens")
        else:
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
        elif isinstance(base, EncoderDecoderModel) and purpose == "sequence":
            self.pooler = _draw(nn.Linear(config.width, config.width))
        self.dropout = nn.Dropout(dropout)
        scores = 2 if purpose == "spans" else len(labels)
        # transformers' decoders score sequences without a bias.
        self.score = _draw(nn.Linear(config.width, scores, bias=not isinstance(base, DecoderModel) or purpose != "sequence"))

    def forward(self, ids: Tensor, types: Tensor | None, lengths: Tensor) -> Tensor:
        """int64 [batch, time] each but `lengths`, int64 [batch] -> logits: float [batch, labels] of sequences, [batch, time, labels] of
        tokens, [batch, time, 2] of spans. What stands after a text's length is not seen."""
        inside = torch.arange(ids.shape[1], device=ids.device) < lengths[:, None]
        if isinstance(self.architecture, recipe.EncoderDecoder):
            states = self.model(ids, None if bool(inside.all()) else inside)
        elif isinstance(self.architecture, recipe.Encoder):
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
        if self.head is not None:
            return (states * inside[..., None]).sum(1) / lengths[:, None]
        if self.pooler is not None and isinstance(self.architecture, recipe.Encoder):
            return torch.tanh(self.pooler(states[:, 0]))
        last = states[torch.arange(len(states), device=states.device), lengths - 1]
        return last if self.pooler is None else torch.tanh(self.pooler(self.dropout(last)))


def headed(base: nn.Module, purpose: Purpose, labels: Sequence[str], dropout: float = 0.0, start: int | None = None) -> HeadedModel:
    """A headed model of a pretrained one; `start` as of `HeadedModel`. Raises `RequestError` for a family that has no such heads."""
    if not isinstance(base, EncoderModel | DecoderModel | EncoderDecoderModel):
        raise RequestError(f"the model has no head for {purpose}: it is no encoder or decoder: fine-tune one of those")
    try:
        return HeadedModel(base, purpose, labels, dropout, start)
    except ValueError as error:
        raise RequestError(f"the model's config.json: {error}") from error


def _draw(layer: nn.Linear) -> nn.Linear:
    nn.init.normal_(layer.weight, std=INIT_STD)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer
