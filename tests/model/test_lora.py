"""Adapters are those of `peft`; merged, they compute the same."""

from __future__ import annotations

from typing import Any

import peft
import pytest
import torch
from torch import nn

from model.finetune.lora import LowRank, add_adapters, merge_adapters
from tests.model.test_heads import SHAPES, a_batch, a_model


class One(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lin = nn.Linear(12, 20)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.lin(x)
        return out


@pytest.mark.parametrize("magnitudes", [False, True])
def test_is_what_peft_computes_forward_and_backward(magnitudes: bool) -> None:
    torch.manual_seed(1)
    model = One().double()
    own = LowRank(nn.Linear(12, 20).double(), 3, 6.0, magnitudes)
    own.layer.load_state_dict(model.lin.state_dict())
    if own.magnitude is not None:
        own.magnitude.data = own.layer.weight.detach().norm(dim=1, keepdim=True)
    config = peft.LoraConfig(r=3, lora_alpha=6, target_modules=["lin"], use_dora=magnitudes, lora_dropout=0.0)
    theirs: Any = peft.get_peft_model(model, config)
    layer = theirs.base_model.model.lin
    with torch.no_grad():
        own.up.normal_()
        layer.lora_A["default"].weight.copy_(own.down)
        layer.lora_B["default"].weight.copy_(own.up)
    x = torch.randn(5, 12, dtype=torch.float64)
    ours, found = own(x), theirs(x)
    torch.testing.assert_close(ours, found, rtol=1e-10, atol=1e-10)
    ours.square().sum().backward()
    found.square().sum().backward()
    torch.testing.assert_close(own.down.grad, layer.lora_A["default"].weight.grad, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(own.up.grad, layer.lora_B["default"].weight.grad, rtol=1e-8, atol=1e-8)
    if own.magnitude is not None:
        theirs_m = layer.lora_magnitude_vector["default"].weight.grad
        torch.testing.assert_close(own.magnitude.grad[:, 0], theirs_m.flatten(), rtol=1e-8, atol=1e-8)
    assert own.layer.weight.grad is None


@pytest.mark.parametrize("magnitudes", [False, True])
@pytest.mark.parametrize("family", list(SHAPES))
def test_adapters_begin_as_nothing_and_merge_into_the_weights(family: str, magnitudes: bool) -> None:
    model = a_model(family, "sequence")
    names = list(model.state_dict())
    ids, types, lengths = a_batch()
    with torch.no_grad():
        before = model(ids, types, lengths)
    assert add_adapters(model, 4, 8.0, magnitudes) == sum(isinstance(m, LowRank) for m in model.modules()) > 0
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert trained and all(name.endswith((".down", ".up", ".magnitude")) for name in trained)
    with torch.no_grad():
        torch.testing.assert_close(model(ids, types, lengths), before, rtol=1e-4, atol=1e-5)
        for module in model.modules():
            if isinstance(module, LowRank):
                module.up.normal_()
        changed = model(ids, types, lengths)
        assert (changed - before).abs().max() > 1e-3
        merge_adapters(model)
        torch.testing.assert_close(model(ids, types, lengths), changed, rtol=1e-4, atol=1e-5)
    assert list(model.state_dict()) == names and all(parameter.requires_grad for parameter in model.parameters())
