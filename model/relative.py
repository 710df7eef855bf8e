"""The model: *relative* attention, as in T5 (Raffel et al. 2020, arXiv:1910.10683): positions are told by a *bias*, a learned number a
head for each *bucket* of distances, which is added to the scores of queries and keys. Near distances have buckets of their own, far
ones share them, and all from `FARTHEST` on the last: so no length is out of reach. Scores are not divided by sqrt(d); weights that are
drawn small stand in for that.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from model.layers import LayerCache

BUCKETS, FARTHEST = 32, 128

KeysValues = tuple[Tensor, Tensor]
"""float [batch, heads, time, head_width] each."""


def buckets_by_distance(buckets: int) -> Tensor:
    """Bucket of each distance from 0 to `FARTHEST`, int64: half of them are exact, the others grow with the logarithm."""
    distance, exact = torch.arange(FARTHEST + 1), buckets // 2
    share = torch.log(distance.clamp(min=1).float() / exact) / math.log(FARTHEST / exact)  # in float32, as `transformers` rounds
    far = exact + (share * (buckets - exact)).long()
    return torch.where(distance < exact, distance, far.clamp(max=buckets - 1))


class RelativeBias(nn.Module):
    """The bias of one stack, which its layers share."""

    buckets: Tensor

    def __init__(self, heads: int, both_ways: bool) -> None:
        """``both_ways``: distances to what follows have half of the buckets; else what follows is not seen at all."""
        super().__init__()
        self.both_ways = both_ways
        self.weight_of = nn.Embedding(BUCKETS, heads)
        self.register_buffer("buckets", buckets_by_distance(BUCKETS // 2 if both_ways else BUCKETS), persistent=False)

    def forward(self, start: int, time: int) -> Tensor:
        """For ``time`` queries from ``start`` on, and keys from 0 to the last of them: float [1, heads, time, start + time]."""
        device = self.buckets.device
        ahead = torch.arange(start + time, device=device)[None] - torch.arange(start, start + time, device=device)[:, None]
        bucket = self.buckets[ahead.abs().clamp(max=FARTHEST)]
        if self.both_ways:
            bucket = bucket + (ahead > 0) * (BUCKETS // 2)
        bias = self.weight_of(bucket).permute(2, 0, 1)[None]
        return bias if self.both_ways else bias.masked_fill(ahead > 0, -torch.inf)

    def at(self, places: Tensor, end: int) -> Tensor:
        """For a query of each row at its own place, int64 [rows], and keys from 0 to before ``end``: float [rows, heads, 1, end]. What
        follows a place is not seen; so this is for a bias that isn't both ways."""
        behind = places[:, None] - torch.arange(end, device=places.device)
        bias = self.weight_of(self.buckets[behind.clamp(0, FARTHEST)])
        return bias.transpose(1, 2)[:, :, None].masked_fill(behind[:, None, None] < 0, -torch.inf)


class RelativeAttention(nn.Module):
    """Attention of ``width`` to itself or to what another stack made, by softmax(Q K^T + bias) V."""

    def __init__(self, width: int, heads: int, head_width: int) -> None:
        super().__init__()
        self.heads, self.head_width = heads, head_width
        self.q_proj = nn.Linear(width, heads * head_width, bias=False)
        self.k_proj = nn.Linear(width, heads * head_width, bias=False)
        self.v_proj = nn.Linear(width, heads * head_width, bias=False)
        self.o_proj = nn.Linear(heads * head_width, width, bias=False)

    def _heads(self, x: Tensor) -> Tensor:
        return x.view(*x.shape[:2], self.heads, self.head_width).transpose(1, 2)

    def keys_values(self, states: Tensor) -> KeysValues:
        """float [batch, time, width] -> what queries attend to."""
        return self._heads(self.k_proj(states)), self._heads(self.v_proj(states))

    def forward(self, x: Tensor, bias: Tensor | None, memory: KeysValues | None = None, cache: LayerCache | None = None) -> Tensor:
        """float [batch, time, width] -> the same. Attends to ``memory`` if it is given, else to itself, and to what a cache holds of the
        positions before. The bias broadcasts to [batch, heads, time, keys]; minus infinity hides a key.

        Written out, not by torch's kernel: that has no fast path for a bias that is learned, and scores that are not divided by sqrt(d)
        want their softmax in float32.
        """
        keys, values = memory or self.keys_values(x)
        if cache is not None:
            keys, values = cache.extend(keys, values)
        scores = (self._heads(self.q_proj(x)) @ keys.transpose(-1, -2)).float()
        if bias is not None:
            scores = scores + bias
        mixed = torch.softmax(scores, dim=-1).to(values.dtype) @ values
        return self.o_proj(mixed.transpose(1, 2).flatten(2))
