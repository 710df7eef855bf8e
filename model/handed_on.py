"""The model: a *start* hands on to the model that goes on from it its vocabulary: ids must mean the same to both. Here are the roles of
what such a pretraining reads besides, and that check. Cheap to import: no torch.
"""

from __future__ import annotations

from schemas.artifact import Artifact
from schemas.errors import RequestError

START = "start"
"""Role of the model that a pretraining goes on from."""
BEFORE = "before"
"""Role of the tokens that this model knew."""


def check_tokenizer(model: Artifact, tokenizer: Artifact) -> None:
    """Raises RequestError if a model is of another tokenizer."""
    of_model, here = (one.manifest.files("tokenizer")[0].digest for one in (model, tokenizer))
    if of_model != here:
        raise RequestError(
            f"{model.reference} has tokenizer {of_model[:8]}, and the tokens are of {tokenizer.reference}, {here[:8]}: their ids mean "
            "other things; pin the model's tokenizer (tokenizer.pin), or take retrain.start: scratch"
        )
