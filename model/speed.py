"""The model: a training's *utilization* is the floating-point operations that its model needs, over those that this machine
does in plain matrix products of the same type, the *peak*, with all ranks at work.

Operations that a model needs a token (Chowdhery et al., arXiv:2204.02311, appendix B): 6 for each weight of a matrix, and
12 x layers x width x context for attention, if there is any, as if it were not causal. What is computed twice counts once.
"""

from __future__ import annotations

import time

import torch
from torch import nn

from model.device import CPU, settle
from model.encoder_decoder import EncoderDecoderModel
from model.objectives import Inputs
from model.parallel import Ranks
from model.recurrent import RecurrentModel
from schemas import recipe

SIZE = 1024
CARD_SIZE = 8192
"""A card starts slowly, and is done with smaller products before it is busy."""
PRODUCTS = 8


def matmul_peak(dtype: torch.dtype, group: Ranks) -> float:
    """Operations a second of all ranks together, each with its threads; about a tenth of a second. All ranks call it together."""
    group.wait()
    return float(group.add(torch.tensor(matmul_rate(dtype, group.device), dtype=torch.float64)))


def matmul_rate(dtype: torch.dtype, device: torch.device = CPU) -> float:
    """Operations a second of this process."""
    size = CARD_SIZE if device.type == "cuda" else SIZE
    one, other = (torch.full((size, size), 0.5, dtype=dtype, device=device) for _ in range(2))
    one @ other
    settle(device)
    best = float("inf")
    for _ in range(PRODUCTS):
        began = time.perf_counter()
        one @ other
        settle(device)
        best = min(best, time.perf_counter() - began)
    return 2 * size**3 / best


def operations_per_token(model: nn.Module, config: recipe.Architecture, inputs: Inputs | None = None) -> int:
    """Of training: forward and backward. An encoder-decoder's are those of a token that is read and, for each, as many of those that are
    written as ``inputs`` have."""
    if isinstance(model, RecurrentModel):
        return 6 * _weights(model)
    if not isinstance(model, EncoderDecoderModel):
        return 6 * _weights(model) + 12 * config.layers * config.width * config.context
    read, written = (inputs.tensors[0].shape[1], inputs.tensors[1].shape[1] - 1) if inputs else (config.context, config.context)
    inner = config.layers * model.config.heads * model.config.head_size
    memory = 2 * inner * config.width  # keys and values of what was read
    of_read = 6 * (_weights(model.encoder) + memory) + 12 * inner * read
    of_written = 6 * (_weights(model.decoder) + _weights(model.lm_head) - memory) + 12 * inner * (read + written)
    return of_read + round(of_written * written / read)


def _weights(model: nn.Module) -> int:
    matrices = [weight for module in model.modules() if isinstance(module, nn.Linear | nn.LSTM) for weight in module.parameters()]
    return sum(weight.numel() for weight in matrices if weight.ndim == 2)
