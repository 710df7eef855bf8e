"""The model: an *epoch* learns every sample once, in batches of nearly equal length, in an order drawn from (seed, epoch). After each, the
validation examples are *judged*; the weights of the best epoch are kept, the earliest of equals. With `patience`, a fit ends after so many
epochs that were no better than the best.

What is trained is all of a model, or what is left unfrozen of it (adapters, a head), by AdamW under a linear warm-up and decay.
Attention runs as plain matrix products: at the lengths of short texts torch's fused CPU kernel is slower (9.4 against 11.4 k tokens/s at
48 positions, one core).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.utils import clip_grad_norm_

from model.finetune.kinds import Forward
from model.finetune.samples import Batch, Sample, batch_of, shuffled
from model.optim import build_optimizer
from model.parallel import NotFinite
from model.schedule import lr_scale
from schemas import recipe

CLIP = 1.0
BETAS = (0.9, 0.999)


@dataclass(frozen=True)
class Judged:
    """Validation after an epoch."""

    score: float
    """The higher, the better."""
    facts: dict[str, float]


class Fit:
    """Trains one model on samples."""

    def __init__(
        self,
        model: nn.Module,
        loss: Callable[[Forward, Batch], Tensor],
        samples: Sequence[Sample],
        settings: recipe.Finetune,
        seed: int,
        pad: int,
        longest: int,
        compiled: bool = False,
    ) -> None:
        """`longest`: ids that the model reads at the most."""
        self.model, self.settings, self._loss = model, settings, loss
        self._forward: Forward = torch.compile(model, dynamic=True) if compiled else model
        self._samples, self._seed, self._pad, self._longest = samples, seed, pad, longest
        self._dtype = torch.bfloat16 if settings.precision == "bf16" else torch.float32
        optimizer = recipe.Optimizer(lr=settings.lr, weight_decay=settings.weight_decay, clip=CLIP, betas=BETAS)
        self._optimizer = build_optimizer(model, optimizer)
        self._trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self._schedule = recipe.Schedule(warmup=settings.warmup, decay=1 - settings.warmup)
        self.steps = settings.epochs * len(self._order(0))
        self._step = 0
        self._tokens = 0

    def _order(self, epoch: int) -> list[list[int]]:
        return shuffled(self._samples, self.settings.batch, self._longest, self._seed, epoch)

    def run(self, judge: Callable[[nn.Module], Judged], add: Callable[[dict[str, Any]], None]) -> tuple[int, list[Judged]]:
        """Train, and leave the model with the weights of the best epoch; return its number (from 1), and what each was judged.

        `add` is handed a row of metrics after each step. Raises NotFinite.
        """
        history: list[Judged] = []
        best = 0
        weights: dict[str, Tensor] = {}
        for epoch in range(self.settings.epochs):
            self.model.train()
            order = self._order(epoch)
            for place, numbers in enumerate(order, start=1):
                row = self._take_step(numbers)
                if place == len(order):
                    self.model.eval()
                    history.append(judge(self.model))
                    row |= {f"validation_{name}": value for name, value in history[-1].facts.items()}
                add({"epoch": epoch + 1, **row})
            if not weights or history[-1].score > history[best].score:
                best, weights = epoch, {name: p.detach().clone() for name, p in self.model.named_parameters() if p.requires_grad}
            elif self.settings.patience is not None and epoch - best >= self.settings.patience:
                break
        with torch.no_grad():
            for name, parameter in self.model.named_parameters():
                if name in weights:
                    parameter.copy_(weights[name])
        self.model.eval()
        return best + 1, history

    def _take_step(self, numbers: Sequence[int]) -> dict[str, Any]:
        batch = batch_of([self._samples[number] for number in numbers], self._pad, self._longest)
        with torch.autocast("cpu", dtype=self._dtype, enabled=self._dtype != torch.float32), sdpa_kernel(SDPBackend.MATH):
            loss = self._loss(self._forward, batch)
        loss.backward()
        norm = clip_grad_norm_(self._trained, CLIP)
        if not (torch.isfinite(loss) and torch.isfinite(norm)):
            raise NotFinite(f"step {self._step + 1}: the loss or the gradient norm is not finite: lower finetune.lr")
        scale = lr_scale(self._step, self.steps, self._schedule)
        self._optimizer.step(scale)
        self._optimizer.zero_grad()
        self._step += 1
        self._tokens += int(batch.lengths.sum())
        return {"step": self._step, "loss": loss.item(), "lr": self.settings.lr * scale, "grad_norm": norm.item(), "tokens": self._tokens}
