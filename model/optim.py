"""The model: an *optimizer* here is one or two of torch's: AdamW, Adam, SGD or Adagrad for all weights, or Muon for the 2-D
hidden weights and AdamW for the rest (embedding, head, norms). It is stepped with a *scale* of its peak learning rates.

Weights of two dimensions decay, except embeddings; norms don't. State is named tensors, so that it can be kept without pickle.
With several ranks each orthogonalises its *share* of the matrices, keeps their momentum, and hands round the result.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from model.parallel import Ranks
from schemas import recipe

MUON_MOMENTUM = 0.95
MOMENTS: Mapping[type[torch.optim.Optimizer], Sequence[str]] = {
    torch.optim.AdamW: ("exp_avg", "exp_avg_sq"),
    torch.optim.Adam: ("exp_avg", "exp_avg_sq"),
    torch.optim.Adagrad: ("sum",),
    torch.optim.SGD: ("momentum_buffer",),
    torch.optim.Muon: ("momentum_buffer",),
}
"""What each keeps of a weight, by its name for it. Those that also count steps begin with all at zero."""
COUNTING = (torch.optim.Adam, torch.optim.Adagrad)


class WeightOptimizer:
    """Torch optimizers that together own the trainable parameters of a model, with one scale for their learning rates."""

    def __init__(self, model: nn.Module, parts: list[torch.optim.Optimizer], shares: Sequence[list[Tensor]], ranks: Ranks | None) -> None:
        """``shares`` are the matrices that each rank updates alone; all else is updated by every rank alike."""
        self.parts = parts
        self._model = model
        self._shares, self._ranks = shares, ranks
        self._names = {id(parameter): name for name, parameter in model.named_parameters()}
        self._peaks = [[group["lr"] for group in part.param_groups] for part in parts]

    def step(self, scale: float) -> None:
        """Update the weights from their gradients with ``scale`` times the peak learning rates."""
        for part, peaks in zip(self.parts, self._peaks, strict=True):
            for group, peak in zip(part.param_groups, peaks, strict=True):
                group["lr"] = peak * scale
            part.step()
        if self._ranks is not None:
            for owner, share in enumerate(self._shares):
                self._ranks.hand_round(share, owner)

    def zero_grad(self) -> None:
        """Set every gradient to zero, those of other ranks' shares too; in place, as DDP's gradients are views of its bucket."""
        self._model.zero_grad(set_to_none=False)

    def state(self) -> dict[str, Tensor]:
        """This rank's moments by name: ``{parameter}.exp_avg`` and the like, alive, not copies. Zeros before the first step."""
        named = {}
        for part in self.parts:
            keys, counting = MOMENTS[type(part)], isinstance(part, COUNTING)
            for group in part.param_groups:
                for parameter in group["params"]:
                    state = part.state[parameter]
                    if counting and "step" not in state:
                        state["step"] = torch.zeros((), dtype=torch.float32, device=parameter.device)  # where fused kernels want it
                    for key in keys:
                        if state.get(key) is None:  # SGD without momentum says None
                            state[key] = torch.zeros_like(parameter, memory_format=torch.preserve_format)
                        named[f"{self._names[id(parameter)]}.{key}"] = state[key]
        return named

    def set_steps(self, steps: int) -> None:
        """Tell those that count (bias correction) how many steps were taken; with ``state`` filled in, that is a full restore."""
        self.state()
        for part in self.parts:
            for state in part.state.values():
                if "step" in state:
                    state["step"].fill_(steps)


def build_optimizer(model: nn.Module, settings: recipe.Optimizer, ranks: Ranks | None = None) -> WeightOptimizer:
    """Optimizer of all parameters of ``model`` that want gradients; with ``ranks``, these share the work of Muon.

    Muon (Jordan 2024, kellerjordan.github.io/posts/muon) is torch's own, its updates scaled to AdamW's size (Liu et al.,
    arXiv:2502.16982), so that learning rates of both compare.
    """
    hidden: list[Tensor] = []
    decayed: list[Tensor] = []
    plain: list[Tensor] = []
    embeddings = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)}
    heads = {id(p) for name, p in model.named_parameters() if name.startswith("lm_head.")}
    for parameter in model.parameters():
        if not parameter.requires_grad:
            continue
        if parameter.ndim < 2 or id(parameter) in embeddings:
            plain.append(parameter)
        elif settings.name != "muon" or parameter.ndim > 2 or id(parameter) in heads:
            decayed.append(parameter)
        else:
            hidden.append(parameter)
    shares = deal(hidden, ranks.count if ranks else 1)
    mine = shares[ranks.rank if ranks else 0]
    parts: list[torch.optim.Optimizer] = []
    if mine:
        decay, lr = settings.weight_decay, settings.muon_lr
        parts.append(torch.optim.Muon(mine, lr=lr, weight_decay=decay, momentum=MUON_MOMENTUM, adjust_lr_fn="match_rms_adamw"))
    groups = [{"params": decayed, "weight_decay": settings.weight_decay}, {"params": plain, "weight_decay": 0.0}]
    groups = [group for group in groups if group["params"]]
    if groups:
        parts.append(_for_all(settings, groups))
    return WeightOptimizer(model, parts, shares, ranks)


def _for_all(settings: recipe.Optimizer, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
    match settings.name:
        case "adam":
            return torch.optim.Adam(groups, lr=settings.lr, betas=settings.betas, fused=True)
        case "sgd":
            return torch.optim.SGD(groups, lr=settings.lr, momentum=settings.momentum, fused=True)
        case "adagrad":
            return torch.optim.Adagrad(groups, lr=settings.lr, fused=True)
        case _:
            return torch.optim.AdamW(groups, lr=settings.lr, betas=settings.betas, fused=True)


def deal(matrices: Sequence[Tensor], ranks: int) -> list[list[Tensor]]:
    """Matrices by rank, so that Muon costs each about the same: the dearest first, each to the rank with the least so far."""
    shares: list[list[Tensor]] = [[] for _ in range(ranks)]
    load = [0] * ranks
    cost = [min(m.shape) ** 2 * max(m.shape) for m in matrices]
    for number in sorted(range(len(matrices)), key=lambda number: -cost[number]):
        rank = load.index(min(load))
        shares[rank].append(matrices[number])
        load[rank] += cost[number]
    return shares
