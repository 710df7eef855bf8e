"""The model: models with random weights, committed to a store as pretraining commits them, for tests that serve them."""

from __future__ import annotations

from pathlib import Path

import torch

from model.checkpoint import save_model
from model.families import LanguageModel, build_model, special_ids
from schemas import recipe
from schemas.artifact import Artifact
from schemas.fingerprint import Identity
from schemas.store import Store

BOS, EOS, PAD = 0, 1, 2
"""Of `tests.model.conftest.commit_tokenizer`."""


def random_model(architecture: recipe.Architecture, vocab: int, seed: int) -> LanguageModel:
    """A model whose logits lie far enough apart that noise of the last bit changes no token, and whose attention chooses."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = build_model(architecture, vocab)
        chooses = (
            1 if isinstance(architecture, recipe.EncoderDecoder) else 24
        )  # scores that aren't divided lie apart; more, and noise shows
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if parameter.ndim == 2:
                    parameter.mul_(chooses if "q_proj" in name or "k_proj" in name else 4)
    return model.eval()


def commit_model(store: Path, name: str, model: LanguageModel, tokenizer: Path, setting: int = 0, broken: bool = False) -> Artifact:
    """A version of a name; `broken` ones have a `model.safetensors` that is none."""
    draft = Store(store).start("model", name, Identity("pretrain", 1, {"seed": setting}, {}, {}))
    made = draft.scratch()
    save_model(model, made, special_ids(model.config, {"bos": BOS, "eos": EOS, "pad": PAD}))
    if broken:
        (made / "model.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0nonsense")
    (made / "tokenizer.json").write_bytes(tokenizer.read_bytes())
    files = [draft.adopt_as(made / file, file, "model") for file in ("model.safetensors", "config.json", "tokenizer.json")]
    draft.add_part("pretrain", "model", files)
    return draft.commit(["pretrain"])
