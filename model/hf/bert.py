"""The model: BERT (Devlin et al., arXiv:1810.04805): a rename. The class that wrote a checkpoint says which heads it has."""

from __future__ import annotations

from typing import Any

from model.hf.adapter import EMBEDDING, Adapter, NotRepresented, Reader, TensorOf
from schemas import recipe

_BASE = "bert."
_EMBEDDINGS = f"{_BASE}embeddings."
_CLASSES: dict[str, Any] = {"masked_tokens": "BertForMaskedLM", "next_sentence": "BertForPreTraining", "none": "BertModel"}
_BY_PART = {
    "attention.self.query": "self_attn.q_proj",
    "attention.self.key": "self_attn.k_proj",
    "attention.self.value": "self_attn.v_proj",
    "attention.output.dense": "self_attn.o_proj",
    "attention.output.LayerNorm": "self_attn_norm",
    "intermediate.dense": "mlp.up_proj",
    "output.dense": "mlp.down_proj",
    "output.LayerNorm": "mlp_norm",
}
"""What of a layer is what of ours, each with a weight and a bias."""


def task_of(reader: Reader, classes: dict[str, Any]) -> Any:
    """The task that a checkpoint's class was made for. Raises `NotRepresented` for a class whose heads are not ours."""
    written = (reader.get("architectures", None) or [classes["masked_tokens"]])[0]
    for task, name in classes.items():
        if name == written:
            return task
    raise NotRepresented(f"architectures is [{written!r}]: only {', '.join(classes.values())} can be represented")


def _describe(c: recipe.Encoder) -> dict[str, Any]:
    return {
        "architectures": [_CLASSES[c.task or "masked_tokens"]],
        "hidden_size": c.width,
        "intermediate_size": c.ffn,
        "num_hidden_layers": c.layers,
        "num_attention_heads": c.heads,
        "max_position_embeddings": c.context,
        "type_vocab_size": 2,
        "layer_norm_eps": c.norm_eps,
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
        "position_embedding_type": "absolute",
        "is_decoder": False,
        "add_cross_attention": False,
        "tie_word_embeddings": True,
    }


def _read(reader: Reader) -> recipe.Encoder:
    """Dropout is of training alone, so it is passed over."""
    reader.only("hidden_act", "gelu")
    reader.only("position_embedding_type", "absolute")
    reader.only("type_vocab_size", 2)
    reader.only("is_decoder", False)
    reader.only("add_cross_attention", False)
    reader.only("tie_word_embeddings", True)
    return recipe.Encoder(
        family="bert",
        layers=reader.get("num_hidden_layers"),
        width=reader.get("hidden_size"),
        heads=reader.get("num_attention_heads"),
        ffn=reader.get("intermediate_size"),
        context=reader.get("max_position_embeddings"),
        norm_eps=reader.get("layer_norm_eps", 1e-12),
        task=task_of(reader, _CLASSES),
    )


def both(name: str, ours: str) -> list[TensorOf]:
    """A weight and a bias."""
    return [TensorOf(f"{name}.{kind}", (f"{ours}.{kind}",)) for kind in ("weight", "bias")]


def _tensors(c: recipe.Encoder) -> list[TensorOf]:
    found = [
        TensorOf(f"{_EMBEDDINGS}word_embeddings.weight", (EMBEDDING,)),
        TensorOf(f"{_EMBEDDINGS}position_embeddings.weight", ("model.embed_positions.weight",)),
        TensorOf(f"{_EMBEDDINGS}token_type_embeddings.weight", ("model.embed_types.weight",)),
        *both(f"{_EMBEDDINGS}LayerNorm", "model.embed_norm"),
    ]
    for number in range(c.layers):
        for part, ours in _BY_PART.items():
            found += both(f"{_BASE}encoder.layer.{number}.{part}", f"model.layers.{number}.{ours}")
    if c.task in ("next_sentence", "none"):
        found += both(f"{_BASE}pooler.dense", "pooler")
    if c.task != "none":
        found += both("cls.predictions.transform.dense", "head.dense") + both("cls.predictions.transform.LayerNorm", "head.norm")
        found.append(TensorOf("cls.predictions.bias", ("head.bias",)))
    if c.task == "next_sentence":
        found += both("cls.seq_relationship", "next_sentence")
    return found


def _copies(c: recipe.Encoder) -> dict[str, str]:
    if c.task == "none":
        return {}
    return {
        "cls.predictions.decoder.weight": f"{_EMBEDDINGS}word_embeddings.weight",
        "cls.predictions.decoder.bias": "cls.predictions.bias",
    }


ADAPTER = Adapter(
    "bert", "BertForMaskedLM", _BASE, _describe, _read, _tensors, _copies,
    ignored=("embeddings.position_ids", "pooler.dense.weight", "pooler.dense.bias", "seq_relationship.weight", "seq_relationship.bias"),
    renamed={"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"},
)  # fmt: skip
"""A published `BertForMaskedLM` may hold what `BertForPreTraining` left in it; `transformers` passes that over, too."""
