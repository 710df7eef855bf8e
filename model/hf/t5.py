"""The model: T5 v1.1 (Raffel et al. 2020, arXiv:1910.10683): our weights under its names. Whether the head is tied is said
by `scale_decoder_outputs`: since version 5, `transformers` writes `tie_word_embeddings: true` in any case, and leaves weights untied where
a file has both, and they differ. `n_positions` is what the encoder was trained to read; nothing is limited by it.
"""

from __future__ import annotations

from typing import Any

from model.hf.adapter import HEAD, Adapter, NotRepresented, Reader, TensorOf
from model.relative import BUCKETS, FARTHEST
from schemas import recipe

_SHARED, _EMBEDDING = "shared.weight", "embed_tokens.weight"
_PARTS = {"q": "q_proj", "k": "k_proj", "v": "v_proj", "o": "o_proj"}
_FEED_FORWARD = {"wi_0": "gate_proj", "wi_1": "up_proj", "wo": "down_proj"}


def _describe(c: recipe.EncoderDecoder) -> dict[str, Any]:
    return {
        "is_encoder_decoder": True,
        "d_model": c.width,
        "d_kv": c.head_size,
        "d_ff": c.ffn,
        "num_layers": c.layers,
        "num_decoder_layers": c.layers,
        "num_heads": c.heads,
        "n_positions": c.context,
        "relative_attention_num_buckets": BUCKETS,
        "relative_attention_max_distance": FARTHEST,
        "layer_norm_epsilon": c.norm_eps,
        "feed_forward_proj": "gated-gelu",
        "dropout_rate": 0.0,
        "tie_word_embeddings": c.tie_embeddings,
        "scale_decoder_outputs": c.tie_embeddings,
    }


def _read(reader: Reader) -> recipe.EncoderDecoder:
    """Dropout is of training alone, so it is passed over. Defaults are those of `transformers`."""
    if (kind := reader.get("feed_forward_proj", "relu")) != "gated-gelu":
        raise NotRepresented(f"feed_forward_proj is {kind!r}: only 'gated-gelu' (T5 v1.1) can be represented")
    layers = reader.get("num_layers")
    reader.only("num_decoder_layers", layers, why="a decoder of as many layers as the encoder is all that can be represented")
    reader.only("relative_attention_num_buckets", BUCKETS)
    reader.only("relative_attention_max_distance", FARTHEST)
    width, heads, size = reader.get("d_model"), reader.get("num_heads"), reader.get("d_kv")
    return recipe.EncoderDecoder(
        family="t5",
        layers=layers,
        width=width,
        heads=heads,
        head_width=size if size * heads != width else None,
        ffn=reader.get("d_ff"),
        context=reader.get("n_positions", 512),
        norm_eps=reader.get("layer_norm_epsilon", 1e-6),
        tie_embeddings=reader.get("scale_decoder_outputs", reader.get("tie_word_embeddings", True)),
    )


def _of_layer(side: str, number: int) -> list[TensorOf]:
    parts = ["self_attn", *(["cross_attn"] if side == "decoder" else []), "mlp"]
    theirs = {"self_attn": "SelfAttention", "cross_attn": "EncDecAttention", "mlp": "DenseReluDense"}
    found = []
    for place, part in enumerate(parts):
        there, here = f"{side}.block.{number}.layer.{place}", f"{side}.layers.{number}.{part}"
        found.append(TensorOf(f"{there}.layer_norm.weight", (f"{here}_norm.weight",)))
        for name, ours in (_FEED_FORWARD if part == "mlp" else _PARTS).items():
            found.append(TensorOf(f"{there}.{theirs[part]}.{name}.weight", (f"{here}.{ours}.weight",)))
    return found


def _tensors(c: recipe.EncoderDecoder) -> list[TensorOf]:
    found = [TensorOf(_SHARED, (_EMBEDDING,))]
    for side in ("encoder", "decoder"):
        bias = f"{side}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
        found += [TensorOf(bias, (f"{side}.bias.weight_of.weight",)), TensorOf(f"{side}.final_layer_norm.weight", (f"{side}.norm.weight",))]
        found += [tensor for number in range(c.layers) for tensor in _of_layer(side, number)]
    return [*found, *([] if c.tie_embeddings else [TensorOf(HEAD, (HEAD,))])]


def _copies(c: recipe.EncoderDecoder) -> dict[str, str]:
    copies = {f"{side}.embed_tokens.weight": _SHARED for side in ("encoder", "decoder")}
    return copies | ({HEAD: _SHARED} if c.tie_embeddings else {})


ADAPTER = Adapter(
    "t5", "T5ForConditionalGeneration", "", _describe, _read, _tensors, _copies,
    ignored=("decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight",),
)  # fmt: skip
