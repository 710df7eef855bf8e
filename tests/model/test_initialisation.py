"""The model: what a new model's weights are drawn from, by name and family, and what comes of that at the other end."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from model.families import build_model
from model.objectives.next_token import NextToken
from schemas import recipe

VOCABULARY, LAYERS = 3970, 3
SHAPES: dict[str, dict[str, Any]] = {
    "llama": {"kv_heads": 2},
    "qk_norm": {"qk_norm": True, "head_width": 48},
    "gpt2": {"family": "gpt2"},
    "own_head": {"tie_embeddings": False},
}
RESIDUAL = ("o_proj.weight", "down_proj.weight")
"""What writes to the residual stream."""


@pytest.fixture(scope="module", params=SHAPES)
def model(request: pytest.FixtureRequest) -> Any:
    torch.manual_seed(11)
    shape = {"layers": LAYERS, "width": 256, "heads": 4, "kv_heads": 4, "ffn": 704, "context": 64, **SHAPES[request.param]}
    return build_model(recipe.Decoder(**shape), VOCABULARY)


def test_matrices_are_normal_and_those_that_add_to_the_stream_are_smaller(model: Any) -> None:
    """Within five standard errors of mean, deviation and fourth moment, so that a draw from another distribution fails."""
    for name, parameter in model.named_parameters():
        if parameter.ndim < 2:
            continue
        drawn = parameter.detach()[:VOCABULARY].double().flatten()
        wanted, error = 0.02 / math.sqrt(2 * LAYERS) if name.endswith(RESIDUAL) else 0.02, 5 / math.sqrt(len(drawn))
        assert abs(drawn.mean()) < error * wanted, name
        assert drawn.std() == pytest.approx(wanted, rel=error / math.sqrt(2)), name
        assert (drawn / wanted).pow(4).mean() == pytest.approx(3, abs=error * math.sqrt(96)), name


def test_norms_are_ones_biases_and_padded_rows_zeros(model: Any) -> None:
    vectors = {name: parameter.detach() for name, parameter in model.named_parameters() if parameter.ndim == 1}
    for name, vector in vectors.items():
        assert torch.equal(vector, torch.full_like(vector, 0.0 if name.endswith("bias") else 1.0)), name
    kinds = {name.rpartition(".")[2] for name in vectors}
    assert kinds == ({"weight", "bias"} if model.config.family == "gpt2" else {"weight"})
    for name, parameter in model.named_parameters():
        if name in model.VOCABULARY:
            assert parameter.shape[0] > VOCABULARY and not parameter.detach()[VOCABULARY:].any(), name


def test_matrices_are_drawn_apart(model: Any) -> None:
    """No two share their values, nor do rows of one."""
    seen = [float(row) for _, p in model.named_parameters() if p.ndim == 2 for row in p.detach()[:8, 0] if row]
    assert len(seen) == len(set(seen))


@torch.no_grad()
def test_a_new_model_is_undecided_and_its_stream_stays_small(model: Any) -> None:
    """Each logit is a product of a normed state and a row of the head: deviation 0.02 x sqrt(width)."""
    ids = torch.randint(0, VOCABULARY, (4, 65))
    logits = model(ids[:, :-1])
    other = logits.masked_select(torch.ones_like(logits, dtype=torch.bool).scatter(2, ids[:, :-1, None], False))  # tied: it knows its input
    assert float(other.std()) == pytest.approx(0.02 * math.sqrt(256), rel=0.1)
    assert float(NextToken(model)(ids)) == pytest.approx(math.log(VOCABULARY) + 0.02**2 * 256 / 2, abs=0.05)


def test_a_seed_gives_the_same_weights_and_another_does_not() -> None:
    def drawn(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        return torch.cat(
            [p.detach().flatten() for p in build_model(recipe.Decoder(layers=1, width=16, heads=2, kv_heads=2), 64).parameters()]
        )

    assert torch.equal(drawn(1), drawn(1)) and not torch.equal(drawn(1), drawn(2))
