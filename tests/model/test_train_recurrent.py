"""The model: pretraining an LSTM by the code that trains decoders: it learns, is measured and writes, and a run that was broken ends in the
same bits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from model.checkpoint import load_model
from model.evaluate.__main__ import main as evaluate
from model.generate import Asked, Drawing, Writer
from model.recurrent import RecurrentModel
from model.train import main
from schemas import recipe
from schemas.artifact import Artifact
from schemas.draft import Draft
from schemas.fingerprint import Identity
from tests.model.conftest import MakeDraft
from tests.model.test_resume import finish
from tests.model.test_train import interrupted, outcome
from tests.model.test_train_encoder_decoder import unigram_nats

LSTM: dict[str, Any] = {"family": "lstm", "layers": 2, "width": 24, "context": 16}


def tiny(**changes: Any) -> dict[str, Any]:
    settings = {"model": LSTM, "steps": 6, "batch": 4, "compile": False, "validate_every": 4, "validate_tokens": 600}
    settings |= {"checkpoint_every": 1, "keep_checkpoints": 9, "mix": {"zh": 2, "en": 1, "code": 1}}
    return settings | changes


def rows(draft: Draft) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (draft.path / "metrics.jsonl").read_text().splitlines()]


OPTIONS: dict[str, dict[str, Any]] = {
    "bf16": {"optimizer": {"name": "muon"}, "average": {"export": "beside"}},
    "documents": {
        "precision": "float32",
        "document_mask": True,
        "packing": "best_fit",
        "accumulate": 2,
        "model": LSTM | {"tie_embeddings": False},
    },
    "masked_blocks": {"document_mask": True, "loss_chunk": 20, "z_loss": 1e-4, "phases": [{"step": 2, "context": 8, "batch": 8}]},
}


@pytest.mark.parametrize("name", OPTIONS)
def test_a_run_resumed_anywhere_ends_in_the_same_bits(make_draft: MakeDraft, tmp_path: Path, name: str) -> None:
    whole = make_draft(tmp_path / "whole", **tiny(**OPTIONS[name]))
    assert main([str(whole.path)]) == 0
    for step in (1, 3, 5):
        broken = interrupted(whole, tmp_path / f"after-{step}", step)
        assert main([str(broken.path)]) == 0
        assert outcome(broken) == outcome(whole), step
    assert set(rows(whole)[-1]["bits_per_byte"]) == {"code", "en", "zh"}
    model, config = load_model(whole.path)
    assert isinstance(model, RecurrentModel) and model.config.tie_embeddings == (name != "documents")
    assert config["model_type"] == "gristmill-lstm" and config["eos_token_id"] == 1


LEARNING = {"model": LSTM | {"width": 64, "context": 32}, "steps": 200, "batch": 16, "checkpoint_every": 999, "validate_every": 100}


@pytest.fixture(scope="module")
def trained(make_draft: MakeDraft, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """A model that learned for two seconds, from documents that know nothing of each other."""
    settings = tiny(**LEARNING, optimizer={"lr": 2e-2}, document_mask=True, packing="best_fit", compile=True)
    draft = make_draft(tmp_path_factory.mktemp("trained") / "model", **settings)
    assert main([str(draft.path)]) == 0
    return draft.commit(["pretrain"])


def test_it_learns(trained: Artifact, tokens_artifact: Artifact) -> None:
    """Far beyond what is known by how often each token is."""
    told = [json.loads(line) for line in (trained.path / "metrics.jsonl").read_text().splitlines()]
    assert sum(row["loss"] for row in told[-10:]) / 10 < unigram_nats(tokens_artifact, 600) - 1
    assert all(told[199]["bits_per_byte"][lang] < told[99]["bits_per_byte"][lang] for lang in ("en", "zh", "code"))
    assert trained.facts("pretrain")["environment"]["compiled"] is False, "whatever was asked for"


def test_it_says_why_it_is_not_compiled(make_draft: MakeDraft, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    draft = make_draft(tmp_path / "draft", **tiny(steps=1, compile=True))
    assert main([str(draft.path)]) == 0
    assert "training without torch.compile: an LSTM steps through its text inside of torch" in "".join(capsys.readouterr())


def test_the_finished_model_is_measured_and_writes(
    trained: Artifact, tokens_artifact: Artifact, tokenizer_artifact: Artifact, tmp_path: Path
) -> None:
    inputs = {"pretrain": trained, "tokens": tokens_artifact, "tokenizer": tokenizer_artifact}
    asked = recipe.Evaluate(max_tokens=1500, ngram_orders=(1, 2), prompts=("def ",), sample_tokens=40).model_dump(mode="json")
    digests = {role: artifact.manifest.content_digest for role, artifact in inputs.items()}
    measured = Draft.start(tmp_path / "evaluation", "evaluation", "small", Identity("evaluate", 1, asked, digests, {}))
    measured.assign(inputs={role: artifact.path for role, artifact in inputs.items()}, roots={}, run={})
    assert evaluate([str(measured.path)]) == 0
    results = json.loads((measured.path / "results.json").read_text())
    assert results["samples"][0]["text"] and results["language_modelling"]["context"] == 32
    for group in results["language_modelling"]["languages"].values():
        assert set(group["systems"]) == {"model", "kneser_ney_1", "kneser_ney_2"} and group["relative_to_order_1"] < 0
    writer = Writer(trained.path)
    prompts = [
        "def main(",
        "好的 café, and more text than the tokens of its context are, by far, as they are no more than two and thirty",
        "A",
    ]
    written = writer.write(prompts, Asked(40, drawing=Drawing(0)))
    assert written == [writer.write([prompt], Asked(40, drawing=Drawing(0)))[0] for prompt in prompts]
    assert len(writer.write(prompts[:1], Asked(40, beams=3, samples=3))) == 3
    ids = writer.ids(prompts[1])
    assert len(ids) > 32 and isinstance(writer.model, RecurrentModel)
    with torch.no_grad():
        likeliest = int(writer.model(torch.tensor([ids]))[0, -1].argmax())
    assert written[1].text.startswith(writer.tokenizer.decode([likeliest]))


@pytest.mark.slow
def test_two_ranks_read_the_samples_that_one_does(make_draft: MakeDraft, tmp_path: Path) -> None:
    settings = tiny(steps=4, precision="float32", optimizer={"name": "sgd"}, document_mask=True, packing="best_fit")
    alone, together = make_draft(tmp_path / "alone", **settings), make_draft(tmp_path / "together", **settings)
    assert main([str(alone.path)]) == 0
    finish(together, 2)
    for one, other in zip(rows(alone), rows(together), strict=True):
        assert one["loss"] == pytest.approx(other["loss"], rel=1e-5)
        assert one["grad_norm"] == pytest.approx(other["grad_norm"], rel=1e-4)
