"""The model: layers that model families share: *RMSNorm*, *rotary* positions, *grouped-query attention* with an optional
*cache* of keys and values, and feed-forward networks: the gated *SwiGLU* and *GeGLU*, and the plain one with *GELU*.

Attribute names are those of Hugging Face's Llama, so that its state dict needs no map. Nothing here knows of ranks.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Turn = tuple[Tensor, Tensor]
"""Cosines and sines by which positions turn queries and keys; see ``rotate``."""

FUSED_UP_TO = 256
"""Positions up to which a compiled pass writes attention out instead of calling the flash kernel."""


def precise(x: Tensor) -> Tensor:
    """In float32 at least."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


class RMSNorm(nn.Module):
    """Root-mean-square norm over the last dimension, computed in float32 at least (Zhang & Sennrich, arXiv:1910.07467)."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """float [..., width] -> the same shape and dtype."""
        wide = precise(x)
        wide = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + self.eps)
        return self.weight.to(x.dtype) * wide.to(x.dtype)


def rotary_table(head_width: int, positions: int, theta: float) -> tuple[Tensor, Tensor]:
    """Cosines and sines, float32 [positions, head_width], of angle position * theta^(-2i/head_width), halves repeated."""
    frequency = theta ** (-torch.arange(0, head_width, 2, dtype=torch.float64) / head_width)
    angle = torch.outer(torch.arange(positions, dtype=torch.float64), frequency)
    angle = torch.cat((angle, angle), dim=-1)
    return angle.cos().float(), angle.sin().float()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary position embedding of x [batch, heads, time, head_width] by tables [time, head_width], or [batch, 1, time, head_width].

    Half-split pairs (i, i + head_width/2) turn counter-clockwise: (a, b) -> (a cos - b sin, b cos + a sin)
    (Su et al., arXiv:2104.09864, in Llama's layout).
    """
    first, second = x.chunk(2, dim=-1)
    turned = torch.cat((-second, first), dim=-1)
    return x * cos.to(x.dtype) + turned * sin.to(x.dtype)


class LayerCache:
    """Keys and values of one layer for the positions seen so far: each [batch, kv_heads, capacity, head_width]."""

    def __init__(self, batch: int, kv_heads: int, capacity: int, head_width: int, dtype: torch.dtype, device: torch.device) -> None:
        shape = (batch, kv_heads, capacity, head_width)
        self.keys = torch.zeros(shape, dtype=dtype, device=device)
        self.values = torch.zeros(shape, dtype=dtype, device=device)
        self.length = 0

    def extend(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Append [batch, kv_heads, time, head_width] and return all keys and values so far."""
        end = self.length + keys.shape[2]
        self.keys[:, :, self.length : end] = keys
        self.values[:, :, self.length : end] = values
        self.length = end
        return self.keys[:, :, :end], self.values[:, :, :end]

    def select(self, rows: Tensor) -> None:
        """Go on with these rows, int64 [n], of the batch; one may be taken several times."""
        self.keys, self.values = self.keys[rows], self.values[rows]


def document_mask(documents: Tensor) -> Tensor:
    """Which positions each may attend to: those of its own document up to itself. int [batch, time] -> bool [batch, 1, time, time]."""
    return (documents[:, :, None] == documents[:, None, :]).tril()[:, None]


def padding_mask(padding: Tensor, start: int, time: int) -> Tensor:
    """As ``document_mask``, for ``time`` positions from ``start`` on of rows that begin with so much padding: int [batch] -> bool
    [batch, 1, time, start + time]. Padding is seen by no text. It sees itself: a row of a softmax over nothing would be NaN.
    """
    query = torch.arange(start, start + time, device=padding.device)[:, None]
    key = torch.arange(start + time, device=padding.device)[None]
    seen = (key <= query) & (key >= padding[:, None, None])
    return (seen | (key == query))[:, None]


def fusible_attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None, causal: bool = True) -> Tensor:
    """softmax(Q K^T / sqrt(d)) V written out, for the compiler to fuse: q [batch, heads, time, head_width], k and v with
    as many heads or a divisor of them; the softmax in float32 at least. With a mask, that alone says who attends to whom.

    Takes time squared of memory a head, which at short contexts costs less than the blocks of the flash kernel: compiled, with
    4 layers x 256, context 128 and bf16 on one core, a training step took 111 ms of processor time instead of 156.
    """
    group = q.shape[1] // k.shape[1]
    if group > 1:
        k, v = k.repeat_interleave(group, dim=1), v.repeat_interleave(group, dim=1)
    scores = precise((q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2))
    if causal or mask is not None:
        hidden = torch.ones(q.shape[2], q.shape[2], dtype=torch.bool, device=q.device).triu(1) if mask is None else ~mask
        scores = scores.masked_fill(hidden, -torch.inf)
    return torch.softmax(scores, dim=-1).to(v.dtype) @ v


class Attention(nn.Module):
    """Self-attention in which groups of query heads share a key and value head (Ainslie et al., arXiv:2305.13245)."""

    def __init__(
        self,
        width: int,
        heads: int,
        kv_heads: int,
        head_width: int | None = None,
        bias: bool = False,
        qk_norm_eps: float | None = None,
        causal: bool = True,
    ) -> None:
        """With ``qk_norm_eps``, queries and keys are normed head by head (Henry et al., arXiv:2010.04245; RMSNorm as in Qwen3).
        ``causal``: without a mask, each position attends to those up to itself; else to all."""
        super().__init__()
        self.causal = causal
        self.heads, self.kv_heads, self.head_width = heads, kv_heads, head_width or width // heads
        self.q_proj = nn.Linear(width, heads * self.head_width, bias=bias)
        self.k_proj = nn.Linear(width, kv_heads * self.head_width, bias=bias)
        self.v_proj = nn.Linear(width, kv_heads * self.head_width, bias=bias)
        self.o_proj = nn.Linear(heads * self.head_width, width, bias=bias)
        self.normed = qk_norm_eps is not None
        if qk_norm_eps is not None:
            self.q_norm, self.k_norm = RMSNorm(self.head_width, qk_norm_eps), RMSNorm(self.head_width, qk_norm_eps)

    def forward(self, x: Tensor, turn: Turn | None = None, cache: LayerCache | None = None, mask: Tensor | None = None) -> Tensor:
        """float [batch, time, width] -> the same; with a cache, ``x`` continues the positions that it holds.

        ``turn`` are the cosines and sines of the rotary positions. A mask, bool [batch, 1, time, time so far], takes the
        place of causality, or of none. Without one, a call that continues a filled cache holds one position (decoding); the first call
        may hold many.
        """
        batch, time, _ = x.shape
        # As many heads as there are: projections that are cut over ranks give a rank its own.
        q = self.q_proj(x).view(batch, time, -1, self.head_width).transpose(1, 2)
        k = self.k_proj(x).view(batch, time, -1, self.head_width).transpose(1, 2)
        v = self.v_proj(x).view(batch, time, -1, self.head_width).transpose(1, 2)
        if self.normed:
            q, k = self.q_norm(q), self.k_norm(k)
        if turn is not None:
            q, k = rotate(q, *turn), rotate(k, *turn)
        if cache is not None:
            k, v = cache.extend(k, v)
        if torch.compiler.is_compiling() and 1 < time <= FUSED_UP_TO and cache is None:
            mixed = fusible_attention(q, k, v, mask, self.causal)
        else:
            causal = self.causal and mask is None and time > 1
            mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal, enable_gqa=self.heads != self.kv_heads)
        return self.o_proj(mixed.transpose(1, 2).reshape(batch, time, -1))


class SwiGLU(nn.Module):
    """Gated feed-forward network down(silu(gate(x)) * up(x)) (Shazeer, arXiv:2002.05202)."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(width, hidden, bias=False)
        self.up_proj = nn.Linear(width, hidden, bias=False)
        self.down_proj = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """float [..., width] -> the same shape."""
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class GeGLU(SwiGLU):
    """The same with GELU, down(gelu(gate(x)) * up(x)), by its tanh formula, as in T5 v1.1, or exact, as in ModernBERT."""

    def __init__(self, width: int, hidden: int, exact: bool = False) -> None:
        super().__init__(width, hidden)
        self.formula = "none" if exact else "tanh"

    def forward(self, x: Tensor) -> Tensor:
        """float [..., width] -> the same shape."""
        return self.down_proj(F.gelu(self.gate_proj(x), approximate=self.formula) * self.up_proj(x))


class Gelu(nn.Module):
    """Feed-forward network down(gelu(up(x))) with biases, the GELU by its tanh formula, as in GPT-2 (arXiv:1606.08415), or exact, as in
    BERT."""

    def __init__(self, width: int, hidden: int, exact: bool = False) -> None:
        super().__init__()
        self.formula = "none" if exact else "tanh"
        self.up_proj = nn.Linear(width, hidden)
        self.down_proj = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """float [..., width] -> the same shape."""
        return self.down_proj(F.gelu(self.up_proj(x), approximate=self.formula))
