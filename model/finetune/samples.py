"""The model: a *sample* is an example as a model learns it: ids, and what is wanted of them. A *batch* is samples padded to one length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Encoding
from torch import Tensor

Ints = NDArray[np.int64]

LENGTH_STEP = 8
"""Batches are padded to multiples of this, so that few lengths occur and little is wasted."""
NOTHING = -100
"""A target that is not learned."""


@dataclass(frozen=True)
class Sample:
    """One example, or one window of it."""

    ids: Ints
    """[t]"""
    types: Ints
    """[t] 0 in a first text, 1 in a second."""
    target: Ints
    """Of a sequence its label [1]; of tokens or of text a label or id each, NOTHING where there is none [t]; of a span its first and last
    token [2]. Empty if nothing is wanted."""

    @classmethod
    def of(cls, encoding: Encoding, target: Sequence[int] = ()) -> Sample:
        return cls(_ints(encoding.ids), _ints(encoding.type_ids), _ints(target))


def _ints(values: Sequence[int]) -> Ints:
    return np.asarray(values, dtype=np.int64)


@dataclass(frozen=True)
class Batch:
    """Samples side by side; int64."""

    ids: Tensor
    """[samples, time]"""
    types: Tensor
    """[samples, time]"""
    lengths: Tensor
    """[samples]"""
    target: Tensor
    """[samples, longest target]"""


def padded_length(length: int, most: int) -> int:
    """What a row of so many ids is padded to."""
    return max(min(-(-length // LENGTH_STEP) * LENGTH_STEP, most), length)


def batch_of(samples: Sequence[Sample], pad: int, most: int) -> Batch:
    """Samples in one batch; `most` is the longest that a model reads."""
    time = padded_length(max(len(sample.ids) for sample in samples), most)
    ids, types = np.full((len(samples), time), pad, dtype=np.int64), np.zeros((len(samples), time), dtype=np.int64)
    wide = max(len(sample.target) for sample in samples)
    target = np.full((len(samples), wide), NOTHING, dtype=np.int64)
    for row, sample in enumerate(samples):
        ids[row, : len(sample.ids)], types[row, : len(sample.ids)] = sample.ids, sample.types
        target[row, : len(sample.target)] = sample.target
    lengths = torch.tensor([len(sample.ids) for sample in samples])
    return Batch(torch.from_numpy(ids), torch.from_numpy(types), lengths, torch.from_numpy(target))


def by_length(samples: Sequence[Sample], size: int) -> list[list[int]]:
    """Numbers of samples in batches of like lengths, the longest first: one too big for the memory fails at once."""
    order = sorted(range(len(samples)), key=lambda number: -len(samples[number].ids))
    return [order[begin : begin + size] for begin in range(0, len(order), size)]


def shuffled(samples: Sequence[Sample], size: int, most: int, seed: int, epoch: int) -> list[list[int]]:
    """Numbers of samples, each once: batches of at most `size` of one padded length, in an order drawn from (seed, epoch)."""
    draw = np.random.Generator(np.random.Philox(key=np.array([seed % (1 << 64), epoch], dtype=np.uint64)))
    order = draw.permutation(len(samples)).tolist()
    lengths: dict[int, list[int]] = {}
    for number in order:
        lengths.setdefault(padded_length(len(samples[number].ids), most), []).append(number)
    cut = [numbers[at : at + size] for _, numbers in sorted(lengths.items()) for at in range(0, len(numbers), size)]
    return [cut[place] for place in draw.permutation(len(cut))]
