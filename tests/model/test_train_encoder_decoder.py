"""The model: pretraining an encoder-decoder: it learns, whatever its objective, and a run that was broken ends in the same bits."""

from __future__ import annotations

import json
import math
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from model.checkpoint import load_model
from model.encoder_decoder import EncoderDecoderModel
from model.evaluate.held_out import read_texts
from model.generate import Asked, Drawing, Writer
from model.speed import operations_per_token
from model.train import main
from schemas.artifact import Artifact
from schemas.draft import Draft
from tests.model.conftest import MakeDraft, commit_tokenizer, commit_tokens, small_documents
from tests.model.test_train import interrupted, launch, outcome, wait_for_step

T5 = {"family": "t5", "layers": 1, "width": 32, "heads": 2, "ffn": 48, "context": 24}
SENTINELS = 8


def tiny(**changes: Any) -> dict[str, Any]:
    settings = {"model": T5, "steps": 6, "batch": 4, "compile": False, "validate_every": 4, "validate_tokens": 600}
    settings |= {"checkpoint_every": 1, "keep_checkpoints": 9, "mix": {"zh": 2, "en": 1, "code": 1}, "optimizer": {"name": "muon"}}
    return settings | changes


def rows(draft: Draft) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (draft.path / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def tokens_with_sentinels(tmp_path_factory: pytest.TempPathFactory) -> tuple[Artifact, Artifact]:
    """Tokens, and their tokenizer of 600 ids and some sentinels."""
    folder, documents = tmp_path_factory.mktemp("store"), list(small_documents())
    tokenizer = commit_tokenizer(folder / "tokenizer", [text for _, _, text in documents], 600, SENTINELS)
    return commit_tokens(folder / "tokens", documents, tokenizer), tokenizer


@pytest.fixture(scope="module")
def make_t5(tokens_with_sentinels: tuple[Artifact, Artifact]) -> MakeDraft:
    return MakeDraft(*tokens_with_sentinels)


OPTIONS: dict[str, dict[str, Any]] = {
    "spans": {"accumulate": 2},
    "tied": {"model": T5 | {"tie_embeddings": True, "head_width": 24}, "precision": "float32", "optimizer": {"name": "adamw"}},
    "denoising": {"objective": {"name": "denoising", "share": 0.3}, "z_loss": 1e-4, "loss_chunk": 20, "average": {"export": "beside"}},
    "phases": {"phases": [{"step": 2, "context": 12, "batch": 8}]},
}


@pytest.mark.parametrize("name", OPTIONS)
def test_a_run_resumed_anywhere_ends_in_the_same_bits(make_t5: MakeDraft, tmp_path: Path, name: str) -> None:
    whole = make_t5(tmp_path / "whole", **tiny(**OPTIONS[name]))
    assert main([str(whole.path)]) == 0
    for step in (1, 3, 5):
        broken = interrupted(whole, tmp_path / f"after-{step}", step)
        assert main([str(broken.path)]) == 0
        assert outcome(broken) == outcome(whole), step
    assert set(rows(whole)[-1]["validation_loss"]) == {"code", "en", "zh"}
    assert outcome(whole)[2]["validation_validation_loss"] == rows(whole)[-1]["validation_loss"]
    model, config = load_model(whole.path)
    assert isinstance(model, EncoderDecoderModel) and model.config.tie_embeddings == (name == "tied")
    assert config["decoder_start_token_id"] == config["pad_token_id"] == 2 and model.vocab_size == 600 + SENTINELS


def test_micro_batches_change_nothing_but_rounding(make_t5: MakeDraft, tmp_path: Path) -> None:
    found = []
    for parts in (1, 4):
        draft = make_t5(tmp_path / str(parts), **tiny(precision="float32", optimizer={"name": "sgd"}, accumulate=parts))
        assert main([str(draft.path)]) == 0
        found.append(rows(draft))
    for one, other in zip(*found, strict=True):
        assert one["loss"] == pytest.approx(other["loss"], rel=1e-4)


def unigram_nats(tokens: Artifact, vocab: int) -> float:
    """Mean nats a token of those that know only how often each is."""
    ids = torch.cat([torch.tensor(text.tokens.tolist()) for text in read_texts(tokens.paths("tokens"), "train")])
    share = torch.bincount(ids, minlength=vocab) / len(ids)
    return -float((share * share.clamp(min=1e-9).log()).sum())


@pytest.mark.parametrize("aim", ["span_corruption", "denoising"])
def test_it_learns(make_t5: MakeDraft, tokens_with_sentinels: tuple[Artifact, Artifact], tmp_path: Path, aim: str) -> None:
    settings = tiny(steps=300, batch=16, checkpoint_every=1000, validate_every=100, optimizer={"lr": 1e-2}, precision="float32")
    draft = make_t5(tmp_path / "draft", **settings, objective={"name": aim})
    assert main([str(draft.path)]) == 0
    losses = [row["loss"] for row in rows(draft)]
    print(losses[::30], unigram_nats(tokens_with_sentinels[0], 608), rows(draft)[-1])
