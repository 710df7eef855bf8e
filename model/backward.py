"""The model: a *backward pass* leaves the gradient of a whole batch, averaged over ranks, on the weights. Each rank cuts its
share into *micro-batches*; their gradients add up, and ranks exchange them once, with the last one.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext

import torch
import torch._dynamo
import torch._functorch.config
import torch._inductor.config
from torch import Tensor, nn

from model.device import computing
from model.objectives import Inputs
from model.parallel import Ranks
from model.spread import apart


class Backward:
    """Takes backward passes of an objective's module; see the module."""

    def __init__(self, objective: nn.Module, dtype: torch.dtype, group: Ranks, compiled: bool, cut: bool = False) -> None:
        """``cut``: weights are cut over ranks already; see `model.spread`."""
        self._dtype, self._group = dtype, group
        if compiled:
            torch._dynamo.config.optimize_ddp = False  # one graph: there is one bucket, so nothing to overlap by cutting it
            torch._inductor.config.fx_graph_cache = False  # these two caches would be pickles; compiled C++ is still kept
            torch._functorch.config.enable_autograd_cache = False
        if compiled and not cut:
            objective.compile(dynamic=False)  # a phase's other window is compiled as if it were the first, so a resumed run has its bits
        self._replica = objective if cut else group.replicate(objective)

    def __call__(self, parts: Sequence[Inputs]) -> Tensor:
        """Add the gradient of this rank's share of a batch, cut into micro-batches; return the mean nats a token, float32 scalar."""
        told = torch.zeros((), device=self._group.device)
        share = self._share(parts)
        for number, part in enumerate(part.on(self._group.device) for part in parts):
            last = number == len(parts) - 1
            with nullcontext() if last else apart(self._replica):
                told = told + (self._pass(part.tensors, 1 / len(parts)) if share is None else self._pass((*part.tensors, share), 1.0))
        return told

    def _share(self, parts: Sequence[Inputs]) -> Tensor | None:
        """The tokens that all ranks predict, a rank: so those of passes with fewer weigh no more. None if passes are all alike."""
        counts = [part.predicted for part in parts if part.predicted is not None]
        if not counts:
            return None
        total = int(self._group.add(torch.tensor(sum(counts))))
        return torch.full((), max(total, 1) / self._group.count, device=self._group.device)

    def _pass(self, rows: tuple[Tensor, ...], weight: float) -> Tensor:
        with computing(self._group.device, self._dtype):
            found = self._replica(*rows)
        loss, told = found if isinstance(found, tuple) else (found, found)
        (loss * weight).backward()
        return told.detach() * weight
