"""The model: an *encoder* reads a text whole: every token attends to those before and after it. Token embedding, layers of attention
and a feed-forward network, and *heads* on its states: one scores what a hidden token was, one whether a second sentence follows the
first. Its *family* says which parts:

    bert         LayerNorm behind each part of a layer, learned vectors of positions and token types, GELU, biases (arXiv:1810.04805)
    modernbert   LayerNorm without biases before them, rotary positions, GeGLU; all but every n-th layer are *local*: they see a window
                 around each token (arXiv:2412.13663)

The vocabulary is padded as a decoder's is (`model.decoder`); the scores' weights are those of the embedding.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.decoder import INIT_STD, PAD_TO
from model.layers import Attention, GeGLU, Gelu, Turn, rotary_table
from schemas import recipe

TYPES = 2
"""Token types: the first sentence and the second."""
FILLING = -1
"""The number of the document that tokens are of which are none."""


def norm_of(config: recipe.Encoder) -> nn.LayerNorm:
    """A norm over the width, by family."""
    return nn.LayerNorm(config.width, config.norm_eps, bias=config.family == "bert")


def attention_mask(documents: Tensor, reach: int | None = None) -> Tensor:
    """Which positions each attends to: those of its own document, at most ``reach`` away. int [batch, time] -> bool [batch, 1, time, time].

    Filling sees filling: a row of a softmax over nothing would be NaN.
    """
    same = documents[:, :, None] == documents[:, None, :]
    return (same if reach is None else same & near(documents.shape[1], reach, documents.device))[:, None]


def near(time: int, reach: int, device: torch.device) -> Tensor:
    """Which positions lie at most ``reach`` from each other: bool [time, time]."""
    place = torch.arange(time, device=device)
    return (place[:, None] - place[None]).abs() <= reach


class Layer(nn.Module):
    """One residual layer: attention, then the feed-forward network, each with its norm before it or behind it."""

    def __init__(self, config: recipe.Encoder, number: int) -> None:
        super().__init__()
        bert = config.family == "bert"
        self.norm_behind = bert
        self.local: bool = not bert and number % config.global_every != 0
        self.self_attn = Attention(config.width, config.heads, config.heads, bias=bert, causal=False)
        # In ModernBERT the embedding's norm is the first layer's, too.
        self.self_attn_norm = norm_of(config) if bert or number else nn.Identity()
        self.mlp = Gelu(config.width, config.ffn, exact=True) if bert else GeGLU(config.width, config.ffn, exact=True)
        self.mlp_norm = norm_of(config)

    def forward(self, x: Tensor, turn: Turn | None, mask: Tensor | None) -> Tensor:
        """float [batch, time, width] -> the same."""
        if self.norm_behind:
            x = self.self_attn_norm(x + self.self_attn(x, turn, mask=mask))
            return self.mlp_norm(x + self.mlp(x))
        x = x + self.self_attn(self.self_attn_norm(x), turn, mask=mask)
        return x + self.mlp(self.mlp_norm(x))


class Backbone(nn.Module):
    """Everything below the heads."""

    def __init__(self, config: recipe.Encoder, rows: int) -> None:
        super().__init__()
        self.context, self.reach, bert = config.context, config.local_window // 2, config.family == "bert"
        self.embed_tokens = nn.Embedding(rows, config.width)
        if bert:
            self.embed_positions, self.embed_types = nn.Embedding(config.context, config.width), nn.Embedding(TYPES, config.width)
        self.embed_norm = norm_of(config)
        self.layers = nn.ModuleList(Layer(config, number) for number in range(config.layers))
        self.norm = nn.Identity() if bert else norm_of(config)
        self.bert = bert
        if not bert:
            for kind, theta in (("global", config.rope_theta), ("local", config.local_rope_theta)):
                cos, sin = rotary_table(config.head_size, config.context, theta)
                self.register_buffer(f"{kind}_cos", cos, persistent=False)
                self.register_buffer(f"{kind}_sin", sin, persistent=False)

    def forward(self, ids: Tensor, types: Tensor | None = None, documents: Tensor | None = None, positions: Tensor | None = None) -> Tensor:
        """int64 [batch, time] -> states, float [batch, time, width]. See ``EncoderModel.forward``."""
        time = ids.shape[1]
        if time > self.context:
            raise ValueError(f"{time} positions do not fit the model's context of {self.context}: shorten the input")
        x = self.embed_tokens(ids)
        if self.bert:
            x = x + self.embed_types(torch.zeros_like(ids) if types is None else types)
            x = x + (self.embed_positions.weight[:time] if positions is None else self.embed_positions(positions))
        x = self.embed_norm(x)
        everywhere = None if documents is None else attention_mask(documents)
        around = everywhere
        turns: dict[bool, Turn | None] = {False: None, True: None}
        if not self.bert:
            turns = {local: self._turn("local" if local else "global", time, positions) for local in (False, True)}
            if self.reach < time - 1:
                within = near(time, self.reach, ids.device)[None, None]
                around = within if documents is None else attention_mask(documents, self.reach)
        for layer in self.layers:
            assert isinstance(layer, Layer)
            x = layer(x, turns[layer.local], around if layer.local else everywhere)
        return self.norm(x)

    def _turn(self, kind: str, time: int, positions: Tensor | None) -> Turn:
        cos, sin = getattr(self, f"{kind}_cos"), getattr(self, f"{kind}_sin")
        return (cos[:time], sin[:time]) if positions is None else (cos[positions][:, None], sin[positions][:, None])


class Head(nn.Module):
    """States -> what is compared with the embedding of each token, to score it."""

    def __init__(self, config: recipe.Encoder, rows: int) -> None:
        super().__init__()
        self.dense = nn.Linear(config.width, config.width, bias=config.family == "bert")
        self.norm = norm_of(config)
        self.bias = nn.Parameter(torch.zeros(rows))
        """Of each token's score."""

    def forward(self, states: Tensor) -> Tensor:
        """float [..., width] -> the same shape."""
        return self.norm(F.gelu(self.dense(states)))


class EncoderModel(nn.Module):
    """An encoder with the heads that its ``task`` needs: of masked tokens unless that says otherwise."""

    def __init__(self, config: recipe.Encoder, vocab_size: int) -> None:
        """Weights are drawn from torch's global generator: seed it first."""
        super().__init__()
        self.config, self.vocab_size = config, vocab_size
        self.VOCABULARY = ("model.embed_tokens.weight", *(("head.bias",) if config.task != "none" else ()))
        """Parameters with a row for each id of the vocabulary, padded."""
        rows = -(-vocab_size // PAD_TO) * PAD_TO
        scores, follows = config.task != "none", config.task == "next_sentence"
        self.model = Backbone(config, rows)
        self.head = Head(config, rows) if scores else None
        # A BERT without heads has its pooler: what is fine-tuned by its first state needs it.
        self.pooler = nn.Linear(config.width, config.width) if config.family == "bert" and (follows or not scores) else None
        self.next_sentence = nn.Linear(config.width, 2) if follows else None
        self._initialise()

    @torch.no_grad()
    def _initialise(self) -> None:
        """Normal with deviation 0.02, cut off at twice that; in ModernBERT, what writes to the residual stream, and the head, is divided
        by sqrt(2 layers). Biases and padded rows are zero."""
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2:
                small = self.config.family == "modernbert" and name.endswith(("o_proj.weight", "down_proj.weight", "head.dense.weight"))
                std = INIT_STD / (2 * self.config.layers) ** 0.5 if small else INIT_STD
                _draw_within_two_deviations(parameter, std)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)
        self.model.embed_tokens.weight[self.vocab_size :] = 0

    def hidden(self, ids: Tensor, types: Tensor | None = None, documents: Tensor | None = None, positions: Tensor | None = None) -> Tensor:
        """int64 [batch, time] -> states, float [batch, time, width]."""
        return self.model(ids, types, documents, positions)

    def scores(self, states: Tensor) -> Tensor:
        """States of hidden tokens, float [..., width] -> logits of what they were, float [..., vocab]. Raises ValueError
        without the head."""
        if self.head is None:
            raise ValueError("the model has no head for hidden tokens: it was imported without one")
        weight, bias = self.model.embed_tokens.weight[: self.vocab_size], self.head.bias[: self.vocab_size]
        return F.linear(self.head(states), weight, bias)

    def follows(self, states: Tensor) -> Tensor:
        """float [batch, time, width] -> logits, float [batch, 2], of whether the second sentence follows the first (0) or not (1)."""
        if self.pooler is None or self.next_sentence is None:
            raise ValueError("the model has no head for next sentences: it was trained without")
        return self.next_sentence(self.pooled(states))

    def pooled(self, states: Tensor) -> Tensor:
        """The first token's state, made ready for heads: float [batch, time, width] -> float [batch, width]."""
        if self.pooler is None:
            raise ValueError("the model has no pooler")
        return torch.tanh(self.pooler(states[:, 0]))

    def forward(self, ids: Tensor, types: Tensor | None = None, documents: Tensor | None = None, positions: Tensor | None = None) -> Tensor:
        """int64 [batch, time] -> logits of each token, float [batch, time, vocab].

        ``types``, int64 of that shape: 0 in a first sentence, 1 in a second (bert). ``documents``, int of that shape: each token attends
        to those of its number; filling has one of its own, -1. ``positions``, int64 of that shape: other than 0, 1, 2, ... Raises
        ValueError past the context.
        """
        return self.scores(self.hidden(ids, types, documents, positions))


def _draw_within_two_deviations(weight: Tensor, std: float) -> None:
    """A normal distribution that is cut off, by the inverse of its distribution function: what torch has draws until all fit, which tensors
    without content (`model.footprint`) can't tell."""
    inside = math.erf(2 / math.sqrt(2))
    weight.uniform_(-inside, inside).erfinv_().mul_(std * math.sqrt(2)).clamp_(-2 * std, 2 * std)
