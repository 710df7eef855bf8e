"""The model: GPT-2 (Radford et al. 2019): its projections are written transposed (`Conv1D`), those of queries, keys and values as one."""

from __future__ import annotations

from typing import Any

from model.hf.adapter import EMBEDDING, HEAD, Adapter, Reader, TensorOf
from schemas import recipe

_BASE = "transformer."
_EMBEDDING = f"{_BASE}wte.weight"
_BY_PART = {
    "ln_1": ("input_layernorm",),
    "attn.c_attn": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "attn.c_proj": ("self_attn.o_proj",),
    "ln_2": ("post_attention_layernorm",),
    "mlp.c_fc": ("mlp.up_proj",),
    "mlp.c_proj": ("mlp.down_proj",),
}
"""What of a layer is what of ours, each with a weight and a bias."""


def _describe(c: recipe.Decoder) -> dict[str, Any]:
    return {
        "n_embd": c.width,
        "n_inner": c.ffn,
        "n_layer": c.layers,
        "n_head": c.heads,
        "n_positions": c.context,
        "n_ctx": c.context,
        "layer_norm_epsilon": c.norm_eps,
        "activation_function": "gelu_new",
        "attn_pdrop": 0.0,
        "embd_pdrop": 0.0,
        "resid_pdrop": 0.0,
        "scale_attn_weights": True,
        "scale_attn_by_inverse_layer_idx": False,
        "reorder_and_upcast_attn": False,
        "add_cross_attention": False,
        "tie_word_embeddings": c.tie_embeddings,
    }


def _read(reader: Reader) -> recipe.Decoder:
    """Dropout is of training alone, so it is passed over."""
    reader.only("activation_function", "gelu_new", "gelu_pytorch_tanh")
    reader.only("scale_attn_weights", True)
    reader.only("scale_attn_by_inverse_layer_idx", False)
    reader.only("add_cross_attention", False)
    width, heads = reader.get("n_embd"), reader.get("n_head")
    return recipe.Decoder(
        family="gpt2",
        layers=reader.get("n_layer"),
        width=width,
        heads=heads,
        kv_heads=heads,
        ffn=reader.get("n_inner", 4 * width),
        context=reader.get("n_positions"),
        norm_eps=reader.get("layer_norm_epsilon", 1e-5),
        tie_embeddings=reader.config.get("tie_word_embeddings", True),
    )


def _tensors_of_layer(number: int) -> list[TensorOf]:
    found = []
    for part, ours in _BY_PART.items():
        for kind in ("weight", "bias"):
            names = tuple(f"model.layers.{number}.{name}.{kind}" for name in ours)
            found.append(TensorOf(f"{_BASE}h.{number}.{part}.{kind}", names, transposed=kind == "weight" and "ln" not in part))
    return found


def _tensors(c: recipe.Decoder) -> list[TensorOf]:
    outside = [
        TensorOf(_EMBEDDING, (EMBEDDING,)),
        TensorOf(f"{_BASE}wpe.weight", ("model.embed_positions.weight",)),
        TensorOf(f"{_BASE}ln_f.weight", ("model.norm.weight",)),
        TensorOf(f"{_BASE}ln_f.bias", ("model.norm.bias",)),
    ]
    layers = [tensor for number in range(c.layers) for tensor in _tensors_of_layer(number)]
    return [*outside, *layers, *([] if c.tie_embeddings else [TensorOf(HEAD, (HEAD,))])]


def _copies(c: recipe.Decoder) -> dict[str, str]:
    return {HEAD: _EMBEDDING} if c.tie_embeddings else {}


ADAPTER = Adapter("gpt2", "GPT2LMHeadModel", _BASE, _describe, _read, _tensors, _copies, ignored=(".attn.bias", ".attn.masked_bias"))
