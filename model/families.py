"""The model: a *family* is a kind of model that can be pretrained here, exported and imported: one class for each architecture
of a recipe.

All have a `config` (their architecture), a `vocab_size`, and names of parameters with a row for each id, `VOCABULARY`. What they
read, and how they are trained, differs: see `model.objectives`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from model.decoder import DecoderModel
from model.encoder import EncoderModel
from model.encoder_decoder import EncoderDecoderModel
from model.recurrent import RecurrentModel
from schemas import recipe

Causal = DecoderModel | RecurrentModel
"""Those that go on with a text, token by token."""
LanguageModel = Causal | EncoderModel | EncoderDecoderModel


def build_model(architecture: recipe.Architecture, vocab_size: int) -> LanguageModel:
    """A model with weights drawn from torch's global generator: seed it first."""
    if isinstance(architecture, recipe.Decoder):
        return DecoderModel(architecture, vocab_size)
    if isinstance(architecture, recipe.Encoder):
        return EncoderModel(architecture, vocab_size)
    if isinstance(architecture, recipe.Recurrent):
        return RecurrentModel(architecture, vocab_size)
    return EncoderDecoderModel(architecture, vocab_size)


def stays_uncompiled(architecture: recipe.Architecture) -> str | None:
    """Why torch.compile has nothing to do with such a model; None if it has."""
    recurrent = isinstance(architecture, recipe.Recurrent)
    return "an LSTM steps through its text inside of torch, where nothing is compiled" if recurrent else None


def special_ids(architecture: recipe.Architecture, special: Mapping[str, int]) -> dict[str, int]:
    """What `config.json` says of special tokens, given their ids by role: what an encoder-decoder writes starts with its pad."""
    ids = {f"{role}_token_id": number for role, number in special.items()}
    return ids | ({"decoder_start_token_id": special["pad"]} if isinstance(architecture, recipe.EncoderDecoder) else {})


def start_of(config: Mapping[str, Any]) -> int | None:
    """What an encoder-decoder begins to write with, as its `config.json` says; None: it says nothing of it, or is another model's."""
    if config.get("model_type") != "t5":
        return None
    start: int | None = config.get("decoder_start_token_id", config.get("pad_token_id"))
    return start
