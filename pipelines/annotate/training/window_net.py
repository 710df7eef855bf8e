"""The model: the *window net* of `pipelines.annotate.fast.window_net` as a torch module. It is trained with the rounding and
clipping of its integer twin in the forward pass and without them in the backward pass (straight-through estimator, Bengio
et al. 2013, arXiv:1308.3432), so that nothing is lost when the weights become int8.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from pipelines.annotate.fast.window_net import ACTIVATION, PROJECTION, PROJECTIONS_TOP, TOP, WEIGHT


@dataclass(frozen=True)
class StreamShape:
    """Sizes of one stream."""

    offsets: tuple[int, ...]
    rows: int
    width: int
    hidden: int


class WindowNetModule(nn.Module):
    """See the module; one call labels many sequences that lie one behind another with `margin` padding between."""

    def __init__(self, streams: Sequence[StreamShape], channels: int, width: int, labels: int) -> None:
        super().__init__()
        self.shapes = tuple(streams)
        self.clip = PROJECTIONS_TOP // sum(len(stream.offsets) for stream in streams)
        self.margin = max(abs(offset) for stream in streams for offset in stream.offsets) + 1
        self.embeddings = nn.ParameterList(torch.randn(s.rows, s.width) * 0.1 for s in streams)
        self.hidden = nn.ModuleList(nn.Linear(s.width, s.hidden) for s in streams)
        self.projections = nn.ModuleList(nn.Linear(s.width + s.hidden, len(s.offsets) * channels) for s in streams)
        self.context = nn.Linear(3 * channels, width)
        self.output = nn.Linear(width + channels, labels)

    def forward(self, tokens: Sequence[Tensor], features: Sequence[Tensor], real: Tensor, drop: float = 0.0) -> Tensor:
        """Scores (n, labels) of the n places of the padded sequences.

        `tokens[s]` int64 (n,) is the type at each place, 0 for padding, `features[s]` int64 (types, features) the rows of
        type 1 and on; `real` bool (n,) says which places are no padding. `drop` is the share of types without a spelling.
        """
        n = real.shape[0]
        total: Tensor | None = None
        for s, shape in enumerate(self.shapes):
            table = _rounded(self.embeddings[s], WEIGHT, TOP)
            rows = nn.functional.embedding(features[s], table)
            if self.training and drop:
                rows = rows * (torch.rand(rows.shape[:2]) >= drop)[..., None] / (1 - drop)
            vector = _rounded(rows.sum(1), ACTIVATION, TOP)
            hidden = _rounded(_linear(self.hidden[s], vector), ACTIVATION, TOP, lowest=0)
            made = _rounded(_linear(self.projections[s], torch.cat([vector, hidden], 1)), PROJECTION, self.clip)
            made = torch.cat([made.new_zeros(1, made.shape[1]), made]).view(made.shape[0] + 1, len(shape.offsets), -1)
            padded = nn.functional.pad(tokens[s], (self.margin, self.margin))
            for number, offset in enumerate(shape.offsets):
                part = nn.functional.embedding(padded[self.margin + offset : self.margin + offset + n], made[:, number])
                total = part if total is None else total + part
        assert total is not None
        channels = _rounded(total, ACTIVATION, TOP, lowest=0) * real[:, None]
        if self.training and drop:
            channels = nn.functional.dropout(channels, drop)
        sides = nn.functional.pad(channels, (0, 0, 1, 1))
        three = torch.cat([sides[:-2], sides[1:-1], sides[2:]], 1)
        context = _rounded(_linear(self.context, three), ACTIVATION, TOP, lowest=0)
        return _linear(self.output, torch.cat([context, channels], 1))

    def quantized(self) -> dict[str, npt.NDArray[np.generic]]:
        """The integer twin's tensors: int8 weights, int32 biases."""
        out: dict[str, npt.NDArray[np.generic]] = {}
        for s in range(len(self.shapes)):
            out[f"{s}.embedding"] = _whole(self.embeddings[s], WEIGHT)
            _put(out, f"{s}.hidden", self.hidden[s])
            _put(out, f"{s}.projection", self.projections[s])
        _put(out, "context", self.context)
        _put(out, "output", self.output)
        return out


def _linear(layer: nn.Module, inputs: Tensor) -> Tensor:
    assert isinstance(layer, nn.Linear)
    return nn.functional.linear(inputs, _rounded(layer.weight, WEIGHT, TOP), layer.bias)


def _rounded(values: Tensor, scale: int, top: int, lowest: int | None = None) -> Tensor:
    """Fixed point as the integer twin has it, gradients as if it were only clipped."""
    clipped = values.clamp((-top if lowest is None else lowest) / scale, top / scale)
    return clipped + (torch.floor(clipped * scale + 0.5) / scale - clipped).detach()


def _whole(weight: Tensor, scale: int) -> npt.NDArray[np.int8]:
    return torch.floor(weight.detach() * scale + 0.5).clamp(-TOP, TOP).to(torch.int8).numpy()


def _put(out: dict[str, npt.NDArray[np.generic]], name: str, layer: nn.Module) -> None:
    assert isinstance(layer, nn.Linear)
    out[name] = np.ascontiguousarray(_whole(layer.weight, WEIGHT).T)
    out[f"{name}_bias"] = torch.floor(layer.bias.detach() * (WEIGHT * ACTIVATION) + 0.5).to(torch.int32).numpy()
