"""The model: pretraining an encoder-decoder: it learns, whatever its objective, and a run that was broken ends in the same bits."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from model.checkpoint import load_model
from model.encoder_decoder import EncoderDecoderModel
from model.evaluate.held_out import read_texts
from model.generate import Asked, Drawing, Writer
from model.hardware import compiler_problem
from model.objectives import Inputs
from model.speed import operations_per_token
from model.train import main
from schemas import recipe
from schemas.artifact import Artifact
from schemas.draft import Draft
from tests.model.conftest import MakeDraft
from tests.model.test_train import interrupted, launch, outcome, wait_for_step

T5: dict[str, Any] = {"family": "t5", "layers": 1, "width": 32, "heads": 2, "ffn": 48, "context": 24}
SENTINELS = 8


def tiny(**changes: Any) -> dict[str, Any]:
    settings = {"model": T5, "steps": 6, "batch": 4, "compile": False, "validate_every": 4, "validate_tokens": 600}
    settings |= {"checkpoint_every": 1, "keep_checkpoints": 9, "mix": {"zh": 2, "en": 1, "code": 1}, "optimizer": {"name": "muon"}}
    return settings | changes


def rows(draft: Draft) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (draft.path / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def make_t5(t5_tokens: tuple[Artifact, Artifact]) -> MakeDraft:
    return MakeDraft(*t5_tokens)


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
    assert outcome(whole)[2]["validation_loss"] == rows(whole)[-1]["validation_loss"]
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


@pytest.mark.parametrize(("aim", "below"), [("span_corruption", 1.5), ("denoising", 0.8)])
def test_it_learns(make_t5: MakeDraft, t5_tokens: tuple[Artifact, Artifact], tmp_path: Path, aim: str, below: float) -> None:
    """Far beyond what is known by how often each token is."""
    settings = tiny(steps=150, batch=16, checkpoint_every=1000, validate_every=75, optimizer={"lr": 1e-2}, precision="float32")
    draft = make_t5(tmp_path / "draft", **settings, objective={"name": aim})
    assert main([str(draft.path)]) == 0
    losses = [row["loss"] for row in rows(draft)]
    assert math.log(608) < losses[0] < math.log(608) + 1, "heads begin with logits of deviation 1"
    assert sum(losses[-10:]) / 10 < unigram_nats(t5_tokens[0], 608) - below
    assert all(rows(draft)[149]["validation_loss"][lang] < rows(draft)[74]["validation_loss"][lang] for lang in ("en", "zh", "code"))


def test_the_finished_model_answers(make_t5: MakeDraft, tmp_path: Path) -> None:
    draft = make_t5(tmp_path / "draft", **tiny(steps=60, batch=16, checkpoint_every=99, validate_every=99, optimizer={"lr": 1e-2}))
    assert main([str(draft.path)]) == 0
    writer = Writer(draft.path)
    assert writer.answers and writer.ids("de")[-1] == 1
    prompts = ["def main(<extra_id_0>):", "", "好的 café"]
    written = writer.write(prompts, Asked(8, drawing=Drawing(0)))
    assert written == [writer.write([prompt], Asked(8, drawing=Drawing(0)))[0] for prompt in prompts], "padding is seen by nobody"
    assert written[0].text.startswith("<extra_id_0>"), "what is written begins with the first sentinel"
    pieces: list[str] = []
    (streamed,) = writer.write(prompts[:1], Asked(8, drawing=Drawing(0)), lambda row, piece: pieces.append(piece))
    assert "".join(pieces) == streamed.text == written[0].text
    (stopped,) = writer.write(prompts[:1], Asked(8, drawing=Drawing(0), stop=("id_0",)))
    assert (stopped.text, stopped.ended) == ("<extra_", "stop")
    drawn = writer.write(prompts[:1], Asked(8, samples=3, seed=4))
    assert drawn == writer.write(prompts[:1], Asked(8, samples=3, seed=4)) and len({text.text for text in drawn}) > 1
    assert len(writer.write(prompts[:1], Asked(8, beams=3, samples=3))) == 3


@pytest.mark.slow
def test_killed_between_checkpoints_it_ends_in_the_same_bits(make_t5: MakeDraft, tmp_path: Path) -> None:
    settings = tiny(steps=150, checkpoint_every=40, validate_every=50, accumulate=2)
    whole, broken = make_t5(tmp_path / "whole", **settings), make_t5(tmp_path / "broken", **settings)
    assert main([str(whole.path)]) == 0
    command = [sys.executable, "-m", "model.train", str(broken.path)]
    process = subprocess.Popen(command, env=os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}, stderr=subprocess.PIPE)
    wait_for_step(broken, 50, process)
    process.kill()
    process.communicate()
    assert broken.part("pretrain", "model") is None, "it was too quick to be killed"
    assert main([str(broken.path)]) == 0
    assert outcome(broken) == outcome(whole)


@pytest.mark.slow
def test_two_ranks_cut_the_samples_that_one_does(make_t5: MakeDraft, tmp_path: Path) -> None:
    """Losses of a whole batch are equal but for rounding, so each sample was cut alike; each rank's are the mean over its own."""
    settings = tiny(steps=4, precision="float32", optimizer={"name": "sgd"}, batch=8)
    alone, together = make_t5(tmp_path / "alone", **settings), make_t5(tmp_path / "together", **settings)
    assert main([str(alone.path)]) == 0
    process = launch(together, 2)
    assert process.wait() == 0, process.communicate()[1].decode()
    for one, two in zip(rows(alone), rows(together), strict=True):
        assert one["loss"] == pytest.approx(two["loss"], rel=1e-4)
        if "validation_loss" in one:
            assert one["validation_loss"] == pytest.approx(two["validation_loss"], rel=1e-4)


@pytest.mark.soak
def test_compiled_it_learns_the_same(make_t5: MakeDraft, tmp_path: Path) -> None:
    if problem := compiler_problem():
        pytest.skip(problem)
    found = []
    for compiled in (False, True):
        draft = make_t5(tmp_path / str(compiled), **tiny(precision="float32", optimizer={"name": "adamw"}, compile=compiled))
        assert main([str(draft.path)]) == 0
        assert outcome(draft)[2]["environment"]["compiled"] is compiled
        found.append([row["loss"] for row in rows(draft)])
    assert found[0] == pytest.approx(found[1], rel=1e-4)


def test_utilization_counts_what_is_read_and_what_is_written() -> None:
    """By hand, for 24 tokens that are read and 8 that are written: a layer of each side, and the head's 640 padded rows."""
    model = EncoderDecoderModel(recipe.EncoderDecoder.model_validate(T5), 608)
    attention, feed_forward = 4 * 32 * 32, 3 * 32 * 48
    read = 6 * (attention + feed_forward + 2 * 32 * 32) + 12 * 32 * 24
    written = 6 * (2 * attention - 2 * 32 * 32 + feed_forward + 640 * 32) + 12 * 32 * (24 + 8)
    inputs = Inputs((torch.zeros(4, 24), torch.zeros(4, 9)))
    assert operations_per_token(model, model.config, inputs) == read + round(written * 8 / 24)
