"""The model: what `test_spread.py` starts on four ranks, and `test_tensor.py` on two: models that are cut are those in one piece."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.tensor import DTensor

from model.backward import Backward
from model.checkpoint import Checkpoints
from model.data import Batch
from model.decoder import DecoderModel
from model.families import build_model
from model.objectives import objective_of
from model.parallel import Ranks, ranks
from model.spread import Kind, assembled, build, cut, gathered, recompute, whole
from model.watch import dead_units
from schemas.recipe import Decoder, Pretrain

SMALL = {"layers": 2, "width": 36, "heads": 2, "kv_heads": 1, "ffn": 30, "context": 16}
CASES: tuple[tuple[Kind, str, dict[str, Any], dict[str, Any]], ...] = (
    ("fsdp", "float32", {}, {}),
    ("fsdp", "float32", {"qk_norm": True, "head_width": 2, "tie_embeddings": False}, {"z_loss": 1e-3, "loss_chunk": 7}),
    ("hsdp", "float32", {"family": "gpt2", "kv_heads": 2}, {"accumulate": 2}),
    ("hsdp", "bf16", {}, {}),
    ("fsdp", "bf16", {"family": "gpt2", "kv_heads": 2}, {"z_loss": 1e-3}),
)
TENSOR: tuple[tuple[Kind, str, dict[str, Any], dict[str, Any]], ...] = (
    ("tensor", "float32", {"heads": 4, "kv_heads": 2, "head_width": 6}, {}),
    ("tensor", "float32", {"heads": 4, "kv_heads": 2, "qk_norm": True, "head_width": 2, "tie_embeddings": False}, {"accumulate": 2}),
    ("tensor", "float32", {"family": "gpt2", "kv_heads": 2}, {"z_loss": 1e-3, "loss_chunk": 7}),
    ("tensor", "float32", {"family": "gpt2", "kv_heads": 2, "tie_embeddings": False}, {"document_mask": True}),
    ("tensor", "bf16", {"kv_heads": 2, "qk_norm": True}, {"document_mask": True}),
)


def check(kind: Kind, precision: str, shape: dict[str, Any], options: dict[str, Any], group: Ranks, folder: Path) -> None:
    settings = Pretrain.model_validate({"model": SMALL | shape, "precision": precision, **options})
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    make, objective = partial(build_model, Decoder.model_validate(SMALL | shape), 100), objective_of(settings, {}, ())
    torch.manual_seed(3)
    full, after = make(), torch.get_rng_state()
    torch.manual_seed(3)
    model = build(make, kind, group)
    module = objective.module(model)
    recompute(model)
    cut(model, module, kind, dtype, group, compiled=False)

    drawn = dict(full.named_parameters())
    assert torch.equal(torch.get_rng_state(), after)
    assert [name for name, _ in model.named_parameters()] == list(drawn)
    assert (model.lm_head.weight is model.model.embed_tokens.weight) is settings.model.tie_embeddings
    for name, parameter in model.named_parameters():
        small = kind == "tensor" and (parameter.ndim == 1 or "positions" in name)
        assert parameter.to_local().numel() < parameter.numel() or small, name
        assert torch.equal(whole(parameter), drawn[name]), name
    assert all(torch.equal(one, other) for one, other in zip(model.buffers(), full.buffers(), strict=True))

    ids = torch.randint(0, 100, (8, 17), generator=torch.Generator().manual_seed(5))
    documents = (torch.arange(17) >= 9).int().expand(8, 17) if settings.document_mask else None
    positions = (torch.arange(17) % 9).expand(8, 17) if settings.document_mask else None
    share = Batch(ids, torch.arange(8), documents, positions)
    if kind != "tensor":
        share = share._rows(slice(2 * group.rank, 2 * group.rank + 2))
    passes = [objective.inputs(share.part(number, settings.accumulate)) for number in range(settings.accumulate)]
    loss = Backward(module, dtype, group, False, cut=True)(passes)
    alone = objective.module(full)
    predicted = [] if documents is None else [torch.tensor(8 * 15.0)]
    with torch.autocast("cpu", dtype=dtype, enabled=precision == "bf16"):
        found = alone(*objective.inputs(Batch(ids, torch.arange(8), documents, positions)).tensors, *predicted)
    (found[0] if isinstance(found, tuple) else found).backward()
    if kind == "tensor":
        close(loss, found[1] if isinstance(found, tuple) else found.detach(), precision)
    assert dead_units(model) == dead_units(full)
    for name, parameter in model.named_parameters():
        want, grad = drawn[name].grad, parameter.grad
        assert want is not None and isinstance(grad, DTensor) and isinstance(parameter, DTensor), name
        assert grad.placements == parameter.placements, name
        error = float((whole(grad) - want).norm() / max(want.norm(), 1e-3))  # keys' biases shift all scores alike: zero but for rounding
        assert error < (2e-2 if precision == "bf16" else 1e-5), (name, error)

    with torch.no_grad(), gathered(module), torch.autocast("cpu", dtype=dtype, enabled=precision == "bf16"):
        for _ in range(1 if kind == "tensor" else group.rank):  # as often as each likes
            close(model(ids[:1, :-1]), full(ids[:1, :-1]), precision)
    again = assembled(model, make, group)
    assert (again is None) is not group.first
    if isinstance(again, DecoderModel):
        assert all(torch.equal(drawn[name], parameter) for name, parameter in again.named_parameters())

    tensors = {name: parameter.detach() for name, parameter in model.named_parameters()}
    path = Checkpoints(folder, 2, group).save(1, tensors, {})
    back = {name: torch.zeros_like(parameter.detach()) for name, parameter in full.named_parameters()}
    Checkpoints(folder, 2, group).load(path, back)
    assert all(torch.equal(drawn[name], value) for name, value in back.items())
    with torch.no_grad():
        for tensor in tensors.values():
            tensor.zero_()
    Checkpoints(folder, 2, group).load(path, tensors)
    assert all(torch.equal(whole(value), drawn[name]) for name, value in tensors.items())


def close(one: Tensor, other: Tensor, precision: str) -> None:
    assert torch.allclose(one, other, atol=2e-2 if precision == "bf16" else 1e-5), float((one - other).abs().max())


def main(folder: Path, cases: Sequence[tuple[Kind, str, dict[str, Any], dict[str, Any]]]) -> None:
    os.environ["LOCAL_WORLD_SIZE"] = "2"  # four ranks are as if on two machines
    with ranks(1) as group:
        for number, case in enumerate(cases):
            check(*case, group, folder / str(number))
            if group.first:
                print("as one piece:", *case, flush=True)
            dist.barrier()


if __name__ == "__main__":
    main(Path(sys.argv[1]), TENSOR if sys.argv[2:] == ["tensor"] else CASES)
