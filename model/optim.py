"""The model: an *optimizer* here is one or two of torch's: AdamW for all weights, or Muon for the 2-D hidden weights and
AdamW for the rest (embedding, head, norms). It is stepped with a *scale* of its peak learning rates.

Weights of two dimensions decay, except embeddings; norms don't. State is named tensors, so that it can be kept without pickle.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from schemas import recipe

MUON_MOMENTUM = 0.95


class WeightOptimizer:
    """Torch optimizers that together own every trainable parameter of a model, with one scale for their learning rates."""

    def __init__(self, model: nn.Module, parts: list[torch.optim.Optimizer]) -> None:
        self.parts = parts
        self._names = {id(parameter): name for name, parameter in model.named_parameters()}
        self._peaks = [[group["lr"] for group in part.param_groups] for part in parts]

    def step(self, scale: float) -> None:
        """Update the weights from their gradients with ``scale`` times the peak learning rates."""
        for part, peaks in zip(self.parts, self._peaks, strict=True):
            for group, peak in zip(part.param_groups, peaks, strict=True):
                group["lr"] = peak * scale
            part.step()

    def zero_grad(self) -> None:
        """Set every gradient to zero in place: DDP's gradients are views of its buckets and must stay where they are."""
        for part in self.parts:
            part.zero_grad(set_to_none=False)

    def state(self) -> dict[str, Tensor]:
        """The moments by name: ``{parameter}.exp_avg`` and the like, alive, not copies. Made (as zeros) if not there yet."""
        named = {}
        for part in self.parts:
            keys = ("momentum_buffer",) if isinstance(part, torch.optim.Muon) else ("exp_avg", "exp_avg_sq")
            for group in part.param_groups:
                for parameter in group["params"]:
                    state = part.state[parameter]
                    if len(keys) == 2 and "step" not in state:
                        state["step"] = torch.zeros((), dtype=torch.float32)
                    for key in keys:
                        if key not in state:
                            state[key] = torch.zeros_like(parameter, memory_format=torch.preserve_format)
                        named[f"{self._names[id(parameter)]}.{key}"] = state[key]
        return named

    def set_steps(self, steps: int) -> None:
        """Tell AdamW's bias correction how many steps were taken; with ``state`` filled in, that is a full restore."""
        self.state()
        for part in self.parts:
            for state in part.state.values():
                if "step" in state:
                    state["step"].fill_(steps)


def build_optimizer(model: nn.Module, settings: recipe.Optimizer) -> WeightOptimizer:
    """Optimizer of all parameters of ``model`` that want gradients.

    Muon (Jordan 2024, kellerjordan.github.io/posts/muon) is torch's own, its updates scaled to AdamW's size (Liu et al.,
    arXiv:2502.16982), so that learning rates of both compare.
    """
    hidden, other, plain = [], [], []
    embeddings = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)}
    heads = {id(p) for name, p in model.named_parameters() if name.startswith("lm_head.")} - embeddings
    for parameter in model.parameters():
        if not parameter.requires_grad:
            continue
        if parameter.ndim < 2 or id(parameter) in embeddings:
            plain.append(parameter)
        elif parameter.ndim > 2 or id(parameter) in heads:
            other.append(parameter)
        else:
            hidden.append(parameter)
    parts: list[torch.optim.Optimizer] = []
    if settings.name == "muon" and hidden:
        muon = torch.optim.Muon(
            hidden, lr=settings.muon_lr, weight_decay=settings.weight_decay, momentum=MUON_MOMENTUM, adjust_lr_fn="match_rms_adamw"
        )
        parts.append(muon)
        decayed = other
    else:
        decayed = hidden + other
    groups = [{"params": decayed, "weight_decay": settings.weight_decay}, {"params": plain, "weight_decay": 0.0}]
    groups = [group for group in groups if group["params"]]
    if groups:
        parts.append(torch.optim.AdamW(groups, lr=settings.lr, betas=settings.betas, fused=True))
    return WeightOptimizer(model, parts)
