"""The model: an LSTM. `transformers` has no such model: it is saved as others are, under our names, for us to read again."""

from __future__ import annotations

from typing import Any

from model.hf.adapter import HEAD, Adapter, Reader, TensorOf
from schemas import recipe

EMBEDDING = "embed_tokens.weight"
PARTS = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")


def _describe(c: recipe.Recurrent) -> dict[str, Any]:
    return {
        "hidden_size": c.width,
        "num_hidden_layers": c.layers,
        "max_position_embeddings": c.context,
        "tie_word_embeddings": c.tie_embeddings,
    }


def _read(reader: Reader) -> recipe.Recurrent:
    return recipe.Recurrent(
        family="lstm",
        width=reader.get("hidden_size"),
        layers=reader.get("num_hidden_layers"),
        context=reader.get("max_position_embeddings"),
        tie_embeddings=reader.get("tie_word_embeddings"),
    )


def _tensors(c: recipe.Recurrent) -> list[TensorOf]:
    names = [EMBEDDING, *(f"layers.{number}.{part}" for number in range(c.layers) for part in PARTS), *([] if c.tie_embeddings else [HEAD])]
    return [TensorOf(name, (name,)) for name in names]


def _copies(c: recipe.Recurrent) -> dict[str, str]:
    return {HEAD: EMBEDDING} if c.tie_embeddings else {}


ADAPTER = Adapter("gristmill-lstm", "RecurrentModel", "", _describe, _read, _tensors, _copies, ours=True)
