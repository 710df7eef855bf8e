"""The model: a *backward pass* leaves the gradient of a whole batch, averaged over ranks, on the weights. Each rank cuts its
share into *micro-batches*; their gradients add up, and ranks exchange them once, with the last one.
"""

from __future__ import annotations

from contextlib import nullcontext

import torch
import torch._dynamo
import torch._functorch.config
import torch._inductor.config
from torch import Tensor, nn

from model.cross_entropy import NextTokenInChunks
from model.data import Batch
from model.decoder import DecoderModel, NextToken, NextTokenOfDocument
from model.parallel import Ranks
from schemas.recipe import Pretrain


class Backward:
    """Takes backward passes of a model's objective; see the module."""

    def __init__(self, model: DecoderModel, settings: Pretrain, group: Ranks, compiled: bool) -> None:
        self._parts, self._group = settings.accumulate, group
        self._dtype = torch.bfloat16 if settings.precision == "bf16" else torch.float32
        objective = objective_of(model, settings)
        if compiled:
            torch._dynamo.config.optimize_ddp = False  # one graph: there is one bucket, so nothing to overlap by cutting it
            torch._inductor.config.fx_graph_cache = False  # these two caches would be pickles; compiled C++ is still kept
            torch._functorch.config.enable_autograd_cache = False
            objective.compile(dynamic=False)  # a phase's other window is compiled as if it were the first, so a resumed run has its bits
        self._replica = group.replicate(objective)

    def __call__(self, batch: Batch) -> Tensor:
        """Add the gradient of this rank's share of a batch; return the mean nats a token, float32 scalar."""
        told = torch.zeros(())
        for number in range(self._parts):
            last = number == self._parts - 1
            with nullcontext() if last else self._replica.no_sync():
                told = told + self._pass(batch if self._parts == 1 else batch.part(number, self._parts))
        return told

    def _pass(self, batch: Batch) -> Tensor:
        rows: tuple[Tensor, ...] = (batch.ids,)
        weight = 1 / self._parts
        if batch.documents is not None and batch.positions is not None:
            # The number of predicted tokens is the whole batch's, so that micro-batches with less of them weigh less.
            rows = (batch.ids, batch.documents, batch.positions, torch.tensor(max(batch.predicted, 1) / self._group.count))
            weight = 1.0
        with torch.autocast("cpu", dtype=self._dtype, enabled=self._dtype != torch.float32):
            found = self._replica(*rows)
        loss, told = found if isinstance(found, tuple) else (found, found)
        (loss * weight).backward()
        return told.detach() * weight


def objective_of(model: DecoderModel, settings: Pretrain) -> nn.Module:
    """What a pretraining minimises."""
    if settings.z_loss or settings.loss_chunk:
        return NextTokenInChunks(model, settings.document_mask, settings.z_loss, settings.loss_chunk)
    boundaries = settings.document_mask or settings.packing == "best_fit"
    return NextTokenOfDocument(model, settings.document_mask) if boundaries else NextToken(model)
