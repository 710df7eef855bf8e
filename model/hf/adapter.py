"""The model: what adapters are made of. A *tensor of* a checkpoint holds one or several of our parameters: under another name,
end to end, or transposed; each way is undone exactly. A *reader* takes values from a `config.json` and refuses, naming the
key, what our models can't represent: a model that is read is computed as `transformers` computes it, or not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import torch
from pydantic import ValidationError
from torch import Tensor

from schemas import recipe

EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"
"""Our decoders' parameters with a row for each id of the vocabulary."""

LATER_ROPE = "rope_parameters"
"""Since version 5 of `transformers`; `rope_theta` and `rope_scaling` before."""


class NotRepresented(ValueError):
    """A checkpoint that our models can't compute; the message names the key or the tensor, and why."""


@dataclass(frozen=True)
class TensorOf:
    """One tensor of a checkpoint, as a function of ours and back."""

    name: str
    ours: tuple[str, ...]
    """Laid end to end along their first dimension."""
    transposed: bool = False

    def export(self, parameters: Sequence[Tensor]) -> Tensor:
        """Our parameters, in the order of `ours` -> the checkpoint's tensor."""
        joined = parameters[0] if len(parameters) == 1 else torch.cat(list(parameters))
        return (joined.T if self.transposed else joined).contiguous()

    def restore(self, tensor: Tensor) -> list[Tensor]:
        """The checkpoint's tensor -> our parameters; the inverse of `export` for parameters of one shape."""
        return list((tensor.T if self.transposed else tensor).chunk(len(self.ours)))


Shape = TypeVar("Shape", recipe.Decoder, recipe.Encoder, recipe.EncoderDecoder, recipe.Recurrent)


@dataclass(frozen=True)
class Adapter(Generic[Shape]):
    """How models of one shape are written down; see the package."""

    model_type: str
    architecture: str
    """The class of `transformers` that has all that is written."""
    base: str
    """Where that class keeps what is below its head: a checkpoint of the base alone lacks this prefix."""
    describe: Callable[[Shape], dict[str, Any]]
    """The keys of `config.json` that are this shape's own."""
    read: Callable[[Reader], Shape]
    tensors: Callable[[Shape], list[TensorOf]]
    """All tensors of a checkpoint; what is tied to another is left out."""
    copies: Callable[[Shape], Mapping[str, str]]
    """Tensors that a checkpoint may hold besides, equal to the tensor that each is tied to, by their names there."""
    ignored: tuple[str, ...] = ()
    """Ends of names of tensors that say nothing here: masks that old versions wrote, and heads that the config knows nothing of."""
    renamed: Mapping[str, str] = field(default_factory=dict)
    """Ends of names that old versions wrote, and what they are now."""
    ours: bool = False
    """Whether `transformers` has no such model, so that it is neither exported nor imported."""

    def config(self, architecture: Shape, vocab_size: int) -> dict[str, Any]:
        """`config.json`, special tokens aside."""
        return {
            "architectures": [self.architecture],
            "model_type": self.model_type,
            "vocab_size": vocab_size,
            "dtype": "float32",
            "torch_dtype": "float32",
            **self.describe(architecture),
        }

    def architecture_of(self, config: Mapping[str, Any]) -> Shape:
        """What a `config.json` describes. Raises `NotRepresented` naming the key that is missing or can't be represented."""
        if config.get("quantization_config") is not None:
            raise NotRepresented("quantization_config is set: only whole weights (float32, bfloat16, float16) can be represented")
        try:
            return self.read(Reader(config))
        except ValidationError as error:
            raise NotRepresented("; ".join(f"{e['loc'][0] if e['loc'] else 'it'}: {e['msg']}" for e in error.errors())) from error


@dataclass(frozen=True)
class Reader:
    """A `config.json` that is being read."""

    config: Mapping[str, Any]

    def get(self, key: str, default: Any = ...) -> Any:
        """A value; null is as good as none. Without a default, `NotRepresented` if there is none."""
        value = self.config.get(key)
        if value is not None:
            return value
        if default is ...:
            raise NotRepresented(f"{key} is missing")
        return default

    def only(self, key: str, *allowed: Any, why: str = "") -> None:
        """Refuse another value than these; a key that is missing or null has the first of them."""
        value = self.get(key, allowed[0])
        if value not in allowed:
            raise NotRepresented(f"{key} is {value!r}: {why or f'only {allowed[0]!r} can be represented'}")

    def rope_theta(self) -> float:
        """Base of plain rotary positions. Raises `NotRepresented` if they are scaled or turn a part of a head only."""
        rope: Mapping[str, Any] = self.get(LATER_ROPE, None) or self.get("rope_scaling", None) or {}
        kind = rope.get("rope_type", rope.get("type", "default"))
        if kind != "default":
            raise NotRepresented(f"rope_type is {kind!r}: only plain rotary positions, not scaled ones, can be represented")
        partial = rope.get("partial_rotary_factor", self.get("partial_rotary_factor", 1.0))
        if partial != 1:
            raise NotRepresented(f"partial_rotary_factor is {partial}: only heads that turn whole can be represented")
        return float(rope.get("rope_theta", self.get("rope_theta", 10_000.0)))
