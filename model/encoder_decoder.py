"""The model: an *encoder-decoder* reads one text and writes another. Its *encoder* sees all of what it reads; its *decoder* predicts the
next token of what it writes from those before it, and attends to what was *read*. This is T5 v1.1 (Raffel et al. 2020, arXiv:1910.10683;
Shazeer, arXiv:2002.05202): RMSNorm before each part, relative positions, gated GELU, no biases, one embedding for both sides.

With `tie_embeddings` the head is the embedding, and states are scaled by 1/sqrt(width) before it, as in T5 1.0; else it has weights of its
own. Rows of both are padded to a multiple of 64, as those of decoders.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from model.decoder import PAD_TO
from model.layers import GeGLU, LayerCache, RMSNorm
from model.relative import KeysValues, RelativeAttention, RelativeBias
from schemas import recipe


class EncoderLayer(nn.Module):
    """Attention to the whole text, then the feed-forward network, each added to what came in."""

    def __init__(self, config: recipe.EncoderDecoder) -> None:
        super().__init__()
        self.self_attn_norm = RMSNorm(config.width, config.norm_eps)
        self.self_attn = RelativeAttention(config.width, config.heads, config.head_size)
        self.mlp_norm = RMSNorm(config.width, config.norm_eps)
        self.mlp = GeGLU(config.width, config.ffn)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """float [batch, time, width] -> the same."""
        x = x + self.self_attn(self.self_attn_norm(x), bias)
        return x + self.mlp(self.mlp_norm(x))


class DecoderLayer(nn.Module):
    """Attention to what was written, then to what was read, then the feed-forward network."""

    def __init__(self, config: recipe.EncoderDecoder) -> None:
        super().__init__()
        self.self_attn_norm = RMSNorm(config.width, config.norm_eps)
        self.self_attn = RelativeAttention(config.width, config.heads, config.head_size)
        self.cross_attn_norm = RMSNorm(config.width, config.norm_eps)
        self.cross_attn = RelativeAttention(config.width, config.heads, config.head_size)
        self.mlp_norm = RMSNorm(config.width, config.norm_eps)
        self.mlp = GeGLU(config.width, config.ffn)

    def remember(self, states: Tensor) -> KeysValues:
        """What was read, float [batch, time, width] -> this layer's keys and values of it."""
        return self.cross_attn.keys_values(states)

    def forward(self, x: Tensor, bias: Tensor, memory: KeysValues, hidden: Tensor | None, cache: LayerCache | None) -> Tensor:
        """float [batch, time, width] -> the same. ``memory`` are this layer's keys and values of what was read, ``hidden`` its bias."""
        x = x + self.self_attn(self.self_attn_norm(x), bias, cache=cache)
        x = x + self.cross_attn(self.cross_attn_norm(x), hidden, memory)
        return x + self.mlp(self.mlp_norm(x))


class Stack(nn.Module):
    """The layers of one side, the bias that they share, and the norm behind them; `Reads` and `Writes` are the two sides."""

    def __init__(self, layer: Callable[[recipe.EncoderDecoder], nn.Module], config: recipe.EncoderDecoder, both_ways: bool) -> None:
        super().__init__()
        self.bias = RelativeBias(config.heads, both_ways)
        self.layers = nn.ModuleList(layer(config) for _ in range(config.layers))
        self.norm = RMSNorm(config.width, config.norm_eps)


@dataclass(frozen=True)
class Read:
    """What an encoder made of texts."""

    states: Tensor
    """float [batch, time, width]"""
    text: Tensor | None
    """bool [batch, time]: which positions are text, not padding; None: all are."""

    @property
    def bias(self) -> Tensor | None:
        """What hides padding from all: float [batch, 1, 1, time]."""
        return None if self.text is None else hide(self.text)


def hide(text: Tensor) -> Tensor:
    """bool [batch, time] -> a bias that hides what is no text: float [batch, 1, 1, time]."""
    return torch.zeros(text.shape, device=text.device).masked_fill(~text, -torch.inf)[:, None, None]


class Reads(Stack):
    """The encoder's side."""

    def __init__(self, config: recipe.EncoderDecoder) -> None:
        super().__init__(EncoderLayer, config, both_ways=True)

    def forward(self, x: Tensor, text: Tensor | None) -> Read:
        """What it makes of embedded texts: float [batch, time, width], and bool [batch, time] where some of it is padding."""
        bias = self.bias(0, x.shape[1])
        if text is not None:
            bias = bias + hide(text)
        for layer in self.layers:
            x = layer(x, bias)
        return Read(self.norm(x), text)


class WritingCache(LayerCache):
    """Keys and values of one decoder layer: of what was written so far, and of what was read."""

    def __init__(self, memory: KeysValues, hidden: Tensor | None, capacity: int) -> None:
        """``hidden``: the bias that hides padding of what was read."""
        batch, heads, _, head_width = memory[0].shape
        super().__init__(batch, heads, capacity, head_width, memory[0].dtype, memory[0].device)
        self.memory, self.hidden = memory, hidden

    def select(self, rows: Tensor) -> None:
        super().select(rows)
        self.memory = self.memory[0][rows], self.memory[1][rows]
        self.hidden = None if self.hidden is None else self.hidden[rows]


class Writes(Stack):
    """The decoder's side."""

    def __init__(self, config: recipe.EncoderDecoder) -> None:
        super().__init__(DecoderLayer, config, both_ways=False)

    def forward(self, x: Tensor, read: Read) -> Tensor:
        """States, float [batch, time, width], of embedded tokens that are written from their start on."""
        bias = self.bias(0, x.shape[1])
        for layer in self.each():
            x = layer(x, bias, layer.remember(read.states), read.bias, None)
        return self.norm(x)

    def go_on(self, x: Tensor, bias: Tensor, caches: Sequence[LayerCache], memories: Sequence[KeysValues], hidden: Tensor | None) -> Tensor:
        """The same of tokens that follow what the caches hold, one a layer, wherever rows stand in them: the bias of positions says.
        ``memories`` are each layer's keys and values of what was read, ``hidden`` is the bias that hides their padding."""
        for layer, cache, memory in zip(self.each(), caches, memories, strict=True):
            x = layer(x, bias, memory, hidden, cache)
        return self.norm(x)

    def each(self) -> Iterator[DecoderLayer]:
        """Its layers."""
        for layer in self.layers:
            assert isinstance(layer, DecoderLayer)
            yield layer


class EncoderDecoderModel(nn.Module):
    """An encoder and a decoder with their embedding and head; see the module."""

    VOCABULARY = ("embed_tokens.weight", "lm_head.weight")
    """Parameters with a row for each id of the vocabulary, padded."""

    def __init__(self, config: recipe.EncoderDecoder, vocab_size: int) -> None:
        """Weights are drawn from torch's global generator: seed it first."""
        super().__init__()
        self.config, self.vocab_size = config, vocab_size
        rows = -(-vocab_size // PAD_TO) * PAD_TO
        self.embed_tokens = nn.Embedding(rows, config.width)
        self.encoder = Reads(config)
        self.decoder = Writes(config)
        self.lm_head = nn.Linear(config.width, rows, bias=False)
        if config.tie_embeddings:
            self.lm_head.weight = self.embed_tokens.weight
        self._initialise()

    @torch.no_grad()
    def _initialise(self) -> None:
        """As T5 was published: deviation 1 for the embedding, else 1/sqrt(inputs); queries by sqrt(head width) smaller, as scores are not
        divided by it. Padded rows are zero."""
        for name, parameter in self.named_parameters():
            if name == "embed_tokens.weight":
                nn.init.normal_(parameter)
            elif name.endswith("bias.weight_of.weight"):
                nn.init.normal_(parameter, std=self.config.width**-0.5)
            elif parameter.ndim == 2:
                small = self.config.head_size if name.endswith("q_proj.weight") else 1
                nn.init.normal_(parameter, std=(parameter.shape[1] * small) ** -0.5)
        self.embed_tokens.weight[self.vocab_size :] = 0
        self.lm_head.weight[self.vocab_size :] = 0

    def read(self, ids: Tensor, text: Tensor | None = None) -> Read:
        """What the encoder makes of texts: int64 [batch, time], and bool of that shape where some of it is padding."""
        read: Read = self.encoder(self.embed_tokens(ids), text)
        return read

    def hidden(self, ids: Tensor, read: Read, caches: list[WritingCache] | None = None) -> Tensor:
        """States that the head takes, float [batch, time, width], of what is written: int64 [batch, time], which follows what the caches
        hold (see ``caches``), if there are any; these hold then, too, what was read."""
        if not caches:
            return self._for_head(self.decoder(self.embed_tokens(ids), read))
        bias = self.decoder.bias(caches[0].length, ids.shape[1])
        return self.go_on(ids, bias, caches, [cache.memory for cache in caches], caches[0].hidden)

    def go_on(
        self, ids: Tensor, bias: Tensor, caches: Sequence[LayerCache], memories: Sequence[KeysValues], hidden: Tensor | None
    ) -> Tensor:
        """States that the head takes, as ``Writes.go_on`` makes them."""
        return self._for_head(self.decoder.go_on(self.embed_tokens(ids), bias, caches, memories, hidden))

    def _for_head(self, states: Tensor) -> Tensor:
        return states * self.config.width**-0.5 if self.config.tie_embeddings else states

    def forward(self, ids: Tensor, written: Tensor, text: Tensor | None = None) -> Tensor:
        """What is read, and what is written behind it from its start token on, int64 [batch, time] each; which of the first is text, not
        padding -> logits of the token that follows each of the second, float [batch, time, vocab]."""
        return self.logits(self.hidden(written, self.read(ids, text)))

    def logits(self, states: Tensor) -> Tensor:
        """float [..., width] -> float [..., vocab]."""
        return self.lm_head(states)[..., : self.vocab_size]

    def caches(self, read: Read, positions: int) -> list[WritingCache]:
        """Caches of nothing written yet, one a decoder layer, with room for so many positions."""
        return [WritingCache(layer.remember(read.states), read.bias, positions) for layer in self.decoder.each()]
