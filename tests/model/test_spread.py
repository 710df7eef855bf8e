"""The model: a run over many ranks: it goes on with another number of them when told that it may, and with its weights
whole or cut, which changes nothing but rounding."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from model.decoder import DecoderModel
from model.parallel import Ranks
from model.spread import choose, recompute
from model.train import main
from schemas.draft import Draft
from schemas.errors import RequestError
from schemas.recipe import Decoder
from tests.model.test_train import MakeDraft, interrupted, launch, outcome, tiny

FLOAT = {"precision": "float32", "validate_every": 20, "validate_tokens": 2000, "checkpoint_every": 5}


def rows(draft: Draft) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (draft.path / "metrics.jsonl").read_text().splitlines()]


def placed(draft: Draft, **run: Any) -> Draft:
    """The draft, to be run so."""
    task = draft.task
    draft.assign(inputs={role: Path(path) for role, path in task["inputs"].items()}, roots={}, run={**task["run"], **run})
    return draft


def train(draft: Draft, ranks: int) -> None:
    """Run a draft to its end."""
    if ranks == 1:
        assert main([str(draft.path)]) == 0
        return
    process = launch(draft, ranks)
    _, said = process.communicate()
    assert process.returncode == 0, said.decode()


def same_losses(one: Draft, other: Draft, within: float = 1e-5) -> None:
    """Within what rounding does in a short run."""
    pairs = list(zip(rows(one), rows(other), strict=True))
    for left, right in pairs:
        assert left["loss"] == pytest.approx(right["loss"], abs=within), left["step"]
        assert left["tokens"] == right["tokens"] and left["lr"] == right["lr"]


@pytest.fixture(scope="module", params=["adamw"])
def whole(request: pytest.FixtureRequest, make_draft: MakeDraft, tmp_path_factory: pytest.TempPathFactory) -> Draft:
    """A run of 60 steps on one rank."""
    settings = tiny(steps=60, batch=12, keep_checkpoints=60, optimizer={"name": request.param}, average={"decay": 0.9}, **FLOAT)
    draft = make_draft(tmp_path_factory.mktemp("whole") / "draft", **settings)
    train(draft, 1)
    return draft


def test_a_run_that_may_not_move_says_how_it_may(whole: Draft, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = interrupted(whole, tmp_path / "draft", 10)
    state = broken.scratch() / "checkpoints/step-00000010/state.json"
    changed = json.loads(state.read_text())
    changed["environment"]["ranks"] = 5
    state.write_text(json.dumps(changed))
    assert main([str(broken.path)]) == 1
    assert "was made with ranks 5, now it is 1, and the result would differ; go on with 5, set run.reshard: true" in capsys.readouterr().err


@pytest.mark.slow
def test_a_run_goes_on_cut_over_two_ranks_and_whole_on_one_again(whole: Draft, tmp_path: Path) -> None:
    moved(whole, tmp_path, ((10, 2, "fsdp"), (30, 1, "ddp")))


@pytest.mark.soak
@pytest.mark.parametrize("whole", ["adamw"], indirect=True)
def test_checkpoints_of_any_ranks_serve_any_other(whole: Draft, tmp_path: Path) -> None:
    moved(whole, tmp_path, ((5, 3, "ddp"), (15, 3, "fsdp"), (25, 2, "fsdp"), (35, 2, "ddp"), (40, 1, "fsdp"), (45, 2, "hsdp")))


@pytest.mark.soak
@pytest.mark.parametrize("whole", ["muon"], indirect=True)
def test_momentum_of_other_ranks_shares_is_found(whole: Draft, tmp_path: Path) -> None:
    moved(whole, tmp_path, ((10, 3, "ddp"), (20, 2, "ddp"), (30, 1, "ddp")))


def moved(whole: Draft, folder: Path, moves: Sequence[tuple[int, int, str]]) -> Draft:
    """Go on from these steps with so many ranks: the same samples, and losses that only rounding tells apart."""
    moving, told, before = whole, [], {"ranks": 1, "shard": "ddp"}
    for step, ranks, shard in moves:
        now = {"ranks": ranks, "shard": shard}
        told.append({"step": step, "from": {key: was for key, was in before.items() if was != now[key]}})
        moving = interrupted(moving, folder / f"after-{step}", step)
        train(placed(moving, reshard=True, shard=shard, recompute=True), ranks)
        before = now
    same_losses(whole, moving, 1e-4 if "muon" in str(whole.settings) else 1e-5)  # Muon orthogonalises in bf16, which rounding upsets more
    assert outcome(moving)[2]["moves"] == told
    assert "moves" not in outcome(whole)[2]
    return moving


@pytest.mark.soak
def test_models_that_are_cut_are_those_in_one_piece(tmp_path: Path) -> None:
    """Weights as drawn, gradients, validation, export and checkpoints, on four ranks; see `cut_on_ranks.py`."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=4", "-m", "tests.model.cut_on_ranks"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    done = subprocess.run([*command, str(tmp_path)], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("as one piece") == 5


@pytest.mark.soak
@pytest.mark.parametrize("kind", ["fsdp", "hsdp"])
@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
def test_a_cut_run_that_is_killed_ends_in_the_same_bits(make_draft: MakeDraft, tmp_path: Path, kind: str, compiled: bool) -> None:
    settings = tiny(steps=8, batch=8, accumulate=2, optimizer={"name": "adamw"}, average={"export": "beside"}, compile=compiled)
    settings |= {"validate_every": 3, "validate_tokens": 2000, "checkpoint_every": 4, "keep_checkpoints": 9}
    whole = placed(make_draft(tmp_path / "whole", **settings), shard=kind)
    train(whole, 2)
    broken = interrupted(whole, tmp_path / "broken", 4)
    train(placed(broken, shard=kind), 2)
    assert outcome(broken) == outcome(whole)


def test_how_it_is_spread_follows_from_memory_unless_it_is_said() -> None:
    def make() -> nn.Module:
        return nn.Linear(1000, 1000, bias=False)

    two = Ranks(0, 2)
    assert choose("auto", make, "adamw", two, memory=64_000_000) == "ddp"
    assert choose("auto", make, "adamw", two, memory=63_999_999) == "fsdp"
    assert choose("auto", make, "muon", two, memory=1) == "ddp"
    assert choose("auto", make, "adamw", Ranks(0, 1), memory=1) == "ddp"
    assert choose("hsdp", make, "adamw", two) == "hsdp"
    with pytest.raises(RequestError, match="run.shard: fsdp: muon orthogonalises whole matrices"):
        choose("fsdp", make, "muon", two)


@pytest.mark.parametrize("shape", [{}, {"family": "gpt2", "kv_heads": 2}])
def test_layers_that_compute_again_give_the_same_bits(shape: dict[str, Any]) -> None:
    config = Decoder.model_validate({"layers": 2, "width": 16, "heads": 2, "kv_heads": 1, "ffn": 24, "context": 8, **shape})
    grads = []
    for again in (False, True):
        torch.manual_seed(0)
        model = DecoderModel(config, 50)
        if again:
            recompute(model)
        model(torch.arange(16).view(2, 8)).square().mean().backward()
        grads.append({name: parameter.grad for name, parameter in model.named_parameters()})
    assert all(torch.equal(grad, grads[1][name]) for name, grad in grads[0].items())
