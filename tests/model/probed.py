"""The model: tiny models with byte-level tokenizers, saved as pretraining saves them, to be probed."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch

from model.checkpoint import save_model
from model.decoder import DecoderModel
from model.encoder import EncoderModel
from schemas import recipe
from tests.model.annotated import ROLES, commit_tokenizer


def save_decoder(folder: Path, texts: list[str], seed: int = 0, **architecture: object) -> Path:
    shape = {"layers": 2, "width": 32, "heads": 2, "kv_heads": 1, "ffn": 48, "context": 200} | architecture
    torch.manual_seed(seed)
    return _save(folder, texts, lambda vocabulary: DecoderModel(recipe.Decoder.model_validate(shape), vocabulary))


def save_encoder(folder: Path, texts: list[str], seed: int = 0, **architecture: object) -> Path:
    shape = {"family": "bert", "layers": 2, "width": 32, "heads": 2, "ffn": 48, "context": 200} | architecture
    torch.manual_seed(seed)
    return _save(folder, texts, lambda vocabulary: EncoderModel(recipe.Encoder.model_validate(shape), vocabulary))


def _save(folder: Path, texts: list[str], make: object) -> Path:
    tokenizer = commit_tokenizer(folder / "tokenizer", texts)
    model = make(tokenizer.facts("tokenizer")["vocab_size"])  # type: ignore[operator]
    with torch.no_grad():  # far from where training starts, so that nothing is nearly equal
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    special = tokenizer.facts("tokenizer")["special_tokens"]
    saved = folder / "model"
    saved.mkdir()
    save_model(model, saved, {f"{role}_token_id": special[role] for role in ROLES})
    shutil.copyfile(tokenizer.paths("tokenizer")[0], saved / "tokenizer.json")
    return saved
