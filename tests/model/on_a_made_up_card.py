"""The model: what `test_device.py` starts in a process of its own: every family and objective takes a step, and validates, on a *made-up
card*, a device that torch is told of but that nobody has. Its tensors are fake, of shapes and no content; an operation on some of them and
some of the CPU's is an error, as on a real card. It prints a line for each case, and on the first mistake ends with what torch says.
"""

from __future__ import annotations

import os
import sys
import traceback
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode
from torch.distributed.tensor import DTensor
from torch.nn.utils import clip_grads_with_norm_, get_total_norm
from torch.testing._internal.distributed.fake_pg import FakeStore
from torch.utils import backend_registration
from torch.utils._pytree import register_dataclass, tree_map_only

from model import spread
from model.average import WeightAverage
from model.backward import Backward
from model.data import Batch
from model.families import build_model
from model.objectives import Inputs, Objective, objective_of
from model.optim import build_optimizer
from model.parallel import Ranks
from model.spread import Kind, build, cut, recompute
from model.text import Special
from model.validate import Sample
from schemas.recipe import Pretrain

CARD = "card"
VOCABULARY = {"vocab_size": 600, "special_tokens": {"bos": 0, "eos": 1, "pad": 2, "mask": 3}}
SMALL = {"layers": 2, "width": 32, "heads": 2, "context": 16}
LLAMA = {**SMALL, "kv_heads": 1, "ffn": 48}
GPT2, T5 = {**SMALL, "family": "gpt2", "kv_heads": 2}, {**SMALL, "family": "t5"}
BERT, MODERN, LSTM = (
    {**SMALL, "family": "bert"},
    {**SMALL, "family": "modernbert"},
    {"family": "lstm", "layers": 2, "width": 32, "context": 16},
)
CASES: dict[str, dict[str, Any]] = {
    "llama": {"model": LLAMA, "optimizer": {"name": "muon"}},
    "llama apart": {"model": {**LLAMA, "qk_norm": True}, "document_mask": True, "packing": "best_fit"},
    "llama chunks": {"model": LLAMA, "z_loss": 1e-4, "loss_chunk": 8, "precision": "bf16"},
    "llama apart chunks": {"model": LLAMA, "z_loss": 1e-4, "document_mask": True},
    "gpt2": {"model": GPT2, "optimizer": {"name": "adam"}},
    "gpt2 apart": {"model": GPT2, "document_mask": True},
    "lstm": {"model": LSTM},
    "bert": {"model": BERT},
    "bert apart": {"model": BERT, "document_mask": True, "packing": "best_fit"},
    "bert pairs": {"model": BERT, "objective": {"name": "masked_tokens", "next_sentence": True}},
    "modernbert": {"model": {**MODERN, "local_window": 4}, "optimizer": {"name": "muon"}},
    "modernbert apart": {"model": {**MODERN, "local_window": 4}, "document_mask": True, "packing": "best_fit"},
    "t5": {"model": T5, "optimizer": {"name": "muon"}},
    "t5 chunks": {"model": T5, "z_loss": 1e-4, "loss_chunk": 8},
    "t5 denoising": {"model": {**T5, "tie_embeddings": True}, "objective": {"name": "denoising"}},
}
CUT: tuple[Kind, ...] = ("fsdp", "hsdp", "tensor")
FOUND = "what is left on the CPU is found"


class _Nothing:
    """A stream of work on the card, or an event of one: there is nothing to wait for."""

    def __init__(self, *given: Any, **named: Any) -> None:
        pass

    def record(self, *given: Any) -> None:
        pass

    def record_event(self, *given: Any) -> _Nothing:
        return self

    wait = wait_event = wait_stream = synchronize = record


class _Module(backend_registration._DummyBackendModule):
    """What torch asks of a kind of device."""

    Stream = Event = current_stream = _Nothing

    def stream(self, stream: _Nothing) -> AbstractContextManager[None]:
        return nullcontext()

    def set_device(self, device: Any) -> None:
        pass

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16]


def make_up() -> torch.library.Library:
    """Tell torch of the device; it knows of autocast there, which changes nothing, as long as what is returned lives."""
    backend_registration._setup_privateuseone_for_python_backend(CARD, _Module())
    library = torch.library.Library("_", "IMPL")
    library.fallback(torch.library.fallthrough_kernel, "AutocastPrivateUse1")
    return library


def take(settings: Pretrain, tokens: Path) -> None:
    """What a trainer does, from the model's weights to what it is measured by."""
    objective, group = objective_of(settings, VOCABULARY, range(580, 600)), Ranks(0, 1, torch.device(CARD, 0))
    dtype = torch.bfloat16 if settings.precision == "bf16" else torch.float32
    passes, validation = [objective.inputs(_batch(objective, settings))], objective.validation(tokens, Special(0, 1), "key", group)
    with FakeTensorMode() as mode:
        passes = _fake(mode, passes)
        vars(validation).update(_fake(mode, {name: held for name, held in vars(validation).items() if isinstance(held, dict)}))
        model = build_model(settings.architecture, VOCABULARY["vocab_size"])
        _move(model)
        recompute(model)
        optimizer, average = build_optimizer(model, settings.optimizer, group), WeightAverage(model, 0.9)
        loss = Backward(objective.module(model), dtype, group, compiled=False, cut=True)(passes)
        grads = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
        assert loss.device.type == CARD and all(grad.device.type == CARD for grad in grads) and len(grads) > 5
        clip_grads_with_norm_(list(model.parameters()), 1.0, get_total_norm(grads))
        optimizer.state()
        optimizer.step(0.5)
        kept = [value for part in optimizer.parts for state in part.state.values() for value in state.values()]
        assert kept and all(value.device.type == CARD for value in kept)  # steps too: fused kernels want them there
        average.follow(1)
        with average.in_place():
            try:
                validation.measures(model, dtype)
            except DataDependentOutputException:  # only when the sum is made a number: all before it was right
                return
    raise AssertionError("validation made no number")


def take_cut(kind: Kind) -> None:
    """The step of a model that is cut over cards, by the second of two ranks, whose messages go nowhere. The weights of the first are moved
    by torch in a way that fake ones can't be."""
    settings = Pretrain.model_validate({"steps": 1, "precision": "float32", "model": {**LLAMA, "kv_heads": 2}})
    objective, group = objective_of(settings, VOCABULARY, ()), Ranks(1, 2, torch.device(CARD, 0))
    passes = [objective.inputs(_batch(objective, settings))]
    dist.init_process_group("fake", rank=1, world_size=2, store=FakeStore())
    mesh = spread._mesh(kind, group)  # of real numbers
    with FakeTensorMode(allow_non_fake_inputs=True) as mode, patch.object(spread, "_mesh", lambda *given: mesh):
        model = build(partial(build_model, settings.architecture, VOCABULARY["vocab_size"]), kind, group)
        module = objective.module(model)
        cut(model, module, kind, torch.float32, group, compiled=False)
        assert {tensor.device.type for tensor in (*model.parameters(), *model.buffers())} == {CARD}
        optimizer = build_optimizer(model, settings.optimizer, group)
        loss = Backward(module, torch.float32, group, compiled=False, cut=True)(_fake(mode, passes))
        assert loss.device.type == CARD
        optimizer.step(0.5)
        copies = [parameter.detach().to("cpu", copy=True) for parameter in model.parameters()]  # as checkpoints are written from
        assert all(isinstance(copy, DTensor) and copy.to_local().device.type == "cpu" for copy in copies)
    dist.destroy_process_group()


def _batch(objective: Objective, settings: Pretrain) -> Batch:
    """Four samples of two documents each."""
    window = objective.window(settings.model.context)
    ids, place = torch.arange(4 * window).view(4, window) % 500 + 10, torch.arange(window)
    if not settings.document_mask and objective.packing == "concat":
        return Batch(ids, torch.arange(4))
    documents, positions = (place >= window // 2).int(), place % (window // 2)
    return Batch(ids, torch.arange(4), documents.expand(4, window).contiguous(), positions.expand(4, window).contiguous())


def _fake(mode: FakeTensorMode, held: Any) -> Any:
    return tree_map_only(torch.Tensor, mode.from_tensor, held)


def _move(model: nn.Module) -> None:
    """As `model.to`, which can't move fake tensors; a weight of two names stays one."""
    moved: dict[int, nn.Parameter] = {}
    for module in model.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            setattr(module, name, moved.setdefault(id(parameter), nn.Parameter(parameter.detach().to(CARD))))
        for name, buffer in list(module.named_buffers(recurse=False)):
            setattr(module, name, buffer.to(CARD))


def _of_case(settings: dict[str, Any], tokens: Path) -> None:
    take(Pretrain.model_validate({"steps": 1, "validate_tokens": 600, "precision": "float32", **settings}), tokens)


def main(tokens: Path) -> int:
    library = make_up()
    register_dataclass(Inputs)
    register_dataclass(Sample)
    with FakeTensorMode(), pytest.raises(RuntimeError, match="at least two devices"):
        torch.ones(2, device=CARD) + torch.ones(2)
    print(FOUND, flush=True)
    steps = {name: partial(_of_case, settings, tokens) for name, settings in CASES.items()}
    steps |= {kind: partial(take_cut, kind) for kind in CUT}
    for name, step in steps.items():
        try:
            step()
        except Exception:
            traceback.print_exc()
            return 1
        print(name, flush=True)
    del library
    return 0


if __name__ == "__main__":
    status = main(Path(sys.argv[1]))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # torch would end in an abort: its thread for the card's gradients has nobody to end it
