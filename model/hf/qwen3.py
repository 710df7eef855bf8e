"""The model: Qwen3 (Yang et al., arXiv:2505.09388) is Llama with a norm of queries and keys in each head."""

from __future__ import annotations

from typing import Any

from model.hf import llama
from model.hf.adapter import Adapter, NotRepresented, Reader, TensorOf
from schemas import recipe

_HEAD_WIDTH, _KV_HEADS = 128, 32
"""What `transformers` takes where a config says nothing."""


def _describe(c: recipe.Decoder) -> dict[str, Any]:
    return {
        **llama.describe(c),
        "use_sliding_window": False,
        "sliding_window": None,
        "max_window_layers": c.layers,
        "layer_types": ["full_attention"] * c.layers,
    }


def _read(reader: Reader) -> recipe.Decoder:
    reader.only("use_sliding_window", False, why="attention over a sliding window can't be represented")
    if others := sorted(set(reader.get("layer_types", ())) - {"full_attention"}):
        raise NotRepresented(f"layer_types holds {others[0]!r}: only full attention can be represented")
    return llama.read(reader, _HEAD_WIDTH, _KV_HEADS, qk_norm=True)


def _tensors(c: recipe.Decoder) -> list[TensorOf]:
    return llama.tensors(c, (*llama.LAYER, "self_attn.q_norm", "self_attn.k_norm"))


ADAPTER = Adapter("qwen3", "Qwen3ForCausalLM", "model.", _describe, _read, _tensors, llama.copies)
