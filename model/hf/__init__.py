"""The model: an *adapter* says how models of a shape are written down for Hugging Face `transformers`: `config.json`, and a
list of *tensors*, each with what of our state it holds. One file an adapter; all are alike, and none imports `transformers`.

A saved model of ours is in that form already, so that exporting one is copying, and importing one is reading.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from model.hf import bert, gpt2, llama, lstm, modernbert, qwen3, t5
from model.hf.adapter import Adapter, NotRepresented, TensorOf
from schemas import recipe

ADAPTERS: tuple[Adapter[Any], ...] = (
    llama.ADAPTER, qwen3.ADAPTER, gpt2.ADAPTER, bert.ADAPTER, modernbert.ADAPTER, t5.ADAPTER, lstm.ADAPTER,
)  # fmt: skip

__all__ = ["ADAPTERS", "Adapter", "NotRepresented", "TensorOf", "adapter_for", "adapter_named"]


def adapter_for(architecture: recipe.Architecture) -> Adapter[Any]:
    """The adapter of a model's shape."""
    if isinstance(architecture, recipe.Encoder):
        return bert.ADAPTER if architecture.family == "bert" else modernbert.ADAPTER
    if isinstance(architecture, recipe.EncoderDecoder):
        return t5.ADAPTER
    if isinstance(architecture, recipe.Recurrent):
        return lstm.ADAPTER
    if architecture.family == "gpt2":
        return gpt2.ADAPTER
    return qwen3.ADAPTER if architecture.qk_norm else llama.ADAPTER


def adapter_named(config: Mapping[str, Any]) -> Adapter[Any]:
    """The adapter that reads a `config.json`. Raises `NotRepresented` if there is none."""
    known = {adapter.model_type: adapter for adapter in ADAPTERS}
    model_type = config.get("model_type")
    if model_type not in known:
        raise NotRepresented(f"model_type is {model_type!r}: only {', '.join(known)} can be read")
    return known[model_type]
