"""The model: to tell a *sequence* is to choose a label for a text (classification), for two (pairs), or for how two marked parts of a text
belong together (relation: the marks stand in the text).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from tokenizers import Encoding
from torch import Tensor
from torch.nn import functional as F

from model.examples import Classified
from model.finetune.heads import Purpose
from model.finetune.kinds import Forward, Said, in_order, scored
from model.finetune.reading import Reading, Text
from model.finetune.samples import Batch, Sample


class Sequences:
    """See the module and `model.finetune.kinds`."""

    purpose: Purpose = "sequence"

    def __init__(self, reading: Reading, labels: Sequence[str], weights: Sequence[float] | None = None) -> None:
        """`weights`: of each label in the loss."""
        self.reading, self.labels = reading, tuple(labels)
        self._number = {label: number for number, label in enumerate(labels)}
        self._weights = None if weights is None else torch.tensor(weights, dtype=torch.float32)

    def samples(self, examples: Sequence[Classified]) -> list[Sample]:
        targets = [[self._number[example.label]] for example in examples]
        return [Sample.of(encoding, target) for encoding, target in zip(self._read(examples), targets, strict=True)]

    def loss(self, model: Forward, batch: Batch) -> Tensor:
        return F.cross_entropy(model(batch.ids, batch.types, batch.lengths).float(), batch.target[:, 0], self._weights)

    def answer(self, model: Forward, examples: Sequence[Classified]) -> list[Said]:
        return [self.labels[int(row.argmax())] for row in self.logits(model, examples)]

    def logits(self, model: Forward, examples: Sequence[Classified]) -> list[Tensor]:
        """float32 [labels] of each example."""
        samples = [Sample.of(encoding) for encoding in self._read(examples)]
        return in_order(scored(model, samples, self.reading), len(samples))

    def _read(self, examples: Sequence[Classified]) -> list[Encoding]:
        texts: list[Text] = [example.text if example.second is None else (example.text, example.second) for example in examples]
        return self.reading.read(texts)
