"""The model: a *low-rank adapter* leaves a linear layer's weights as they are, and learns the change to them as a product of two thin
matrices (LoRA; Hu et al., arXiv:2106.09685). DoRA (Liu et al., arXiv:2402.09353) splits the changed weights into the direction of each
row, which LoRA changes, and its *magnitude*, which is learned by itself.

    y = x (W + s B A)^T + b                               s = alpha / rank; A [rank, in], B [out, rank], B begins as zero
    y = x (m (W + s B A) / |W + s B A|)^T + b             m [out, 1], the row norms of W at first; the norm is taken as a constant

Before it is saved an adapter is *merged*: the layer is a plain one again.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class LowRank(nn.Module):
    """A linear layer with an adapter; see the module."""

    def __init__(self, layer: nn.Linear, rank: int, alpha: float, magnitudes: bool = False) -> None:
        """A is drawn from torch's global generator, as a linear layer's weights are. `magnitudes`: DoRA."""
        super().__init__()
        self.layer, self.scale = layer, alpha / rank
        for parameter in layer.parameters():
            parameter.requires_grad_(False)
        self.down = nn.Parameter(layer.weight.new_empty(rank, layer.in_features))
        self.up = nn.Parameter(layer.weight.new_zeros(layer.out_features, rank))
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))
        self.magnitude = nn.Parameter(layer.weight.detach().norm(dim=1, keepdim=True)) if magnitudes else None

    def forward(self, x: Tensor) -> Tensor:
        """float [..., in] -> [..., out]."""
        if self.magnitude is None:
            changed: Tensor = self.layer(x) + self.scale * F.linear(F.linear(x, self.down), self.up)
            return changed
        return F.linear(x, self._weight(), self.layer.bias)

    def _weight(self) -> Tensor:
        """The changed weights, [out, in]."""
        weight = self.layer.weight + self.scale * (self.up @ self.down)
        if self.magnitude is None:
            return weight
        return self.magnitude / weight.detach().norm(dim=1, keepdim=True) * weight

    @torch.no_grad()
    def merged(self) -> nn.Linear:
        """A plain layer that computes the same."""
        self.layer.weight.copy_(self._weight())
        return self.layer


def add_adapters(model: nn.Module, rank: int, alpha: float, magnitudes: bool = False) -> int:
    """Freeze a model, and give every linear layer inside of its layers an adapter; return how many."""
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    found = [
        (parent, name, child)
        for layers in model.modules()
        if isinstance(layers, nn.ModuleList)
        for parent in layers.modules()
        for name, child in parent.named_children()
        if isinstance(child, nn.Linear)
    ]
    for parent, name, child in found:
        setattr(parent, name, LowRank(child, rank, alpha, magnitudes))
    return len(found)


def merge_adapters(model: nn.Module) -> None:
    """Put every adapter's change into its layer; the model is as it was made, and all of it may be trained again."""
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, LowRank):
                setattr(parent, name, child.merged())
    for parameter in model.parameters():
        parameter.requires_grad_(True)
