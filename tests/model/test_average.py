"""The model: an average follows the weights as its formula says, and gives them back as they were."""

from __future__ import annotations

import torch
from torch import nn

from model.average import WeightAverage


def test_it_follows_as_the_formula_says() -> None:
    torch.manual_seed(0)
    model = nn.Linear(3, 2)
    average, expected = WeightAverage(model, 0.6), model.weight.detach().double()
    for update in range(1, 20):
        with torch.no_grad():
            model.weight.add_(torch.randn(2, 3))
        average.follow(update)
        keep = min(0.6, (1 + update) / (10 + update))
        expected = keep * expected + (1 - keep) * model.weight.detach().double()
    torch.testing.assert_close(average.weights["weight"].double(), expected, rtol=1e-5, atol=1e-6)


def test_the_weights_come_back_to_the_bit_even_after_an_error() -> None:
    model = nn.Linear(3, 2)
    average = WeightAverage(model, 0.9)
    with torch.no_grad():
        model.weight.add_(1.1)
    own = model.weight.detach().clone()
    try:
        with average.in_place():
            assert torch.equal(model.weight, average.weights["weight"]) and not torch.equal(model.weight, own)
            raise KeyError
    except KeyError:
        pass
    assert torch.equal(model.weight, own) and model.weight.requires_grad
