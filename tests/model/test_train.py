"""The model: a training run: it learns, leaves what it promises, stops when it must, and a broken run ends in the same bits."""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from model.checkpoint import load_model
from model.data import validation_streams
from model.generate import continue_text
from model.hardware import compiler_problem
from model.parallel import ranks
from model.train import EXIT_STOPPED, main
from model.validate import IGNORED, Validation, draw
from schemas.artifact import Artifact
from schemas.draft import Draft

MakeDraft = Callable[..., Draft]
TINY = {"layers": 1, "width": 32, "heads": 2, "kv_heads": 1, "ffn": 48, "context": 16}


def tiny(**changes: Any) -> dict[str, Any]:
    settings = {"model": TINY, "steps": 6, "batch": 4, "compile": False, "validate_every": 4, "validate_tokens": 600}
    settings |= {"checkpoint_every": 2, "keep_checkpoints": 9, "mix": {"zh": 2, "en": 1, "code": 1}, "optimizer": {"name": "muon"}}
    return settings | changes


def outcome(draft: Draft) -> tuple[bytes, bytes, dict[str, Any]]:
    part = draft.part("pretrain", "model")
    assert part is not None
    return (draft.path / "model.safetensors").read_bytes(), (draft.path / "metrics.jsonl").read_bytes(), dict(part.facts)


@pytest.fixture(scope="module", params=["bf16", "float32"])
def whole(request: pytest.FixtureRequest, make_draft: MakeDraft, tmp_path_factory: pytest.TempPathFactory) -> Draft:
    """A run that nobody disturbed, with a checkpoint after every step."""
    settings = tiny(precision=request.param, checkpoint_every=1)
    draft = make_draft(tmp_path_factory.mktemp("whole") / "draft", **settings)
    assert main([str(draft.path)]) == 0
    return draft


def test_a_run_leaves_its_model_and_its_metrics(whole: Draft, tokenizer_artifact: Artifact) -> None:
    part = whole.part("pretrain", "model")
    assert part is not None
    assert {file.role: file.path for file in part.files} == {
        "weights": "model.safetensors", "config": "config.json", "tokenizer": "tokenizer.json", "metrics": "metrics.jsonl",
    }  # fmt: skip
    rows = [json.loads(line) for line in (whole.path / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert [row["step"] for row in rows if "bits_per_byte" in row] == [4, 6]
    assert rows[-1]["tokens"] == part.facts["tokens"] == 6 * 4 * 16
    assert part.facts["validation_bits_per_byte"] == rows[-1]["bits_per_byte"]
    assert set(rows[-1]["bits_per_byte"]) == {"code", "en", "zh"}
    loaded, config = load_model(whole.path)
    assert loaded.vocab_size == config["vocab_size"] == 600 and config["eos_token_id"] == 1
    assert (whole.path / "tokenizer.json").read_bytes() == tokenizer_artifact.paths("tokenizer")[0].read_bytes()
    progress = [json.loads(line) for line in (whole.scratch() / "progress.jsonl").read_text().splitlines()]
    assert progress[-1] == {"done": 6, "total": 6, "unit": "steps", "note": "done"}
    assert main([str(whole.path)]) == 0


@pytest.mark.parametrize("step", [1, 2, 3, 4, 5, 6])
def test_a_run_resumed_at_any_boundary_ends_in_the_same_bits(whole: Draft, tmp_path: Path, step: int) -> None:
    shutil.copytree(whole.path, tmp_path / "draft")
    broken = Draft.open(tmp_path / "draft")
    for gone in ("parts", "model.safetensors", "config.json"):
        target = broken.path / gone
        shutil.rmtree(target) if target.is_dir() else target.unlink()
    for checkpoint in (broken.scratch() / "checkpoints").glob("step-*"):
        if int(checkpoint.name[5:]) > step:
            shutil.rmtree(checkpoint)
    with open(broken.scratch() / "metrics.jsonl", "a") as file:
        file.write('{"step": 99, "lo')
    assert main([str(broken.path)]) == 0
    assert outcome(broken) == outcome(whole)


def test_it_learns(make_draft: MakeDraft, tmp_path: Path) -> None:
    draft = make_draft(tmp_path / "draft", **tiny(steps=120, batch=8, checkpoint_every=1000, validate_every=60, precision="float32"))
    assert main([str(draft.path)]) == 0
    rows = [json.loads(line) for line in (draft.path / "metrics.jsonl").read_text().splitlines()]
    assert rows[0]["loss"] == pytest.approx(math.log(600), abs=0.1)
    assert sum(row["loss"] for row in rows[-10:]) / 10 < rows[0]["loss"] - 1
    assert all(rows[-1]["bits_per_byte"][lang] < rows[59]["bits_per_byte"][lang] for lang in ("en", "zh", "code"))


@pytest.mark.parametrize("key", ["ranks", "threads", "torch", "precision", "compiled", "cpu"])
def test_it_refuses_to_go_on_elsewhere(whole: Draft, tmp_path: Path, capsys: pytest.CaptureFixture[str], key: str) -> None:
    shutil.copytree(whole.path, tmp_path / "draft")
    shutil.rmtree(tmp_path / "draft/parts")
    state = tmp_path / "draft/work/checkpoints/step-00000006/state.json"
    changed = json.loads(state.read_text())
    changed["environment"][key] = "another"
    state.write_text(json.dumps(changed))
    assert main([str(tmp_path / "draft")]) == 1
    message = capsys.readouterr().err
    assert f"was made with {key} 'another'" in message and "remove" in message


def test_a_loss_that_is_not_finite_stops_the_run(make_draft: MakeDraft, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    draft = make_draft(tmp_path / "draft", **tiny(optimizer={"name": "adamw", "lr": 1e30, "weight_decay": 0}, schedule={"warmup": 0}))
    assert main([str(draft.path)]) == 1
    assert "step 2: the loss or the gradient norm is not finite" in capsys.readouterr().err
    assert draft.part("pretrain", "model") is None


def test_settings_that_do_not_fit_are_errors_first(make_draft: MakeDraft, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(make_draft(tmp_path / "a", **tiny(mix={"fr": 1})).path)]) == 1
    assert "mix: 'fr' has no block" in capsys.readouterr().err
    assert main([str(make_draft(tmp_path / "b", **tiny(steps=-1)).path)]) == 1
    assert "steps" in capsys.readouterr().err
    assert main([str(tmp_path / "c")]) == 1
    assert "is not a draft" in capsys.readouterr().err


def test_without_a_compiler_it_goes_on_and_says_so(
    make_draft: MakeDraft, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    draft = make_draft(tmp_path / "draft", **tiny(compile=True))
    assert main([str(draft.path)]) == 0
    assert capsys.readouterr().out == "training without torch.compile: there is no C++ compiler (no-such-compiler)\n"
    assert outcome(draft)[2]["environment"]["compiled"] is False


def test_a_compiler_that_fails_is_a_problem_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\necho fatal error: no headers >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("CXX", str(broken))
    problem = compiler_problem()
    assert problem is not None and problem.endswith("does not compile a trial: fatal error: no headers")


def test_the_finished_model_goes_on_from_a_prompt(whole: Draft) -> None:
    text = continue_text(whole.path, "def main(", max_new=8, temperature=0)
    assert text and text == continue_text(whole.path, "def main(", max_new=8, top_k=1, seed=4)
    assert isinstance(continue_text(whole.path, "", max_new=4), str)


@torch.no_grad()
def test_validation_counts_every_token_but_bos_over_the_bytes(whole: Draft, tokens_artifact: Artifact) -> None:
    model, _ = load_model(whole.path)
    streams = {"en": validation_streams(tokens_artifact, 0, 1)["en"]}
    with ranks(1) as group:
        found = Validation(streams, 300, 16, "key", group).bits_per_byte(model, torch.float32)["en"]
    sample = draw(streams["en"], 300, 16, "key/en/validation")
    nats = sum(
        float(F.cross_entropy(model(row[None])[0], target, ignore_index=IGNORED, reduction="sum"))
        for row, target in zip(sample.inputs, sample.targets, strict=True)
    )
    assert found == pytest.approx(nats / math.log(2) / sample.n_bytes, rel=1e-5)
    kept = sample.targets[sample.targets != IGNORED]
    assert 0 not in kept and int((kept == 1).sum()) > 1
    lengths = sorted(streams["en"].length(d) for d in range(streams["en"].documents))
    assert len(draw(streams["en"], 1, 16, "k").inputs.flatten()) == math.ceil(lengths[0] / 16) * 16


def launch(draft: Draft, count: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}", "-m", "model.train"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    return subprocess.Popen([*command, str(draft.path)], env=environment, stderr=subprocess.PIPE)


def wait_for_step(draft: Draft, step: int, process: subprocess.Popen[bytes]) -> None:
    metrics = draft.scratch() / "metrics.jsonl"
    while not (metrics.is_file() and metrics.read_bytes().count(b"\n") >= step):
        assert process.poll() is None, process.communicate()[1].decode()
        time.sleep(0.002)


def children(pid: int) -> list[int]:
    return [int(n) for n in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.slow
@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
def test_killed_between_checkpoints_it_ends_in_the_same_bits(make_draft: MakeDraft, tmp_path: Path, compiled: bool) -> None:
    settings = tiny(steps=120, checkpoint_every=30, validate_every=50, keep_checkpoints=2, compile=compiled)
    whole, broken = make_draft(tmp_path / "whole", **settings), make_draft(tmp_path / "broken", **settings)
    process = launch(whole, 2)
    assert process.wait() == 0, process.communicate()[1].decode()

    if compiled:
        shutil.copytree(whole.scratch() / "kernels", broken.scratch() / "kernels")
    process = launch(broken, 2)
    wait_for_step(broken, 70, process)
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


def alive(pid: int) -> bool:
    status = Path(f"/proc/{pid}/stat")
    try:
        return status.read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.slow
def test_sigterm_leaves_a_checkpoint_to_go_on_from(make_draft: MakeDraft, tmp_path: Path) -> None:
    settings = tiny(steps=150, checkpoint_every=1000)
    whole, stopped = make_draft(tmp_path / "whole", **settings), make_draft(tmp_path / "stopped", **settings)
    assert main([str(whole.path)]) == 0
    command = [sys.executable, "-m", "model.train", str(stopped.path)]
    process = subprocess.Popen(command, env=os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}, stderr=subprocess.PIPE)
    wait_for_step(stopped, 20, process)
    process.send_signal(signal.SIGTERM)
    message = process.communicate()[1].decode()
    assert process.returncode == EXIT_STOPPED, message
    assert "stopped by SIGTERM after step" in message
    assert len(list((stopped.scratch() / "checkpoints").glob("step-*/done"))) == 1
    assert main([str(stopped.path)]) == 0
    assert outcome(stopped) == outcome(whole)
