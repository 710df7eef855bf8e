"""The model: the *head* maps states to logits, and cross entropy needs a row of these for each token. A *chunk* is the tokens
whose logits exist at a time: with a vocabulary of 128,000, all logits of 4,096 tokens would take 2 GB, and their gradient as much.

Gradients of a chunk are worked out with its loss, exactly, so that no logits are kept for the backward pass (as in Liger
Kernel, arXiv:2410.10989). The z-loss (Chowdhery et al., arXiv:2204.02311) keeps the log-sum-exp of the logits near 0.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class _SumOverTokens(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, states: Tensor, head: Tensor, targets: Tensor, weights: Tensor, z: float, chunk: int, dtype: torch.dtype
    ) -> tuple[Tensor, Tensor]:
        x, w = states.to(dtype), head.to(dtype)
        told, penalty = weights.new_zeros(()), weights.new_zeros(())
        of_states, of_head = torch.empty_like(states), torch.zeros_like(head)
        for start in range(0, len(x), chunk):
            rows = slice(start, start + chunk)
            part, target, weight = x[rows], targets[rows, None], weights[rows]
            logits = (part @ w.T).to(weights.dtype)
            total = logits.logsumexp(-1)
            told = told + (weight * (total - logits.gather(1, target)[:, 0])).sum()
            penalty = penalty + z * (weight * total.square()).sum()
            # In place from here on: the logits' slope takes their memory.
            slope = logits.sub_(total[:, None]).exp_().mul_((weight * (1 + 2 * z * total))[:, None])
            slope = slope.scatter_add_(1, target, -weight[:, None]).to(dtype)
            of_states[rows] = slope @ w
            of_head += slope.T @ part
        ctx.save_for_backward(of_states, of_head)
        ctx.mark_non_differentiable(told)
        return told + penalty, told

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:
        of_states, of_head = ctx.saved_tensors
        return of_states * slopes[0].to(of_states.dtype), of_head * slopes[0].to(of_head.dtype), None, None, None, None, None


def linear_cross_entropy(
    states: Tensor, head: Tensor, targets: Tensor, weights: Tensor, *, z_loss: float = 0.0, chunk: int | None = None
) -> tuple[Tensor, Tensor]:
    """Sums over tokens of weight x (nats + z_loss x log-sum-exp²), and of weight x nats alone, which has no gradient.

    States float [tokens, width], head float [vocabulary, width], targets int64 [tokens], weights float32 or float64 [tokens] ->
    scalars of the weights' type. ``chunk`` tokens at a time; None: all at once. Under autocast, products are in its type.
    """
    kind = states.device.type
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else head.dtype
    with torch.autocast(kind, enabled=False):
        found: tuple[Tensor, Tensor] = _SumOverTokens.apply(states, head, targets, weights, z_loss, chunk or len(states), dtype)
    return found
