"""The model: a *decoder* is a language model: token embedding, layers of causal attention and a feed-forward network with a
norm before each, a final norm, and a *head* that scores the next token. Its *family* says which parts:

    llama   RMSNorm, rotary positions, SwiGLU, no biases; with `qk_norm` it is what Hugging Face calls Qwen3
    gpt2    LayerNorm, a learned vector added for each position, GELU, biases

Rows of the embedding are *padded* to a multiple of 64, for speed. Padding never shows: logits and exported weights have
the vocabulary's real size, and padded rows get no gradient.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from model.layers import Attention, Gelu, LayerCache, RMSNorm, SwiGLU, Turn, document_mask, padding_mask, rotary_table
from schemas import recipe

PAD_TO = 64
INIT_STD = 0.02

Packed = tuple[Tensor, Tensor]
"""Number of each token's document in its row, and its position in it: int [batch, time] each."""


def norm_of(config: recipe.Decoder) -> nn.Module:
    """A norm over the width, by family."""
    return nn.LayerNorm(config.width, config.norm_eps) if config.family == "gpt2" else RMSNorm(config.width, config.norm_eps)


class Layer(nn.Module):
    """One pre-norm residual layer: attention, then the feed-forward network."""

    def __init__(self, config: recipe.Decoder) -> None:
        super().__init__()
        gpt2, qk_norm_eps = config.family == "gpt2", config.norm_eps if config.qk_norm else None
        self.input_layernorm = norm_of(config)
        self.self_attn = Attention(config.width, config.heads, config.kv_heads, config.head_width, gpt2, qk_norm_eps)
        self.post_attention_layernorm = norm_of(config)
        self.mlp = Gelu(config.width, config.ffn) if gpt2 else SwiGLU(config.width, config.ffn)

    def forward(self, x: Tensor, turn: Turn | None, cache: LayerCache | None = None, mask: Tensor | None = None) -> Tensor:
        """float [batch, time, width] -> the same."""
        x = x + self.self_attn(self.input_layernorm(x), turn, cache, mask)
        return x + self.mlp(self.post_attention_layernorm(x))


class Backbone(nn.Module):
    """Everything below the head; the part that Hugging Face calls ``model``."""

    cos: Tensor
    sin: Tensor

    def __init__(self, config: recipe.Decoder, rows: int) -> None:
        super().__init__()
        self.context, self.learned = config.context, config.family == "gpt2"
        self.embed_tokens = nn.Embedding(rows, config.width)
        if self.learned:
            self.embed_positions = nn.Embedding(config.context, config.width)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.layers))
        self.norm = norm_of(config)
        if not self.learned:
            cos, sin = rotary_table(config.head_size, config.context, config.rope_theta)
            self.register_buffer("cos", cos, persistent=False)
            self.register_buffer("sin", sin, persistent=False)

    def forward(
        self, ids: Tensor, caches: list[LayerCache] | None = None, packed: Packed | None = None, padding: Tensor | None = None
    ) -> Tensor:
        """int64 [batch, time] -> final-normed states, float [batch, time, width]. See ``DecoderModel.forward``."""
        start = caches[0].length if caches else 0
        end = start + ids.shape[1]
        if end > self.context:
            raise ValueError(f"{end} positions do not fit the model's context of {self.context}: shorten the input")
        positions: Tensor | slice = slice(start, end)
        mask = None
        if packed is not None:
            documents, positions = packed
            mask = document_mask(documents)
        elif padding is not None:
            positions = (torch.arange(start, end, device=ids.device) - padding[:, None]).clamp(min=0)
            mask = padding_mask(padding, start, ids.shape[1])
        return self.read(ids, positions, mask, caches)

    def read(self, ids: Tensor, positions: Tensor | slice, mask: Tensor | None, caches: Sequence[LayerCache] | None) -> Tensor:
        """The same, of ids at these positions, int64 [batch, time], who see what the mask says, bool [batch, 1, time, time so far]."""
        x, turn = self._place(self.embed_tokens(ids), positions)
        for number, layer in enumerate(self.layers):
            x = layer(x, turn, caches[number] if caches else None, mask)
        return self.norm(x)

    def _place(self, x: Tensor, positions: Tensor | slice) -> tuple[Tensor, Turn | None]:
        """Tell embedded tokens their positions: by a vector added here, or by how attention is to turn queries and keys."""
        if self.learned:
            return x + self.embed_positions.weight[positions], None
        cos, sin = self.cos[positions], self.sin[positions]
        return x, (cos, sin) if cos.ndim == 2 else (cos[:, None], sin[:, None])


class DecoderModel(nn.Module):
    """A decoder with its head; parameter names equal those of Hugging Face's ``LlamaForCausalLM``, whatever the family."""

    VOCABULARY = ("model.embed_tokens.weight", "lm_head.weight")
    """Parameters with a row for each id of the vocabulary, padded."""

    def __init__(self, config: recipe.Decoder, vocab_size: int) -> None:
        """Weights are drawn from torch's global generator: seed it first."""
        super().__init__()
        self.config, self.vocab_size = config, vocab_size
        rows = -(-vocab_size // PAD_TO) * PAD_TO
        self.model = Backbone(config, rows)
        self.lm_head = nn.Linear(config.width, rows, bias=False)
        if config.tie_embeddings:
            self.lm_head.weight = self.model.embed_tokens.weight
        self._initialise()

    @torch.no_grad()
    def _initialise(self) -> None:
        """Normal with deviation 0.02; what writes to the residual stream is divided by sqrt(2 layers), as in GPT-2.

        Biases and padded rows are zero.
        """
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2:
                residual = name.endswith(("o_proj.weight", "down_proj.weight"))
                std = INIT_STD / (2 * self.config.layers) ** 0.5 if residual else INIT_STD
                nn.init.normal_(parameter, std=std)
            elif name.endswith(".bias"):
                nn.init.zeros_(parameter)
        self.model.embed_tokens.weight[self.vocab_size :] = 0
        self.lm_head.weight[self.vocab_size :] = 0

    def hidden(
        self, ids: Tensor, caches: list[LayerCache] | None = None, packed: Packed | None = None, padding: Tensor | None = None
    ) -> Tensor:
        """int64 [batch, time] -> final-normed states, float [batch, time, width]."""
        return self.model(ids, caches, packed, padding)

    def forward(
        self, ids: Tensor, caches: list[LayerCache] | None = None, packed: Packed | None = None, padding: Tensor | None = None
    ) -> Tensor:
        """int64 [batch, time] -> logits of the next token, float [batch, time, vocab].

        With ``caches`` (see ``caches``), the ids continue the positions that these hold. With ``packed``, a row holds several
        documents, and each is read as if it stood alone. With ``padding``, int64 [batch], each row begins with so many ids that
        are no text, and its text is read as if it began the row. Raises ValueError past the context.
        """
        return self.lm_head(self.hidden(ids, caches, packed, padding))[..., : self.vocab_size]

    @property
    def limit(self) -> int:
        """Positions that it can read at a time."""
        return self.config.context

    def caches(self, batch: int, positions: int | None = None) -> list[LayerCache]:
        """Empty caches of keys and values, one a layer, with room for so many positions, or else for the whole context."""
        c, weight = self.config, self.lm_head.weight
        room = c.context if positions is None else min(positions, c.context)
        return [LayerCache(batch, c.kv_heads, room, c.head_size, weight.dtype, weight.device) for _ in range(c.layers)]
