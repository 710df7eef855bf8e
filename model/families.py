"""The model: a *family* is a kind of model that can be pretrained here, exported and imported: one class for each architecture
of a recipe.

All have a `config` (their architecture), a `vocab_size`, and names of parameters with a row for each id, `VOCABULARY`. What they
read, and how they are trained, differs: see `model.objectives`.
"""

from __future__ import annotations

from model.decoder import DecoderModel
from model.encoder import EncoderModel
from schemas import recipe
from schemas.errors import RequestError

LanguageModel = DecoderModel | EncoderModel


def build_model(architecture: recipe.Architecture, vocab_size: int) -> LanguageModel:
    """A model with weights drawn from torch's global generator: seed it first."""
    if isinstance(architecture, recipe.Decoder):
        return DecoderModel(architecture, vocab_size)
    if isinstance(architecture, recipe.Encoder):
        return EncoderModel(architecture, vocab_size)
    raise RequestError(f"model.family {architecture.family}: can't be made yet")
