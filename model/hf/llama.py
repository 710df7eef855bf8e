"""The model: Llama (Touvron et al., arXiv:2302.13971): our names are its names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from model.hf.adapter import EMBEDDING, HEAD, LATER_ROPE, Adapter, Reader, TensorOf
from schemas import recipe

LAYER = (
    "input_layernorm", "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
    "post_attention_layernorm", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj",
)  # fmt: skip


def same(name: str) -> TensorOf:
    """A tensor whose name is ours."""
    return TensorOf(name, (name,))


def describe(c: recipe.Decoder) -> dict[str, Any]:
    """The keys that Llama-shaped models share."""
    return {
        "hidden_size": c.width,
        "intermediate_size": c.ffn,
        "num_hidden_layers": c.layers,
        "num_attention_heads": c.heads,
        "num_key_value_heads": c.kv_heads,
        "head_dim": c.head_size,
        "max_position_embeddings": c.context,
        "rms_norm_eps": c.norm_eps,
        "rope_theta": c.rope_theta,
        LATER_ROPE: {"rope_type": "default", "rope_theta": c.rope_theta},
        "hidden_act": "silu",
        "attention_bias": False,
        "tie_word_embeddings": c.tie_embeddings,
    }


def read(reader: Reader, head_width: int | None = None, kv_heads: int | None = None, qk_norm: bool = False) -> recipe.Decoder:
    """The decoder of a Llama-shaped model; `head_width` and `kv_heads` are what the family has if nothing is said.

    Defaults are those of `transformers`. Attention over a sliding window, and biases, are refused.
    """
    reader.only("hidden_act", "silu")
    reader.only("attention_bias", False, why="projections with biases can't be represented")
    reader.only("mlp_bias", False, why="projections with biases can't be represented")
    width, heads = reader.get("hidden_size"), reader.get("num_attention_heads")
    size = reader.get("head_dim", head_width)
    return recipe.Decoder(
        layers=reader.get("num_hidden_layers"),
        width=width,
        heads=heads,
        kv_heads=reader.get("num_key_value_heads", kv_heads or heads),
        head_width=size if size is not None and size * heads != width else None,
        qk_norm=qk_norm,
        ffn=reader.get("intermediate_size"),
        context=reader.get("max_position_embeddings"),
        rope_theta=reader.rope_theta(),
        norm_eps=reader.get("rms_norm_eps", 1e-6),
        tie_embeddings=reader.get("tie_word_embeddings", False),
    )


def tensors(c: recipe.Decoder, parts: Sequence[str] = LAYER) -> list[TensorOf]:
    """Those of a decoder whose layers have these parts."""
    layers = [same(f"model.layers.{number}.{part}.weight") for number in range(c.layers) for part in parts]
    head = [] if c.tie_embeddings else [same(HEAD)]
    return [same(EMBEDDING), same("model.norm.weight"), *layers, *head]


def copies(c: recipe.Decoder) -> dict[str, str]:
    return {HEAD: EMBEDDING} if c.tie_embeddings else {}


ADAPTER = Adapter(
    "llama", "LlamaForCausalLM", "model.", lambda c: {**describe(c), "mlp_bias": False}, read, tensors, copies,
    ignored=("rotary_emb.inv_freq",),
)  # fmt: skip
