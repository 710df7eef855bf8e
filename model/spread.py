"""The model: a model is *spread* over ranks in one of four ways. `ddp`: each rank has all of it. `fsdp`: weights, gradients and moments
are cut over all ranks, and a layer is whole only while it computes (FSDP2; Zhao et al., arXiv:2304.11277). `hsdp`: cut over the ranks of
a machine, and each machine has all of it, so that only gradients travel between machines. `tensor`: a decoder's matrices are cut, and
ranks compute each sample together (`model.tensor_parallel`).

Modules know nothing of this: parameters keep their names, and become DTensors where they are cut.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Literal, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn.parallel import DistributedDataParallel
from torch.utils.checkpoint import checkpoint

from model.decoder import DecoderModel
from model.device import memory as memory_of
from model.families import LanguageModel
from model.parallel import Ranks
from model.tensor_parallel import cut_by_heads, lay_gradients
from schemas.errors import RequestError
from schemas.recipe.tensor import uncut

Kind = Literal["ddp", "fsdp", "hsdp", "tensor"]
Model = TypeVar("Model", bound=nn.Module)

BYTES = 16
"""Of a weight in training by AdamW: itself, its gradient and two moments, float32."""
ROOM = 0.5
"""Share of a machine's memory that these may take; activations, logits and checkpoints in flight need the rest."""

MUON = "muon orthogonalises whole matrices, and this cuts them: take another optimizer, or run.shard: ddp"
LSTM = "an lstm reads its weights whole, and this cuts them: take run.shard: ddp"


def choose(asked: str, make: Callable[[], LanguageModel], optimizer: str, group: Ranks, memory: int | None = None) -> Kind:
    """How to spread a model: as asked, or for `auto` in full on each rank if that fits in the ``memory`` (bytes) of ranks here, else cut.

    Raises RequestError for an optimizer, or a model, that can't work on weights cut so.
    """
    shape = _shape(make)
    whole_only = MUON if optimizer == "muon" else LSTM if any(isinstance(module, nn.LSTM) for module in shape.modules()) else None
    if asked == "auto":
        parameters = sum(parameter.numel() for parameter in shape.parameters())
        fits = parameters * BYTES * ranks_here(group) <= (memory_of(group.device, ranks_here(group)) if memory is None else memory) * ROOM
        asked = "ddp" if fits or group.count == 1 or whole_only else "fsdp"
    if asked == "ddp":
        return "ddp"
    if whole_only:
        raise RequestError(f"run.shard: {asked}: {whole_only}")
    if asked == "tensor":
        if ranks_here(group) != group.count:
            raise RequestError("run.shard: tensor is of one machine, as ranks exchange messages within each layer: take fsdp or hsdp")
        if found := uncut(shape.config, group.count):
            raise RequestError(f"pretrain.model.{found[0]}: {found[1]}")
        return "tensor"
    return "fsdp" if asked == "fsdp" else "hsdp"


def _shape(make: Callable[[], Model]) -> Model:
    """A model without content."""
    with torch.device("meta"):
        return make()


def ranks_here(group: Ranks) -> int:
    """Ranks on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", group.count))


def layers_of(model: nn.Module) -> list[nn.Module]:
    """The layers of a model: what its module lists hold."""
    return [layer for module in model.modules() if isinstance(module, nn.ModuleList) for layer in module]


def recompute(model: nn.Module) -> None:
    """Have layers forget what they computed, and compute it again in the backward pass: the same bits in less memory."""
    for layer in layers_of(model):
        layer.forward = partial(checkpoint, layer.forward, use_reentrant=False)


def build(make: Callable[[], Model], kind: Kind, group: Ranks) -> Model:
    """A model with weights as ``make`` draws them, on the CPU, whatever the device: there if it is to be cut, on rank 0 alone and elsewhere
    on none (see ``cut``); else on each rank's device."""
    if kind == "ddp":
        return make().to(group.device)
    return make() if group.first else _shape(make)


def cut(model: nn.Module, objective: nn.Module, kind: Kind, dtype: torch.dtype, group: Ranks, compiled: bool) -> None:
    """Cut the weights of a model that was ``build`` over ranks, and hand out rank 0's. ``objective`` is the module that passes call.

    In bf16, weights of layers travel in bf16, unless they have a LayerNorm, which reads the residual stream; that stays float32, and so
    does what is outside of layers. Gradients are summed in float32.
    """
    full = {name: parameter.detach() for name, parameter in model.named_parameters()}
    if kind == "tensor":
        assert isinstance(model, DecoderModel)
        cut_by_heads(model, _mesh(kind, group))
    else:
        _cut_layers(model, objective, _mesh(kind, group), dtype, compiled)
    if not group.first:
        objective.to_empty(device=group.device)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            assert isinstance(parameter, DTensor)
            value = full[name] if group.first else torch.empty(parameter.shape, device=group.device)
            parameter.copy_(distribute_tensor(value, parameter.device_mesh, parameter.placements))
    for buffer in model.buffers():
        buffer.data = buffer.to(group.device)
        dist.broadcast(buffer, src=0)
    if kind == "tensor":
        lay_gradients(model)  # of the parameters as they are now: `to_empty` swaps them
    state = torch.get_rng_state()
    dist.broadcast(state, src=0)
    torch.set_rng_state(state)


def _cut_layers(model: nn.Module, objective: nn.Module, mesh: DeviceMesh, dtype: torch.dtype, compiled: bool) -> None:
    for layer in layers_of(model):
        reads_stream = any(isinstance(module, nn.LayerNorm) for module in layer.modules())  # wants weights of the type that it reads
        travel = torch.float32 if reads_stream else dtype
        policy = MixedPrecisionPolicy(param_dtype=travel, reduce_dtype=torch.float32, cast_forward_inputs=False)
        if compiled:
            layer.compile(dynamic=False)  # not the whole: what gathers weights is between the layers
        fully_shard(layer, mesh=mesh, mp_policy=policy)
    fully_shard(objective, mesh=mesh, mp_policy=MixedPrecisionPolicy(cast_forward_inputs=False))


def _mesh(kind: Kind, group: Ranks) -> DeviceMesh:
    if kind != "hsdp":
        return init_device_mesh(group.device.type, (group.count,))
    here = ranks_here(group)
    return init_device_mesh(group.device.type, (group.count // here, here), mesh_dim_names=("machines", "ranks"))


def whole(tensor: Tensor) -> Tensor:
    """A tensor as if it had not been cut. All ranks call it together."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def is_cut(module: nn.Module) -> bool:
    """Whether weights are cut over ranks."""
    return any(isinstance(parameter, DTensor) for parameter in module.parameters())


@contextmanager
def apart(module: nn.Module) -> Iterator[None]:
    """Within, each rank adds up gradients of its own; the next pass outside sums them all over ranks."""
    if isinstance(module, DistributedDataParallel):
        with module.no_sync():
            yield
    elif isinstance(module, FSDPModule):
        module.set_requires_gradient_sync(False)
        yield
        module.set_requires_gradient_sync(True)
    elif is_cut(module):  # tensor parallel: all ranks have the same samples, so there is nothing to sum
        yield
    else:
        raise TypeError(f"{type(module).__name__} is not spread")


@contextmanager
def gathered(objective: nn.Module) -> Iterator[None]:
    """Within, every rank has all weights, and may call whatever it likes, as often as it likes, whatever others do; not compiled, which
    it isn't elsewhere either. But what is tensor parallel all ranks call together, with the same."""
    parts = [module for module in objective.modules() if isinstance(module, FSDPModule)]
    for part in parts:
        part.set_reshard_after_forward(False, recurse=False)
        part.unshard()
    try:
        with torch.compiler.set_stance("force_eager"):
            yield
    finally:
        for part in parts:
            part.reshard()
            part.set_reshard_after_forward(part is not objective, recurse=False)
        if isinstance(objective, FSDPModule):
            objective.reset_iter_state()  # passes that had no backward are no guide to the order of the next one's


def assembled(model: Model, make: Callable[[], Model], group: Ranks) -> Model | None:
    """On rank 0 the model with whole weights, elsewhere None if they are cut. All ranks call it together."""
    if not is_cut(model):
        return model
    with torch.random.fork_rng(devices=[]):
        copy = make() if group.first else None
    places = dict(copy.named_parameters()) if copy is not None else {}
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            value = whole(parameter)
            if copy is not None:
                places[name].copy_(value)
    return copy
