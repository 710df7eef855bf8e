"""The model: flags are told where something is odd, and nowhere else; a run that goes on tells the same."""

from __future__ import annotations

from typing import Any

import torch
from hypothesis import given
from hypothesis import strategies as st

from model.decoder import DecoderModel
from model.objectives.next_token import NextToken
from model.watch import Watch, dead_units
from schemas import recipe


def row(loss: float | None, norm: float | None, **more: Any) -> dict[str, Any]:
    return {"loss": loss, "grad_norm": norm, **more}


@given(st.lists(st.tuples(st.floats(-0.1, 0.1), st.floats(0.5, 1.5)), min_size=1, max_size=200))
def test_a_calm_run_has_no_flags(noise: list[tuple[float, float]]) -> None:
    watch = Watch()
    assert not any(watch.flags(row(6 / (1 + 0.01 * step) + up, norm)) for step, (up, norm) in enumerate(noise))


@given(st.integers(0, 200), st.floats(1.0, 9.0))
def test_a_spike_is_told_at_its_step_alone_once_there_are_steps_to_compare_with(at: int, height: float) -> None:
    watch = Watch()
    found = [list(watch.flags(row(3.0 + (height if step == at else 0), 20.0 if step == at else 1.0))) for step in range(220)]
    assert [step for step, flags in enumerate(found) if flags] == ([at] if at >= 20 else [])
    assert found[at] == (["loss_spike", "norm_spike"] if at >= 20 else [])


def test_norms_that_grow_are_told_once() -> None:
    watch = Watch()
    found = [list(watch.flags(row(3.0, 1.03 ** max(step - 100, 0)))) for step in range(300)]
    assert sum(flags == ["norm_grows"] for flags in found) == 1


@given(st.integers(0, 150), st.integers(0, 9))
def test_a_resumed_watch_goes_on_as_if_nothing_had_been(stop: int, seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    losses, norms = (torch.rand(150, generator=draw) * 3).exp().tolist(), (torch.randn(150, generator=draw) * 2).exp().tolist()
    rows = [row(None, None) if loss > 18 else row(loss, norm) for loss, norm in zip(losses, norms, strict=True)]
    whole, resumed = Watch(), Watch(rows[:stop])
    assert [whole.flags(one) for one in rows][stop:] == [resumed.flags(one) for one in rows[stop:]]


def test_units_without_any_gradient_are_counted() -> None:
    torch.manual_seed(0)
    model = DecoderModel(recipe.Decoder(layers=1, width=16, heads=2, kv_heads=1, ffn=24, context=8), 64)
    NextToken(model)(torch.randint(0, 60, (4, 9))).backward()
    assert dead_units(model) == 0
    model.zero_grad()
    with torch.no_grad():
        model.get_parameter("model.layers.0.mlp.down_proj.weight")[:, :3] = 0  # what comes in is forgotten
    NextToken(model)(torch.randint(0, 60, (4, 9))).backward()
    assert dead_units(model) == 6  # as rows of gate_proj and of up_proj
    assert list(Watch().flags(row(3.0, 1.0, dead_units=6))) == ["dead_units"]
