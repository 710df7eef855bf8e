"""The model: what a recipe may ask of pretraining beside its defaults: every optimizer and schedule resumes to the bit,
micro-batches change nothing but memory, averages are validated and exported, and a step that is not finite is skipped by all."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from model.backward import Backward
from model.checkpoint import load_model
from model.data import Batch
from model.speed import operations_per_token
from model.train import main
from schemas.draft import Draft
from schemas.recipe import Pretrain
from tests.model.test_train import MakeDraft, alive, children, interrupted, launch, outcome, tiny, wait_for_step

MASKED = {"packing": "best_fit", "document_mask": True}


def rows(draft: Draft) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (draft.path / "metrics.jsonl").read_text().splitlines()]


OPTIONS: dict[str, dict[str, Any]] = {
    "adam-cosine": {"optimizer": {"name": "adam"}, "schedule": {"name": "cosine", "final": 0.1}, "accumulate": 2},
    "sgd-linear": {"optimizer": {"name": "sgd"}, "schedule": {"name": "linear"}, "average": {"decay": 0.5}, **MASKED},
    "sgd-plain": {"optimizer": {"name": "sgd", "momentum": 0}, "schedule": {"name": "constant"}, "z_loss": 1e-3},
    "adagrad-constant": {"optimizer": {"name": "adagrad"}, "schedule": {"name": "constant"}, "average": {"export": "beside"}},
    "adamw-inverse": {"optimizer": {"name": "adamw"}, "schedule": {"name": "inverse_sqrt"}, "loss_chunk": 24, "accumulate": 4, **MASKED},
}


@pytest.mark.parametrize("name", OPTIONS)
def test_a_run_killed_anywhere_ends_in_the_same_bits(make_draft: MakeDraft, tmp_path: Path, name: str) -> None:
    whole = make_draft(tmp_path / "whole", **tiny(checkpoint_every=1, **OPTIONS[name]))
    assert main([str(whole.path)]) == 0
    for step in random.Random(name).sample(range(1, 6), 2):
        broken = interrupted(whole, tmp_path / f"after-{step}", step)
        assert main([str(broken.path)]) == 0
        assert outcome(broken) == outcome(whole), step


@pytest.mark.slow
def test_two_ranks_killed_between_checkpoints_end_in_the_same_bits(make_draft: MakeDraft, tmp_path: Path) -> None:
    settings = tiny(steps=60, checkpoint_every=20, validate_every=50, batch=8, accumulate=2, z_loss=1e-4, average={}, **MASKED)
    whole, broken = make_draft(tmp_path / "whole", **settings), make_draft(tmp_path / "broken", **settings)
    process = launch(whole, 2)
    assert process.wait() == 0, process.communicate()[1].decode()
    process = launch(broken, 2)
    wait_for_step(broken, 33, process)
    workers = children(process.pid)
    assert len(workers) >= 2
    process.send_signal(signal.SIGKILL)
    process.wait()
    deadline = time.monotonic() + 20
    while any(alive(pid) for pid in workers):
        assert time.monotonic() < deadline, "ranks outlived torchrun"
        time.sleep(0.05)
    assert broken.part("pretrain", "model") is None, "it was too quick to be killed"
    process = launch(broken, 2)
    assert process.wait() == 0, process.communicate()[1].decode()
    assert outcome(broken) == outcome(whole)


@pytest.mark.parametrize("changes", [{}, MASKED, {"loss_chunk": 10, "z_loss": 1e-3, **MASKED}], ids=["blocks", "masked", "chunks"])
def test_micro_batches_give_the_same_losses_norms_and_weights(make_draft: MakeDraft, tmp_path: Path, changes: dict[str, Any]) -> None:
    """Rows have unequal numbers of tokens to predict; no token may weigh more for that."""
    found = []
    for parts in (1, 4):
        settings = tiny(precision="float32", optimizer={"name": "sgd"}, accumulate=parts, **changes)
        draft = make_draft(tmp_path / str(parts), **settings)
        assert main([str(draft.path)]) == 0
        found.append((rows(draft), load_model(draft.path)[0].state_dict()))
    (whole, weights), (parted, other_weights) = found
    for one, other in zip(whole, parted, strict=True):
        assert one["tokens"] == other["tokens"]
        assert other["loss"] == pytest.approx(one["loss"], rel=1e-5)
        assert other["grad_norm"] == pytest.approx(one["grad_norm"], rel=1e-3)
    for name, weight in weights.items():
        torch.testing.assert_close(other_weights[name], weight, rtol=1e-3, atol=1e-5)


def test_a_batch_that_does_not_divide_is_an_error_first(make_draft: MakeDraft, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(make_draft(tmp_path / "draft", **tiny(accumulate=3)).path)]) == 1
    assert "4 samples of a rank do not divide into 3 micro-batches" in capsys.readouterr().err


def test_the_z_loss_is_minimised_and_not_told(make_draft: MakeDraft, tmp_path: Path) -> None:
    """The first loss is the cross entropy that it is without, and what it leads to is another model."""
    plain, penalised = (make_draft(tmp_path / str(z), **tiny(steps=2, precision="float32", z_loss=z)) for z in (0.0, 1.0))
    assert main([str(plain.path)]) == main([str(penalised.path)]) == 0
    assert rows(penalised)[0]["loss"] == pytest.approx(rows(plain)[0]["loss"], rel=1e-6)
    assert rows(penalised)[0]["grad_norm"] != pytest.approx(rows(plain)[0]["grad_norm"], rel=0.01)
    assert rows(penalised)[1]["loss"] != pytest.approx(rows(plain)[1]["loss"], rel=1e-5)


def test_an_average_is_the_model_or_stands_beside_it(make_draft: MakeDraft, tmp_path: Path) -> None:
    plain = make_draft(tmp_path / "plain", **tiny())
    beside = make_draft(tmp_path / "beside", **tiny(average={"decay": 0.5, "export": "beside"}))
    instead = make_draft(tmp_path / "instead", **tiny(average={"decay": 0.5}))
    assert main([str(plain.path)]) == main([str(beside.path)]) == main([str(instead.path)]) == 0
    own, average = outcome(plain)[0], outcome(instead)[0]
    assert own != average
    assert outcome(beside)[0] == own and (beside.path / "average/model.safetensors").read_bytes() == average
    assert load_model(beside.path / "average")[0].vocab_size == 600
    part = beside.part("pretrain", "model")
    assert part is not None and {"average_weights", "average_config", "weights"} <= {file.role for file in part.files}
    assert rows(beside)[3]["bits_per_byte"] == rows(plain)[3]["bits_per_byte"]
    assert rows(beside)[3]["average_bits_per_byte"] == rows(instead)[3]["bits_per_byte"] != rows(plain)[3]["bits_per_byte"]


def damage(monkeypatch: pytest.MonkeyPatch, calls: range) -> None:
    """Make the losses of some backward passes, dry ones included, not a number, as an overflow would."""
    count, plain = iter(range(10**9)), Backward.__call__

    def sometimes(self: Backward, batch: Batch) -> torch.Tensor:
        return plain(self, batch) * (float("nan") if next(count) in calls else 1)

    monkeypatch.setattr(Backward, "__call__", sometimes)


def test_a_skipped_step_is_counted_and_the_run_resumes_to_the_bit(
    make_draft: MakeDraft, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = tiny(checkpoint_every=1, on_nonfinite="skip", optimizer={"name": "adamw"}, average={"decay": 0.5})
    whole = make_draft(tmp_path / "whole", **settings)
    with monkeypatch.context() as patch:
        damage(patch, range(2 + 1, 2 + 3))
        assert main([str(whole.path)]) == 0
    assert "step 3: the loss or the gradient norm is not finite, so no update was made; the run goes on" in capsys.readouterr().out
    assert [row.get("skipped") for row in rows(whole)] == [None, 1, 2, None, None, None]
    assert [row["loss"] is None for row in rows(whole)] == [False, True, True, False, False, False]
    assert outcome(whole)[2]["skipped_steps"] == 2
    broken = interrupted(whole, tmp_path / "broken", 3)
    assert main([str(broken.path)]) == 0
    assert outcome(broken) == outcome(whole)


def test_a_run_that_stays_wrong_ends(
    make_draft: MakeDraft, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    damage(monkeypatch, range(4, 10**6))
    draft = make_draft(tmp_path / "draft", **tiny(steps=30, on_nonfinite="skip", checkpoint_every=99, validate_every=99))
    assert main([str(draft.path)]) == 1
    assert "step 13: the loss or the gradient norm is not finite, so no update was made, nor at the 10 steps" in capsys.readouterr().err


ONE_RANK_DAMAGED = """
import os, sys, itertools
from model.backward import Backward
from model.train import main
count, plain = itertools.count(), Backward.__call__
damaged = os.environ["RANK"] == "1"
Backward.__call__ = lambda self, batch: plain(self, batch) * (float("inf") if damaged and next(count) == 4 else 1)
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.slow
def test_all_ranks_skip_what_is_not_finite_on_one(make_draft: MakeDraft, tmp_path: Path) -> None:
    """Else weights would differ between ranks, and Muon's ranks would wait for each other for ever."""
    script = tmp_path / "damaged.py"
    script.write_text(ONE_RANK_DAMAGED)
    draft = make_draft(tmp_path / "draft", **tiny(on_nonfinite="skip"))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(script), str(draft.path)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert [row.get("skipped") for row in rows(draft)] == [None, None, 1, None, None, None]
    assert done.stdout.count("the run goes on with the next batch") == 1


def test_a_run_tells_its_speed_beside_its_content(make_draft: MakeDraft, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("model.record.SPEED_SECONDS", 0.0)
    draft = make_draft(tmp_path / "draft", **tiny())
    assert main([str(draft.path)]) == 0
    measured = [json.loads(line) for line in (draft.scratch() / "speed.jsonl").read_text().splitlines()]
    told = json.loads((draft.scratch() / "run-facts.json").read_text())
    model, _ = load_model(draft.path)
    matrices = 640 * 32 + 32 * (32 + 16 + 16 + 32 + 3 * 48)  # the head, padded to 640 rows, and one layer
    assert len(measured) == 5 and operations_per_token(model, model.config) == 6 * matrices + 12 * 32 * 16
    for row in measured:
        share = row["tokens_per_second"] * operations_per_token(model, model.config) / told["matmul_operations_per_second"]
        assert row["utilization"] == pytest.approx(share, abs=2e-4) and row["peak_bytes"] > 1 << 20
    assert set(told) == {"matmul_operations_per_second", "operations_per_token", "peak_bytes", "tokens_per_second", "utilization"}
    assert told["operations_per_token"] == operations_per_token(model, model.config)
    assert not {"tokens_per_second", "utilization"} & set(rows(draft)[-1])


def test_a_recipe_of_before_has_the_identity_of_before() -> None:
    before: dict[str, Any] = {
        "model": {"layers": 4, "width": 256, "heads": 4, "kv_heads": 4, "ffn": 688, "context": 128, "rope_theta": 10000.0,
                  "norm_eps": 1e-05, "tie_embeddings": True},
        "steps": 1000, "epochs": None, "batch": 16, "mix": {}, "phases": [], "packing": "concat", "document_mask": False,
        "optimizer": {"name": "muon", "lr": 0.003, "muon_lr": 0.002, "weight_decay": 0.1, "betas": [0.9, 0.95], "clip": 1.0},
        "schedule": {"warmup": 0.05, "decay": 0.5, "final": 0.0},
        "precision": "bf16", "compile": True, "validate_every": 200, "validate_tokens": 32768, "checkpoint_every": 200,
        "keep_checkpoints": 2, "seed": 0,
    }  # fmt: skip
    assert Pretrain.model_validate(before).as_json() == before
    for changes in OPTIONS.values():
        settings = Pretrain.model_validate(before | changes)
        told = settings.as_json()
        assert told != before and Pretrain.model_validate(told) == settings
