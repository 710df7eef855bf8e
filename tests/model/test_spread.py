"""The model: a run over many ranks: it goes on with another number of them when told that it may, and by itself when one dies."""

from __future__ import annotations

import json
import os
import signal
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


def same_losses(one: Draft, other: Draft) -> None:
    """Within what rounding does in a short run."""
    pairs = list(zip(rows(one), rows(other), strict=True))
    for left, right in pairs:
        assert left["loss"] == pytest.approx(right["loss"], abs=1e-5), left["step"]
        assert left["tokens"] == right["tokens"] and left["lr"] == right["lr"]


@pytest.fixture(scope="module", params=["adamw", "muon"])
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
def test_checkpoints_of_any_number_of_ranks_serve_any_other(whole: Draft, tmp_path: Path) -> None:
    """One rank, then three, then two, then one: fifty steps of the same samples, and losses that rounding tells apart."""
    moving = whole
    for step, ranks in ((10, 3), (20, 2), (30, 1)):
        moving = interrupted(moving, tmp_path / f"{ranks}-ranks", step)
        train(placed(moving, reshard=True), ranks)
    same_losses(whole, moving)
    facts = outcome(moving)[2]
    assert facts["moves"] == [{"step": step, "from": {"ranks": was}} for step, was in ((10, 1), (20, 3), (30, 2))]
    assert "moves" not in outcome(whole)[2]


def pretrain_command(draft: Draft, **run: Any) -> list[str]:
    """What `gristmill run` starts."""
    (step,) = [step for step in STEPS if step.name == "pretrain"]
    return step.command(draft.path.resolve(), Run(**run))


@pytest.mark.slow
def test_a_run_whose_rank_is_killed_goes_on_by_itself_a_number_of_times(make_draft: MakeDraft, tmp_path: Path) -> None:
    settings = tiny(steps=150, checkpoint_every=20, validate_every=1000, keep_checkpoints=2)
    quiet, killed, lost = (make_draft(tmp_path / name, **settings) for name in ("quiet", "killed", "lost"))
    run_child(pretrain_command(quiet), tmp_path / "log", lambda: None)
    killer = Killer(killed, [50])
    run_child(pretrain_command(killed, restarts=1), tmp_path / "log", killer)
    assert killer.killed == 1
    assert outcome(killed) == outcome(quiet)

    killer = Killer(lost, [30, 70])
    with pytest.raises(ChildFailed, match="Signal 9 .SIGKILL. received"):
        run_child(pretrain_command(lost, restarts=1), tmp_path / "log", killer)
    assert killer.killed == 2 and lost.part("pretrain", "model") is None
    assert json.loads((lost.scratch() / "checkpoints/step-00000060/state.json").read_text())["step"] == 60


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
