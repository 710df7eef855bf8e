"""The model: layers against plain formulas of their papers."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from model.layers import Attention, RMSNorm, SwiGLU, fusible_attention, rotary_table, rotate


def reference_attention(layer: Attention, x: Tensor) -> Tensor:
    """softmax(Q K^T / sqrt(d)) V with a causal mask, one head and one row at a time; no rotation."""
    width = layer.head_width
    group = layer.heads // layer.kv_heads
    rows = []
    for example in x:
        q, k, v = example @ layer.q_proj.weight.T, example @ layer.k_proj.weight.T, example @ layer.v_proj.weight.T
        heads = []
        for h in range(layer.heads):
            query, shared = q[:, h * width : (h + 1) * width], slice(h // group * width, (h // group + 1) * width)
            scores = query @ k[:, shared].T / math.sqrt(width)
            scores = scores.masked_fill(torch.ones_like(scores).triu(1) > 0, -torch.inf)
            heads.append(torch.softmax(scores, -1) @ v[:, shared])
        rows.append(torch.cat(heads, -1) @ layer.o_proj.weight.T)
    return torch.stack(rows)


@pytest.mark.parametrize(("heads", "kv_heads"), [(4, 4), (4, 2), (4, 1)])
def test_attention_is_the_textbook_formula(heads: int, kv_heads: int) -> None:
    torch.manual_seed(0)
    layer, x = Attention(32, heads, kv_heads).double(), torch.randn(2, 7, 32, dtype=torch.float64)
    still = torch.ones(7, 8, dtype=torch.float64), torch.zeros(7, 8, dtype=torch.float64)
    torch.testing.assert_close(layer(x, still), reference_attention(layer, x))


@pytest.mark.parametrize("kv_heads", [4, 2, 1])
def test_attention_for_the_compiler_is_the_same(kv_heads: int) -> None:
    torch.manual_seed(0)
    q, k, v = torch.randn(2, 4, 7, 8), torch.randn(2, kv_heads, 7, 8), torch.randn(2, kv_heads, 7, 8)
    expected = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
    torch.testing.assert_close(fusible_attention(q, k, v), expected)


def test_rotation_turns_pairs_counter_clockwise() -> None:
    cos, sin = rotary_table(4, 8, 100.0)
    x = torch.tensor([1.0, 0.0, 0.0, 0.0]).expand(1, 1, 8, 4)
    turned = rotate(x, cos, sin)[0, 0]
    for position in range(8):
        expected = [math.cos(position), 0.0, math.sin(position), 0.0]
        assert turned[position].tolist() == pytest.approx(expected, abs=1e-6)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 20), st.integers(0, 2**31))
def test_scores_depend_on_distance_alone(i: int, j: int, shift: int, seed: int) -> None:
    cos, sin = rotary_table(16, 64, 10_000.0)
    q, k = torch.randn(2, 16, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)

    def turn(vector: Tensor, position: int) -> Tensor:
        return rotate(vector[None, None, None], cos[position : position + 1], sin[position : position + 1]).flatten()

    assert float(turn(q, i) @ turn(k, j)) == pytest.approx(float(turn(q, i + shift) @ turn(k, j + shift)), abs=1e-4)
    assert float(turn(q, i).norm()) == pytest.approx(float(q.norm()), rel=1e-6)


def test_rms_norm_has_unit_mean_square() -> None:
    norm = RMSNorm(64, 1e-6)
    x = torch.randn(5, 64) * 30
    torch.testing.assert_close(norm(x).square().mean(-1), torch.ones(5), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(norm(x), x / x.square().mean(-1, keepdim=True).sqrt(), rtol=1e-4, atol=1e-4)


def test_swiglu_is_down_of_gated_up() -> None:
    torch.manual_seed(0)
    layer, x = SwiGLU(8, 24), torch.randn(3, 8)
    gate = x @ layer.gate_proj.weight.T
    expected = (gate * torch.sigmoid(gate) * (x @ layer.up_proj.weight.T)) @ layer.down_proj.weight.T
    torch.testing.assert_close(layer(x), expected)
