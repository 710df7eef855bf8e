"""The model: a *footprint* is the memory that a pretraining takes on one rank beside what a process takes anyway. It is found by taking
its passes over *fake* tensors, which have shapes and no content: any model and objective will do, and a gigabyte costs nothing.

    weights, gradients, moments, average    there from the first step to the last
    checkpoint                              this rank's share of these, copied while they are written
    activations, logits                     what a pass over one micro-batch holds at its fullest moment
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from model.data import Batch
from model.device import CPU, computing
from model.families import Causal, build_model
from model.objectives import Objective, objective_of
from model.optim import build_optimizer
from model.parallel import Ranks
from model.phases import stages
from model.speed import operations_per_token
from model.validate import BATCH
from schemas.recipe import Pretrain, Recurrent

HELD = {False: 1.4, True: 1.0}
"""Memory that a pass takes, by whether it is compiled, over what its tensors have uncompiled: the allocator holds more, and a compiler
saves about as much (tests/bench/bench_estimate.py)."""

LSTM_HELD = 17
"""Numbers of a pass's type that torch's LSTM keeps for its backward pass, for each number of a state and each token: it makes them where
fake tensors don't show them (tests/model/test_estimate.py)."""


@dataclass(frozen=True)
class Footprint:
    """Bytes of a rank, and what the model costs; see the module."""

    parameters: int
    operations: int
    """Of training, a token."""
    weights: int
    gradients: int
    moments: int
    average: int
    checkpoint: int
    activations: int
    logits: int

    @property
    def bytes(self) -> int:
        held = self.weights + self.gradients + self.moments + self.average
        return held + self.checkpoint + self.activations + self.logits


class _Live(TorchDispatchMode):
    """Counts the bytes of the tensors that are made within and still live: those with a row of logits in them, and others."""

    def __init__(self, vocabulary: set[int]) -> None:
        super().__init__()
        self._vocabulary = vocabulary
        self._seen: set[int] = set()
        self._now = [0, 0]
        self.most = (0, 0)

    def __torch_dispatch__(self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(found):
            if isinstance(tensor, Tensor):
                self._add(tensor)
        return found

    def _add(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if key in self._seen:
            return
        kind = int(tensor.ndim > 1 and tensor.shape[-1] in self._vocabulary)
        self._seen.add(key)
        self._now[kind] += size
        if sum(self._now) > sum(self.most):
            self.most = (self._now[0], self._now[1])
        weakref.finalize(storage, self._drop, key, kind, size)

    def _drop(self, key: int, kind: int, size: int) -> None:
        self._seen.discard(key)
        self._now[kind] -= size


def footprint(settings: Pretrain, vocabulary: Mapping[str, Any], ranks: int, compiled: bool, device: torch.device = CPU) -> Footprint:
    """Of the phase that takes most; ``vocabulary``: a tokenizer's facts. Raises RequestError if a batch does not divide."""
    dtype = torch.bfloat16 if settings.precision == "bf16" else torch.float32
    lstm = 0  # bytes a token
    if isinstance(settings.model, Recurrent):
        settings = settings.model_copy(update={"document_mask": False})  # where it is cut hangs on content; it takes as much memory
        lstm = LSTM_HELD * dtype.itemsize * settings.model.layers * settings.model.width
    vocab_size = vocabulary["vocab_size"]
    objective = objective_of(settings, vocabulary, range(vocab_size))  # which ids are sentinels changes no shape
    passes = [_rows(objective, settings.document_mask, stage.batch // ranks, objective.window(stage.context)) for stage in stages(settings)]
    inputs = [objective.inputs(batch.part(0, settings.accumulate)) for batch in passes]
    with FakeTensorMode(allow_non_fake_inputs=True) as fake:
        model = build_model(settings.architecture, vocab_size)
        rows = {model.vocab_size, *(model.get_parameter(name).shape[0] for name in model.VOCABULARY)}
        moments = _bytes(build_optimizer(model, settings.optimizer, Ranks(0, ranks)).state().values())
        for parameter in model.parameters():
            parameter.grad = torch.empty_like(parameter)
        module, found = objective.module(model), []
        for part in inputs:
            tensors = [fake.from_tensor(tensor) for tensor in part.tensors]
            share = [] if part.predicted is None else [torch.ones(())]
            seen, scores = _most(lambda given: _train(module, given, dtype), [*tensors, *share], rows)
            found.append((seen + lstm * part.tensors[0].numel(), scores))
        if isinstance(model, Causal):  # of others it scores no more than a pass of training does
            blocks = -(-settings.validate_tokens // settings.model.context // ranks)
            ids = torch.zeros(min(blocks, BATCH), settings.model.context, dtype=torch.int64)
            found.append(_most(lambda given: _validate(model, given[0], dtype), [ids], rows))
    activations, logits = (int(size * HELD[compiled]) for size in max(found, key=sum))
    weights = _bytes(model.parameters())
    kept = weights + moments + (weights if settings.average else 0)
    copied = kept // ranks if device.type == "cpu" else 0  # a card's are copied to the CPU's memory
    return Footprint(
        sum(parameter.numel() for parameter in model.parameters()), operations_per_token(model, settings.model, inputs[0]),
        weights, weights, moments, 2 * weights if settings.average else 0, copied, activations, logits,
    )  # fmt: skip


def _rows(objective: Objective, document_mask: bool, samples: int, window: int) -> Batch:
    """Samples as the loader would give them, of one document each, or of two in pairs."""
    ids, numbers = torch.zeros(samples, window, dtype=torch.int64), torch.arange(samples)
    if not document_mask and objective.packing == "concat":
        return Batch(ids, numbers)
    documents = ids.int()
    if objective.packing == "pairs":
        documents[:, window // 2 :] = 1
    return Batch(ids, numbers, documents, torch.arange(window).expand(samples, window).contiguous())


def _most(pass_: Callable[[Sequence[Tensor]], None], given: Sequence[Tensor], vocabulary: set[int]) -> tuple[int, int]:
    live = _Live(vocabulary)
    with live:
        pass_(given)
    return live.most


def _train(module: nn.Module, given: Sequence[Tensor], dtype: torch.dtype) -> None:
    with computing(CPU, dtype):
        found = module(*given)
    (found[0] if isinstance(found, tuple) else found).backward()


@torch.no_grad()
def _validate(model: Causal, ids: Tensor, dtype: torch.dtype) -> None:
    """As `model.validate` does."""
    with computing(CPU, dtype):
        logits = model(ids)
    F.cross_entropy(logits.flatten(0, 1).float(), ids.flatten(), reduction="sum")


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
