"""The model: cross entropy in chunks is cross entropy: its values, its gradients, whatever the chunk, the weights and the z-loss."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from model.cross_entropy import linear_cross_entropy
from model.decoder import DecoderModel
from model.objectives.next_token import NextToken, NextTokenInChunks, NextTokenOfDocument
from schemas import recipe


def some(tokens: int, seed: int, dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(seed)
    states, head = torch.randn(tokens, 5, generator=draw, dtype=dtype), torch.randn(11, 5, generator=draw, dtype=dtype)
    targets, weights = torch.randint(0, 11, (tokens,), generator=draw), torch.rand(tokens, generator=draw, dtype=dtype)
    return states.requires_grad_(), head.requires_grad_(), targets, weights


@pytest.mark.parametrize("z_loss", [0.0, 0.3])
@pytest.mark.parametrize("chunk", [None, 3])
def test_gradients_are_exact(z_loss: float, chunk: int | None) -> None:
    states, head, targets, weights = some(7, 1)

    def total(states: torch.Tensor, head: torch.Tensor) -> torch.Tensor:
        return linear_cross_entropy(states, head, targets, weights, z_loss=z_loss, chunk=chunk)[0] * 1.7

    assert torch.autograd.gradcheck(total, (states, head))


@settings(deadline=None)
@given(st.integers(1, 20), st.integers(1, 25), st.integers(0, 99), st.sampled_from([0.0, 1e-4, 0.1]))
def test_any_chunk_gives_what_all_logits_give(tokens: int, chunk: int, seed: int, z_loss: float) -> None:
    states, head, targets, weights = some(tokens, seed)
    logits = states @ head.T
    nats = (weights * F.cross_entropy(logits, targets, reduction="none")).sum()
    plain = nats + z_loss * (weights * logits.logsumexp(-1).square()).sum()
    total, told = linear_cross_entropy(states, head, targets, weights, z_loss=z_loss, chunk=chunk)
    assert not told.requires_grad
    torch.testing.assert_close(told, nats)
    torch.testing.assert_close(total, plain)
    for one, other in zip(torch.autograd.grad(total, (states, head)), torch.autograd.grad(plain, (states, head)), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("masked", [None, False, True])
@pytest.mark.parametrize("bf16", [False, True])
def test_the_objective_is_that_of_the_decoder(masked: bool | None, bf16: bool) -> None:
    """The padded vocabulary is no part of it, and filling is not predicted."""
    torch.manual_seed(0)
    model = DecoderModel(recipe.Decoder(layers=1, width=16, heads=2, kv_heads=1, ffn=24, context=8), 70)
    rows = torch.randint(0, 70, (4, 9))
    inputs: tuple[torch.Tensor, ...] = (rows,)
    if masked is not None:
        documents = torch.tensor([[0, 0, 0, 1, 1, 1, 2, -1, -1]] * 4, dtype=torch.int32)
        inputs = (rows, documents, torch.tensor([[0, 1, 2, 0, 1, 2, 0, 0, 0]] * 4), torch.tensor(16.0))
    found = []
    plain = NextToken(model) if masked is None else NextTokenOfDocument(model, masked)
    for objective in (plain, NextTokenInChunks(model, bool(masked), 0.0, 5)):
        model.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
            out = objective(*inputs)
        loss = out[0] if isinstance(out, tuple) else out
        loss.backward()
        found.append((loss.detach(), [p.grad.clone() for p in model.parameters() if p.grad is not None]))
    (loss, grads), (chunked, chunked_grads) = found
    assert float(chunked) == pytest.approx(float(loss), rel=2e-3 if bf16 else 1e-6)
    for one, other in zip(grads, chunked_grads, strict=True):
        torch.testing.assert_close(one, other, rtol=0.05 if bf16 else 1e-4, atol=3e-3 * float(one.abs().max()) + 1e-7 if bf16 else 1e-7)
    assert not model.model.embed_tokens.weight.grad[70:].any()  # type: ignore[index]
