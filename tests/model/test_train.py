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
from model.generate import Asked, Drawing, Writer
from model.hardware import compiler_problem
from model.parallel import ranks
from model.stream import validation_streams
from model.text import Special
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
    broken = interrupted(whole, tmp_path / "draft", step)
    assert main([str(broken.path)]) == 0
    assert outcome(broken) == outcome(whole)


def interrupted(draft: Draft, folder: Path, step: int) -> Draft:
    """A copy of a finished draft as a kill after the checkpoint of ``step`` would have left it."""
    shutil.copytree(draft.path, folder)
    broken = Draft.open(folder)
    for gone in ("parts", "model.safetensors", "config.json"):
        target = broken.path / gone
        shutil.rmtree(target) if target.is_dir() else target.unlink()
    for checkpoint in (broken.scratch() / "checkpoints").glob("step-*"):
        if int(checkpoint.name[5:]) > step:
            shutil.rmtree(checkpoint)
    with open(broken.scratch() / "metrics.jsonl", "a") as file:
        file.write('{"step": 99, "lo')
    return broken


def test_it_learns(make_draft: MakeDraft, tmp_path: Path) -> None:
    draft = make_draft(tmp_path / "draft", **tiny(steps=120, batch=8, checkpoint_every=1000, validate_every=60, precision="float32"))
    assert main([str(draft.path)]) == 0
    rows = [json.loads(line) for line in (draft.path / "metrics.jsonl").read_text().splitlines()]
    assert rows[0]["loss"] == pytest.approx(math.log(600), abs=0.1)
    assert sum(row["loss"] for row in rows[-10:]) / 10 < rows[0]["loss"] - 1
    assert all(rows[-1]["bits_per_byte"][lang] < rows[59]["bits_per_byte"][lang] for lang in ("en", "zh", "code"))


@pytest.mark.parametrize("shape", [{"qk_norm": True, "head_width": 8}, {"family": "gpt2", "kv_heads": 2}], ids=["qk_norm", "gpt2"])
@pytest.mark.parametrize("packing", ["concat", "best_fit"])
def test_every_shape_learns(make_draft: MakeDraft, tmp_path: Path, shape: dict[str, Any], packing: str) -> None:
    settings = tiny(model=TINY | shape, steps=40, checkpoint_every=1000, validate_every=40, optimizer={"lr": 1e-2})
    draft = make_draft(tmp_path / "draft", **settings, packing=packing, document_mask=packing != "concat")
    assert main([str(draft.path)]) == 0
    rows = [json.loads(line) for line in (draft.path / "metrics.jsonl").read_text().splitlines()]
    assert sum(row["loss"] for row in rows[-5:]) / 5 < rows[0]["loss"] - 0.3
    loaded, _ = load_model(draft.path)
    assert loaded.config.as_json().items() >= shape.items()


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
    writer = Writer(whole.path)
    (greedy,) = writer.write(["def main("], Asked(8, drawing=Drawing(0)))
    (drawn,) = writer.write(["def main("], Asked(8, drawing=Drawing(top_k=1), seed=4))
    assert greedy.text and greedy == drawn
    assert writer.write([""], Asked(4))[0].tokens


@torch.no_grad()
def test_validation_counts_every_token_but_bos_over_the_bytes(whole: Draft, tokens_artifact: Artifact) -> None:
    model, _ = load_model(whole.path)
    streams = {"en": validation_streams(tokens_artifact.path, Special(0, 1))["en"]}
    with ranks(1) as group:
        found = Validation(streams, 300, 16, "key", group, masked=False).by_language(model, torch.float32)["en"]
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


@torch.no_grad()
def test_masked_validation_reads_every_document_alone(whole: Draft, tokens_artifact: Artifact) -> None:
    model, _ = load_model(whole.path)
    stream = validation_streams(tokens_artifact.path, Special(0, 1))["en"]
    sample = draw(stream, 300, 16, "key/en/validation")
    with ranks(1) as group:
        found = Validation({"en": stream}, 300, 16, "key", group, masked=True).by_language(model, torch.float32)["en"]
    nats = 0.0
    for inputs, targets, documents in zip(sample.inputs, sample.targets, sample.documents, strict=True):
        for number in documents.unique().tolist():
            own = documents == number
            nats += float(F.cross_entropy(model(inputs[own][None])[0], targets[own], ignore_index=IGNORED, reduction="sum"))
    assert found == pytest.approx(nats / math.log(2) / sample.n_bytes, rel=1e-5)


PHASED: dict[str, Any] = {
    "phases": [{"step": 2, "mix": {"zh/*": 1}, "batch": 8}, {"step": 4, "context": 8}, {"step": 5, "mix": {}, "context": 16}],
    "packing": "best_fit",
    "document_mask": True,
}


@pytest.fixture(scope="module")
def phased(make_draft: MakeDraft, tmp_path_factory: pytest.TempPathFactory) -> Draft:
    """A run through changes of mix, batch and window, over packs, with a checkpoint after every step."""
    draft = make_draft(tmp_path_factory.mktemp("phased") / "draft", **tiny(checkpoint_every=1, **PHASED))
    assert main([str(draft.path)]) == 0
    return draft


@pytest.mark.parametrize("step", [1, 2, 3, 4, 5])
def test_a_run_resumed_at_any_boundary_of_phases_ends_in_the_same_bits(phased: Draft, tmp_path: Path, step: int) -> None:
    broken = interrupted(phased, tmp_path / "draft", step)
    assert main([str(broken.path)]) == 0
    assert outcome(broken) == outcome(phased)
    rows = [json.loads(line) for line in (broken.path / "metrics.jsonl").read_text().splitlines()]
    assert [row["tokens"] for row in rows] == [64, 128, 256, 384, 448, 576]
    assert set(outcome(broken)[2]["epochs"]) == {"code/code", "en/en", "zh/zh"}


def test_a_checkpoint_of_other_data_is_refused(phased: Draft, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = interrupted(phased, tmp_path / "draft", 3)
    state = tmp_path / "draft/work/checkpoints/step-00000003/state.json"
    changed = json.loads(state.read_text())
    changed["loader"]["tokens"] = "another"
    state.write_text(json.dumps(changed))
    assert main([str(broken.path)]) == 1
    assert "the loader's state at step 3 is of other tokens (tokens another, here " in capsys.readouterr().err


def test_a_run_by_epochs_ends_before_any_text_is_read_more_often(make_draft: MakeDraft, tmp_path: Path) -> None:
    settings = tiny(epochs=0.05, checkpoint_every=1000, validate_every=1000)
    del settings["steps"]
    draft = make_draft(tmp_path / "draft", **settings)
    assert main([str(draft.path)]) == 0
    facts = outcome(draft)[2]
    assert facts["steps"] > 1 and 0.03 < max(facts["epochs"].values()) <= 0.05


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [PHASED, {"packing": "best_fit"}, {"document_mask": True, "accumulate": 2}],
    ids=["phases", "packs", "mask and micro-batches"],
)
def test_two_ranks_weigh_every_token_as_one_rank_does(make_draft: MakeDraft, tmp_path: Path, changes: dict[str, Any]) -> None:
    """Filling falls unevenly on ranks; the losses and weights must not depend on where."""
    settings = tiny(precision="float32", optimizer={"name": "adamw"}, **changes)
    alone, together = make_draft(tmp_path / "alone", **settings), make_draft(tmp_path / "together", **settings)
    assert main([str(alone.path)]) == 0
    process = launch(together, 2)
    assert process.wait() == 0, process.communicate()[1].decode()
    for one, two in zip(*(outcome(draft)[1].splitlines() for draft in (alone, together)), strict=True):
        assert json.loads(one)["loss"] == pytest.approx(json.loads(two)["loss"], rel=1e-4)


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
def test_two_compiled_ranks_killed_end_in_the_same_bits(make_draft: MakeDraft, tmp_path: Path) -> None:
    settings = tiny(steps=120, checkpoint_every=30, validate_every=50, compile=True)
    whole, broken = make_draft(tmp_path / "whole", **settings), make_draft(tmp_path / "broken", **settings)
    process = launch(whole, 2)
    assert process.wait() == 0, process.communicate()[1].decode()
    assert outcome(whole)[2]["environment"]["compiled"] is (compiler_problem() is None)

    shutil.copytree(whole.scratch() / "kernels", broken.scratch() / "kernels")
    process = launch(broken, 2)
    wait_for_step(broken, 70, process)
    process.send_signal(signal.SIGKILL)
    process.wait()
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
