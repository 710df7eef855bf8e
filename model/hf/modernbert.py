"""The model: ModernBERT (Warner et al., arXiv:2412.13663): projections of queries, keys and values are written as one, and so are the
two halves of GeGLU."""

from __future__ import annotations

from typing import Any

from model.hf.adapter import EMBEDDING, LATER_ROPE, Adapter, NotRepresented, Reader, TensorOf
from model.hf.bert import task_of
from schemas import recipe

_EMBEDDING = "model.embeddings.tok_embeddings.weight"
_CLASSES: dict[str, Any] = {"masked_tokens": "ModernBertForMaskedLM", "none": "ModernBertModel"}
_FULL, _LOCAL = "full_attention", "sliding_attention"
_BY_PART = {
    "attn_norm": ("self_attn_norm",),
    "attn.Wqkv": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "attn.Wo": ("self_attn.o_proj",),
    "mlp_norm": ("mlp_norm",),
    "mlp.Wi": ("mlp.gate_proj", "mlp.up_proj"),
    "mlp.Wo": ("mlp.down_proj",),
}
"""What of a layer is what of ours."""


def _kinds(layers: int, every: int) -> list[str]:
    return [_LOCAL if number % every else _FULL for number in range(layers)]


def _describe(c: recipe.Encoder) -> dict[str, Any]:
    """With the keys of `transformers` 5, and those of 4."""
    return {
        "architectures": [_CLASSES[c.task or "masked_tokens"]],
        "hidden_size": c.width,
        "intermediate_size": c.ffn,
        "num_hidden_layers": c.layers,
        "num_attention_heads": c.heads,
        "max_position_embeddings": c.context,
        "norm_eps": c.norm_eps,
        "norm_bias": False,
        "attention_bias": False,
        "mlp_bias": False,
        "classifier_bias": False,
        "decoder_bias": True,
        "hidden_activation": "gelu",
        "classifier_activation": "gelu",
        "attention_dropout": 0.0,
        "embedding_dropout": 0.0,
        "mlp_dropout": 0.0,
        "local_attention": c.local_window,
        "layer_types": _kinds(c.layers, c.global_every),
        "global_attn_every_n_layers": c.global_every,
        "global_rope_theta": c.rope_theta,
        "local_rope_theta": c.local_rope_theta,
        LATER_ROPE: {
            _FULL: {"rope_type": "default", "rope_theta": c.rope_theta},
            _LOCAL: {"rope_type": "default", "rope_theta": c.local_rope_theta},
        },
        "tie_word_embeddings": True,
    }


def _read(reader: Reader) -> recipe.Encoder:
    for key in ("norm_bias", "attention_bias", "mlp_bias", "classifier_bias"):
        reader.only(key, False)
    reader.only("decoder_bias", True)
    reader.only("hidden_activation", "gelu")
    reader.only("classifier_activation", "gelu")
    reader.only("tie_word_embeddings", True)
    layers = reader.get("num_hidden_layers")
    return recipe.Encoder(
        family="modernbert",
        layers=layers,
        width=reader.get("hidden_size"),
        heads=reader.get("num_attention_heads"),
        ffn=reader.get("intermediate_size"),
        context=reader.get("max_position_embeddings"),
        rope_theta=_theta(reader, _FULL, "global_rope_theta", 160_000.0),
        local_rope_theta=_theta(reader, _LOCAL, "local_rope_theta", 10_000.0),
        local_window=reader.get("local_attention", 128),
        global_every=_global_every(reader, layers),
        norm_eps=reader.get("norm_eps", 1e-5),
        task=task_of(reader, _CLASSES),
    )


def _theta(reader: Reader, kind: str, earlier: str, default: float) -> float:
    """Base of the rotation of one kind of layers, by the keys of either version."""
    rope = reader.get(LATER_ROPE, {}).get(kind) or reader.get("rope_scaling", None) or {}
    return Reader({LATER_ROPE: {"rope_theta": reader.get(earlier, default), **rope}}).rope_theta()


def _global_every(reader: Reader, layers: int) -> int:
    """What recurs of the kinds of layers. Raises `NotRepresented` if they don't."""
    kinds = reader.get("layer_types", None)
    if kinds is None:
        return int(reader.get("global_attn_every_n_layers", 3))
    told = reader.get("global_attn_every_n_layers", 0)
    found = [every for every in (told, *range(1, layers + 1)) if every and _kinds(layers, every) == list(kinds)]
    if not found:
        raise NotRepresented("layer_types: only every n-th layer with full attention, the first among them, can be represented")
    return int(found[0])


def _tensors_of_layer(number: int) -> list[TensorOf]:
    """The first layer has no norm before its attention: the embedding's is enough."""
    parts = {part: ours for part, ours in _BY_PART.items() if number or part != "attn_norm"}
    return [
        TensorOf(f"model.layers.{number}.{part}.weight", tuple(f"model.layers.{number}.{name}.weight" for name in ours))
        for part, ours in parts.items()
    ]


def _tensors(c: recipe.Encoder) -> list[TensorOf]:
    found = [TensorOf(_EMBEDDING, (EMBEDDING,)), TensorOf("model.embeddings.norm.weight", ("model.embed_norm.weight",))]
    found += [tensor for number in range(c.layers) for tensor in _tensors_of_layer(number)]
    found.append(TensorOf("model.final_norm.weight", ("model.norm.weight",)))
    if c.task != "none":
        found += [TensorOf(f"head.{part}.weight", (f"head.{part}.weight",)) for part in ("dense", "norm")]
        found.append(TensorOf("decoder.bias", ("head.bias",)))
    return found


def _copies(c: recipe.Encoder) -> dict[str, str]:
    return {} if c.task == "none" else {"decoder.weight": _EMBEDDING}


ADAPTER = Adapter("modernbert", "ModernBertForMaskedLM", "model.", _describe, _read, _tensors, _copies)
