"""The model: which models can be *tensor parallel* (`run.shard: tensor`): decoders whose heads and units deal out evenly over ranks."""

from __future__ import annotations

from schemas.recipe.architecture import Architecture, Decoder


def uncut(model: Architecture, ranks: int) -> tuple[str, str] | None:
    """The key of a model that keeps it from being tensor parallel over so many ranks, and why; None: nothing does."""
    if not isinstance(model, Decoder):
        return "family", f"run.shard: tensor is of decoders so far, and this is {model.family}: take another shard"
    for key, number in (("heads", model.heads), ("kv_heads", model.kv_heads), ("ffn", model.ffn)):
        if number % ranks:
            return key, f"{number} do not divide over {ranks} ranks, as run.shard: tensor needs: change one of them, or take another shard"
    return None
