"""The model: a *kind* of task says how its examples become samples, what loss a model has on a batch of them, and how the model answers.

sequences   classification, pairs and relation: one label a text, or two texts
tagging     a tag a word
answers     a span of a context that answers a question
writing     text that follows a prompt; so are chatting and coding
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, Protocol, TypeVar

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from model.finetune.heads import Purpose
from model.finetune.reading import Reading
from model.finetune.samples import Batch, Sample, batch_of, by_length

ANSWER_BATCH = 64
"""Samples a batch when only answers are wanted."""

Forward = Callable[..., Tensor]
"""A model, or what it was compiled to."""
WritingPurpose = Literal["writing"]
"""What needs no head but the one that a model was pretrained with."""
Said = str | list[str]
"""A label or a text; of tagging a tag a word."""


class Kind(Protocol):
    """One kind of task, with what it knows of its labels; see the module."""

    reading: Reading
    labels: tuple[str, ...]
    """What an answer may be; empty if it is text."""

    @property
    def purpose(self) -> Purpose | WritingPurpose:
        """The head that it needs."""

    def samples(self, examples: Sequence[Any]) -> list[Sample]:
        """Examples as they are learned; one may become several samples, or none."""

    def loss(self, model: Forward, batch: Batch) -> Tensor:
        """The mean loss over a batch, in nats."""

    def answer(self, model: Forward, examples: Sequence[Any]) -> list[Said]:
        """What the model says to each example; what is wanted of them is not looked at."""


@torch.no_grad()
def scored(model: Forward, samples: Sequence[Sample], reading: Reading) -> Iterator[tuple[int, Tensor]]:
    """The number of each sample, longest first, and what a headed model says to it: float32 [...]; of tokens and spans without padding."""
    for numbers in by_length(samples, ANSWER_BATCH):
        batch = batch_of([samples[number] for number in numbers], reading.pad, reading.max_tokens)
        with sdpa_kernel(SDPBackend.MATH):
            logits = model(batch.ids, batch.types, batch.lengths).float()
        for number, row, length in zip(numbers, logits, batch.lengths.tolist(), strict=True):
            yield number, row[:length] if row.ndim == 2 else row


@torch.no_grad()
def mean_loss(kind: Kind, model: Forward, samples: Sequence[Sample]) -> float:
    """The mean over batches, each as often as it has samples, in nats."""
    total = 0.0
    for numbers in by_length(samples, ANSWER_BATCH):
        batch = batch_of([samples[number] for number in numbers], kind.reading.pad, kind.reading.max_tokens)
        with sdpa_kernel(SDPBackend.MATH):
            total += float(kind.loss(model, batch)) * len(numbers)
    return total / len(samples)


T = TypeVar("T")


def in_order(found: Iterator[tuple[int, T]], count: int) -> list[T]:
    """Values by their numbers, each of which is there once."""
    values = dict(found)
    return [values[number] for number in range(count)]
