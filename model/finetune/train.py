"""The model: an *epoch* reads every labelled training text once, in *batches* of texts of nearly equal length, in an
order drawn from (seed, epoch). After each epoch the validation subset is answered; the weights of the epoch with the most
right answers are kept, the earliest of equals. The test subset is answered once, by the weights that were kept.

All weights are trained, by AdamW under a linear warm-up and decay. Attention runs as plain matrix products: at the
lengths of short texts torch's fused CPU kernel is slower (9.4 against 11.4 k tokens/s at 48 positions, one core).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.utils import clip_grad_norm_

from model.finetune.classifier import Classifier
from model.finetune.labelled import Labelled
from model.optim import build_optimizer
from model.parallel import NotFinite
from model.schedule import lr_scale
from schemas import recipe

CLIP = 1.0
DROPOUT = 0.1


class Answers(NamedTuple):
    """How a classifier answered labelled texts."""

    n: int
    accuracy: float
    loss: float
    """Mean cross entropy in nats."""

    def facts(self) -> dict[str, float]:
        return {"accuracy": self.accuracy, "accuracy_standard_error": standard_error(self.accuracy, self.n), "loss": self.loss}


def standard_error(accuracy: float, n: int) -> float:
    """Of a share of n independent answers: the square root of p (1 - p) / n."""
    return math.sqrt(accuracy * (1 - accuracy) / n)


def batches(lengths: Sequence[int], size: int, seed: int, epoch: int) -> list[list[int]]:
    """Numbers of texts, each once: batches of at most `size` texts of one padded length, in an order drawn from (seed, epoch)."""
    draw = np.random.Generator(np.random.Philox(key=np.array([seed % (1 << 64), epoch], dtype=np.uint64)))
    order = draw.permutation(len(lengths)).tolist()
    by_length: dict[int, list[int]] = {}
    for number in order:
        by_length.setdefault(lengths[number], []).append(number)
    cut = [numbers[at : at + size] for _, numbers in sorted(by_length.items()) for at in range(0, len(numbers), size)]
    return [cut[place] for place in draw.permutation(len(cut))]


def answer(classifier: Classifier, items: Sequence[Labelled]) -> Answers:
    """Answer texts in float32 and compare with their labels."""
    classifier.eval()
    probabilities = classifier.probabilities([classifier.reading.ids(item.tokens) for item in items])
    truth = torch.tensor([classifier.labels.index(item.label) for item in items])
    right = int((probabilities.argmax(-1) == truth).sum())
    loss = -probabilities[torch.arange(len(items)), truth].double().clamp(min=1e-30).log().mean()
    return Answers(len(items), right / len(items), float(loss))


class Trainer:
    """Fine-tunes one classifier."""

    def __init__(self, classifier: Classifier, settings: recipe.Finetune, train: Sequence[Labelled], compiled: bool) -> None:
        self.classifier, self.settings = classifier, settings
        self._forward = torch.compile(classifier, dynamic=True) if compiled else classifier
        self._texts = [classifier.reading.ids(item.tokens) for item in train]
        self._lengths = [classifier.reading.padded_length(len(text)) for text in self._texts]
        self._truth = torch.tensor([classifier.labels.index(item.label) for item in train])
        self._dtype = torch.bfloat16 if settings.precision == "bf16" else torch.float32
        self._optimizer = build_optimizer(classifier, recipe.Optimizer(lr=settings.lr, weight_decay=settings.weight_decay, clip=CLIP))
        self._schedule = recipe.Schedule(warmup=settings.warmup, decay=1 - settings.warmup)
        self.steps = settings.epochs * len(batches(self._lengths, settings.batch, settings.seed, 0))
        self._step = 0
        self._tokens = 0

    def run(self, validation: Sequence[Labelled], add: Callable[[dict[str, Any]], None]) -> tuple[int, list[Answers]]:
        """Train all epochs and leave the classifier with the best one's weights; return its number (from 1), and validation by epoch.

        `add` is handed a row of metrics after each step. Raises NotFinite.
        """
        history: list[Answers] = []
        best: dict[str, Tensor] = {}
        for epoch in range(self.settings.epochs):
            self.classifier.train()
            todo = batches(self._lengths, self.settings.batch, self.settings.seed, epoch)
            for place, rows in enumerate(todo, start=1):
                row = self._take_step(rows)
                if place == len(todo):
                    history.append(answer(self.classifier, validation))
                    row["validation_accuracy"], row["validation_loss"] = history[-1].accuracy, history[-1].loss
                add({"epoch": epoch + 1, **row})
            if history[-1].accuracy > max((was.accuracy for was in history[:-1]), default=-1.0):
                best = {name: tensor.clone() for name, tensor in self.classifier.state_dict().items()}
        self.classifier.load_state_dict(best)
        self.classifier.eval()
        accuracies = [measure.accuracy for measure in history]
        return accuracies.index(max(accuracies)) + 1, history

    def _take_step(self, rows: Sequence[int]) -> dict[str, Any]:
        ids, lengths = self.classifier.reading.batch([self._texts[row] for row in rows])
        with torch.autocast("cpu", dtype=self._dtype, enabled=self._dtype != torch.float32), sdpa_kernel(SDPBackend.MATH):
            logits = self._forward(ids, lengths)
        loss = F.cross_entropy(logits.float(), self._truth[rows])
        loss.backward()
        norm = clip_grad_norm_(self.classifier.parameters(), CLIP)
        if not (torch.isfinite(loss) and torch.isfinite(norm)):
            raise NotFinite(f"step {self._step + 1}: the loss or the gradient norm is not finite: lower finetune.lr")
        scale = lr_scale(self._step, self.steps, self._schedule)
        self._optimizer.step(scale)
        self._optimizer.zero_grad()
        self._step += 1
        self._tokens += int(lengths.sum())
        return {"step": self._step, "loss": loss.item(), "lr": self.settings.lr * scale, "grad_norm": norm.item(), "tokens": self._tokens}
