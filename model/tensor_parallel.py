"""The model: a decoder that is *tensor parallel* (Shoeybi et al., arXiv:1909.08053) has its matrices cut over ranks, all of which read the
same samples: each computes some heads and some units of the feed-forward network, and their outputs are added up, twice a layer.

    q, k, v, gate, up      cut by rows: a rank's heads and units         o, down    cut by columns: what reads these
    embedding and head     cut by rows of the vocabulary, as they are much of a small model; logits are put together, as losses read
                           whole ones
    norms, positions       whole on each rank, being small

The *residual stream* is alike on all ranks: a DTensor from the embedding to the last norm. Within attention and feed-forward networks
tensors are plain ones, of this rank's heads and units, so that `model.layers` knows nothing of this.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Placement, Replicate, distribute_tensor
from torch.distributed.tensor.parallel import (
    ColwiseParallel,
    ParallelStyle,
    PrepareModuleInput,
    PrepareModuleOutput,
    RowwiseParallel,
    SequenceParallel,
    parallelize_module,
)

from model.decoder import DecoderModel, Layer

ALIKE = Replicate()
HEADS = 1
"""The dimension of heads in queries and keys."""


def cut_by_heads(model: DecoderModel, mesh: DeviceMesh) -> None:
    """Make the parameters DTensors, each rank's of its own values, and have modules exchange what they must."""
    backbone = model.model
    parallelize_module(model, mesh, _of_model(), src_data_rank=None)
    for layer in backbone.layers:
        assert isinstance(layer, Layer)
        parallelize_module(layer, mesh, _of_layer(layer), src_data_rank=None)
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if not isinstance(parameter, DTensor):
                module.register_parameter(name, nn.Parameter(distribute_tensor(parameter, mesh, [ALIKE], src_data_rank=None)))
    if model.config.tie_embeddings:
        model.lm_head.weight = backbone.embed_tokens.weight
    if backbone.learned:
        backbone.register_forward_pre_hook(partial(_same_positions, mesh))


def lay_gradients(model: nn.Module) -> None:
    """Have gradients lie on ranks as their weights do, each rank's part with what all ranks add to it: that of norms of queries and keys,
    which every rank has from its own heads, and that of the embedding would come otherwise."""
    for parameter in model.parameters():
        assert isinstance(parameter, DTensor)
        parameter.register_hook(partial(_as_laid, parameter.placements))


def _as_laid(placements: tuple[Placement, ...], grad: DTensor) -> DTensor:
    return grad.redistribute(placements=placements)


def _of_model() -> dict[str, ParallelStyle]:
    return {
        "model.embed_tokens": RowwiseParallel(input_layouts=ALIKE, output_layouts=ALIKE, use_local_output=False),
        "model.norm": PrepareModuleOutput(output_layouts=ALIKE, desired_output_layouts=ALIKE),
        "lm_head": ColwiseParallel(output_layouts=ALIKE),
    }


def _of_layer(layer: Layer) -> dict[str, ParallelStyle]:
    """Inputs are marked as alike once for all matrices that read them, so that their gradients are added up in one message."""
    rows, columns = ColwiseParallel, partial(RowwiseParallel, use_local_output=False)  # of the weight, as torch.nn.Linear has it
    plan: dict[str, ParallelStyle] = {
        "input_layernorm": PrepareModuleOutput(output_layouts=ALIKE, desired_output_layouts=ALIKE),
        "self_attn": PrepareModuleInput(input_layouts=(ALIKE, None, None, None), desired_input_layouts=(ALIKE, None, None, None)),
        **{f"self_attn.{name}_proj": rows() for name in "qkv"},
        "self_attn.o_proj": columns(),
        "post_attention_layernorm": PrepareModuleOutput(output_layouts=ALIKE, desired_output_layouts=ALIKE),
        "mlp": PrepareModuleInput(input_layouts=(ALIKE,), desired_input_layouts=(ALIKE,)),
        **{f"mlp.{name}_proj": rows() for name in ("gate", "up") if hasattr(layer.mlp, f"{name}_proj")},
        "mlp.down_proj": columns(),
    }
    if layer.self_attn.normed:
        plan |= {f"self_attn.{name}_norm": SequenceParallel(sequence_dim=HEADS, use_local_output=True) for name in "qk"}
    return plan


def _same_positions(mesh: DeviceMesh, backbone: nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...]:
    """Positions in documents, by which learned vectors are looked up, are the same on all ranks."""
    ids, caches, packed, *others = given
    if packed is not None:
        documents, positions = packed
        packed = (documents, DTensor.from_local(positions, mesh, [ALIKE], run_check=False))
    return (ids, caches, packed, *others)
