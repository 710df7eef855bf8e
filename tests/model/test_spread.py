"""The model: a run over many ranks: it goes on with another number of them when told that it may, and by itself when one dies."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from flows.launch import ChildFailed, run_child
from flows.steps import STEPS
from model.restarts import GAVE_UP
from model.train import main
from schemas.draft import Draft
from schemas.recipe import Run
from tests.model.test_train import MakeDraft, interrupted, launch, outcome, tiny

FLOAT = {"precision": "float32", "validate_every": 1000, "checkpoint_every": 1}


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
    settings = tiny(steps=60, batch=12, keep_checkpoints=60, optimizer={"name": request.param}, **FLOAT)
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
def test_a_checkpoint_of_one_rank_serves_two(whole: Draft, tmp_path: Path) -> None:
    moved(whole, tmp_path, ((10, 2),))


@pytest.mark.soak
@pytest.mark.parametrize("whole", ["adamw", "muon"], indirect=True)
def test_checkpoints_of_any_number_of_ranks_serve_any_other(whole: Draft, tmp_path: Path) -> None:
    moved(whole, tmp_path, ((10, 3), (20, 2), (30, 1)))


def moved(whole: Draft, folder: Path, moves: Sequence[tuple[int, int]]) -> None:
    """Go on from these steps with so many ranks: fifty steps of the same samples, and losses that only rounding tells apart."""
    moving = whole
    for step, ranks in moves:
        moving = interrupted(moving, folder / f"{ranks}-ranks", step)
        train(placed(moving, reshard=True), ranks)
    same_losses(whole, moving, 1e-4 if "muon" in str(whole.settings) else 1e-5)  # Muon orthogonalises in bf16, which rounding upsets more
    before = [1, *(ranks for _, ranks in moves)]
    assert outcome(moving)[2]["moves"] == [{"step": step, "from": {"ranks": was}} for (step, _), was in zip(moves, before, strict=False)]
    assert "moves" not in outcome(whole)[2]


def pretrain_command(draft: Draft, **run: Any) -> list[str]:
    """What `gristmill run` starts."""
    (step,) = [step for step in STEPS if step.name == "pretrain"]
    return step.command(draft.path.resolve(), Run(**run))


@pytest.mark.slow
def test_a_run_whose_rank_is_killed_goes_on_by_itself_so_many_times(make_draft: MakeDraft, tmp_path: Path) -> None:
    settings = tiny(steps=150, checkpoint_every=20, validate_every=1000, keep_checkpoints=2)
    quiet, killed = make_draft(tmp_path / "quiet", **settings), make_draft(tmp_path / "killed", **settings)
    run_child(pretrain_command(quiet), tmp_path / "log", lambda: None)
    killer = Killer(killed, [30, 70])
    with pytest.raises(ChildFailed, match="ended with exit code 1 .try 1."):
        run_child(pretrain_command(killed, restarts=1), tmp_path / "log", killer)
    assert killer.killed == 2 and killed.part("pretrain", "model") is None
    assert max(row["step"] for row in map(json.loads, (killed.scratch() / "metrics.jsonl").read_text().splitlines())) >= 70
    run_child(pretrain_command(killed), tmp_path / "log", lambda: None)
    assert outcome(killed) == outcome(quiet)


class Killer:
    """Kills a rank whenever the run has come so far."""

    def __init__(self, draft: Draft, steps: list[int]) -> None:
        self._draft, self._steps, self.killed = draft, steps, 0

    def __call__(self) -> None:
        metrics = self._draft.scratch() / "metrics.jsonl"
        if self.killed < len(self._steps) and metrics.is_file() and metrics.read_bytes().count(b"\n") >= self._steps[self.killed]:
            os.kill(ranks_of(self._draft)[-1], signal.SIGKILL)
            self.killed += 1


def ranks_of(draft: Draft) -> list[int]:
    """Processes that train a draft."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"model.train" in command and str(draft.path.resolve()).encode() in command and b"torch.distributed.run" not in command:
            found.append(int(process.name))
    return sorted(found)


@pytest.mark.slow
def test_an_error_that_a_person_must_act_on_is_told_once_and_not_tried_again(make_draft: MakeDraft, tmp_path: Path) -> None:
    settings = tiny(optimizer={"name": "adamw", "lr": 1e30, "weight_decay": 0}, schedule={"warmup": 0})
    draft = make_draft(tmp_path / "draft", **settings)
    with pytest.raises(ChildFailed, match="\nerror: step 2: the loss or the gradient norm is not finite"):
        run_child(pretrain_command(draft, restarts=1), tmp_path / "log", lambda: None)
    assert (tmp_path / "log").read_text().count("error: step 2") == 1
    assert (draft.scratch() / GAVE_UP).is_file()


@pytest.mark.slow
def test_cut_over_two_ranks_it_learns_the_same_and_its_checkpoints_serve_both(make_draft: MakeDraft, tmp_path: Path) -> None:
    """fsdp against ddp, then each goes on from the other's checkpoint."""
    settings = tiny(steps=30, batch=8, accumulate=2, keep_checkpoints=60, optimizer={"name": "adamw"}, average={"decay": 0.5}, **FLOAT)
    settings |= {"validate_every": 15, "validate_tokens": 2000}
    whole, cut = (placed(make_draft(tmp_path / kind, **settings), shard=kind) for kind in ("ddp", "fsdp"))
    train(whole, 2)
    train(cut, 2)
    same_losses(whole, cut)
    assert outcome(cut)[2]["environment"]["shard"] == "fsdp" and "shard" not in outcome(whole)[2]["environment"]
    for start, kind, step in ((whole, "fsdp", 10), (cut, "ddp", 20)):
        moving = interrupted(start, tmp_path / f"to-{kind}", step)
        train(placed(moving, shard=kind, reshard=True, recompute=True), 2)
        same_losses(whole, moving)
        assert outcome(moving)[2]["moves"] == [{"step": step, "from": {"shard": {"fsdp": "ddp", "ddp": "fsdp"}[kind]}}]
    resumed = interrupted(cut, tmp_path / "resumed", 20)
    train(placed(resumed, shard="fsdp"), 2)
    assert outcome(resumed) == outcome(cut)
