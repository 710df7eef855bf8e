"""The model: which weight is in whose hands, what decays, and the learning rate over the steps."""

from __future__ import annotations

import math
from typing import Any, get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from model.decoder import DecoderModel
from model.objectives.next_token import NextToken
from model.optim import WeightOptimizer, build_optimizer, deal
from model.schedule import lr_scale
from schemas import recipe

OPTIMIZERS = get_args(recipe.Optimizer.model_fields["name"].annotation)
SCHEDULES = get_args(recipe.Schedule.model_fields["name"].annotation)


def small(tie: bool = True) -> DecoderModel:
    torch.manual_seed(0)
    return DecoderModel(recipe.Decoder(layers=1, width=16, heads=2, kv_heads=1, ffn=24, context=8, tie_embeddings=tie), 64)


def placed(model: DecoderModel, optimizer: WeightOptimizer) -> dict[str, tuple[str, float]]:
    names = {id(p): name for name, p in model.named_parameters()}
    return {
        names[id(p)]: (type(part).__name__, group["weight_decay"])
        for part in optimizer.parts
        for group in part.param_groups
        for p in group["params"]
    }


@pytest.mark.parametrize("tie", [True, False])
def test_muon_takes_hidden_matrices_and_adamw_the_rest(tie: bool) -> None:
    model = small(tie)
    for name, (kind, decay) in placed(model, build_optimizer(model, recipe.Optimizer(name="muon", weight_decay=0.1))).items():
        hidden = "_proj" in name
        assert kind == ("Muon" if hidden else "AdamW"), name
        assert decay == (0.1 if hidden or name == "lm_head.weight" else 0.0), name


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("tie", [True, False])
def test_every_parameter_has_one_optimizer(name: str, tie: bool) -> None:
    model = small(tie)
    optimizer = build_optimizer(model, recipe.Optimizer(name=name))
    assert set(placed(model, optimizer)) == {n for n, _ in model.named_parameters()}
    groups = [group["params"] for part in optimizer.parts for group in part.param_groups]
    assert sum(map(len, groups)) == len(list(model.parameters()))


def test_frozen_parameters_are_left_alone() -> None:
    model = small()
    model.model.embed_tokens.weight.requires_grad_(False)
    assert "model.embed_tokens.weight" not in placed(model, build_optimizer(model, recipe.Optimizer()))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_state_moves_to_a_new_optimizer_bit_for_bit(name: str) -> None:
    def steps(model: DecoderModel, optimizer: WeightOptimizer, numbers: range) -> None:
        for i in numbers:
            blocks = torch.randint(0, 64, (4, 9), generator=torch.Generator().manual_seed(i))
            NextToken(model)(blocks).backward()
            optimizer.step(1 / (i + 1))
            optimizer.zero_grad()

    whole = small()
    steps(whole, build_optimizer(whole, recipe.Optimizer(name=name)), range(4))
    first, second = small(), small()
    before = build_optimizer(first, recipe.Optimizer(name=name))
    steps(first, before, range(2))
    second.load_state_dict(first.state_dict())
    after = build_optimizer(second, recipe.Optimizer(name=name))
    for key, tensor in after.state().items():
        tensor.copy_(before.state()[key])
    after.set_steps(2)
    steps(second, after, range(2, 4))
    for one, other in zip(whole.parameters(), second.parameters(), strict=True):
        assert torch.equal(one, other)


def test_muon_moves_a_matrix_by_an_orthogonal_step() -> None:
    model = small()
    weight = model.model.layers[0].mlp.up_proj.weight
    before = weight.detach().clone()
    NextToken(model)(torch.randint(0, 64, (4, 9))).backward()
    build_optimizer(model, recipe.Optimizer(name="muon", muon_lr=0.01, weight_decay=0.0)).step(1.0)
    singular = torch.linalg.svdvals(weight.detach() - before) / (0.01 * 0.2 * 24**0.5)
    assert float(singular.min()) > 0.5 and float(singular.max()) < 1.4


@given(st.lists(st.tuples(st.integers(1, 90), st.integers(1, 90)), max_size=12), st.integers(1, 4))
def test_matrices_are_dealt_once_and_evenly(shapes: list[tuple[int, int]], ranks: int) -> None:
    matrices = [torch.empty(shape) for shape in shapes]
    shares = deal(matrices, ranks)
    assert sorted(id(m) for share in shares for m in share) == sorted(map(id, matrices))
    cost = [sum(min(m.shape) ** 2 * max(m.shape) for m in share) for share in shares]
    dearest = max((min(m.shape) ** 2 * max(m.shape) for m in matrices), default=0)
    assert max(cost) - min(cost) <= dearest


def test_the_schedule_warms_up_holds_and_decays() -> None:
    schedule = recipe.Schedule(warmup=0.1, decay=0.4, final=0.1)
    scale = [lr_scale(step, 100, schedule) for step in range(101)]
    assert scale[0] == pytest.approx(0.1)
    assert scale[9:61] == pytest.approx([1.0] * 52)
    assert scale[80] == pytest.approx(0.55)
    assert scale[100] == pytest.approx(0.1)


@given(st.sampled_from(SCHEDULES), st.integers(1, 500), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_every_schedule_stays_in_range_and_rises_then_falls(name: str, steps: int, warmup: float, decay: float, final: float) -> None:
    keys = {"wsd": {"decay": decay, "final": final}, "cosine": {"final": final}, "linear": {"final": final}}.get(name, {})
    scale = [lr_scale(step, steps, recipe.Schedule(name=name, warmup=warmup, **keys)) for step in range(steps)]
    assert all(0 <= value <= 1 for value in scale)
    top = scale.index(max(scale))
    assert scale[: top + 1] == sorted(scale[: top + 1])
    assert scale[top:] == sorted(scale[top:], reverse=True)


def test_schedules_are_what_they_are_called() -> None:
    def at(step: int, name: str, **keys: float) -> float:
        return lr_scale(step, 100, recipe.Schedule(name=name, warmup=0.2, **keys))

    assert all(at(9, name) == pytest.approx(0.5) for name in SCHEDULES)
    assert all(at(20, name) == pytest.approx(1, abs=0.03) for name in SCHEDULES)
    assert at(60, "linear") == pytest.approx(0.5) and at(60, "linear", final=0.2) == pytest.approx(0.6)
    assert at(60, "cosine") == pytest.approx(0.5) and at(40, "cosine") == pytest.approx((1 + math.cos(math.pi / 4)) / 2)
    assert at(100, "cosine", final=0.1) == pytest.approx(0.1)
    assert at(99, "constant") == 1
    assert at(79, "inverse_sqrt") == pytest.approx(0.5)


@pytest.mark.parametrize("keys", [{"name": "cosine", "decay": 0.3}, {"name": "constant", "final": 0.1}])
def test_a_key_that_a_schedule_has_no_use_for_is_an_error(keys: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="has no use for it"):
        recipe.Schedule(**keys)


def test_decay_is_added_to_the_gradient_or_shrinks_the_weight_as_published() -> None:
    """With no gradient but decay's, Adam moves by the whole learning rate, AdamW and SGD by decay's share of it."""
    moved = {}
    for name in ("adamw", "adam", "sgd"):
        model = small()
        weight = model.get_parameter("model.layers.0.mlp.up_proj.weight")
        before = weight.detach().clone()
        for parameter in model.parameters():
            parameter.grad = torch.zeros_like(parameter)
        build_optimizer(model, recipe.Optimizer(name=name, lr=0.01, weight_decay=0.1)).step(1.0)
        moved[name] = (before - weight.detach()).abs().median() / before.abs().median()
        assert torch.equal(model.model.norm.weight.detach(), torch.ones(16)), "norms don't decay"
    assert moved["adamw"] == pytest.approx(0.001, rel=1e-3) and moved["sgd"] == pytest.approx(0.001, rel=1e-3)
    assert moved["adam"] > 0.1
    assert recipe.Optimizer(name="adam").weight_decay == 0 and recipe.Optimizer().weight_decay == 0.1
    assert recipe.Optimizer(name="sgd").lr == 0.3 and recipe.Optimizer(name="sgd", lr=0.1).lr == 0.1
