"""The model: a run that is killed, anywhere, and started again, ends in the same bits: with every optimizer and schedule, at every kind of
*moment*, during a save too, and at every number of ranks and threads. (The other options of pretraining: test_train_options.py.)
"""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import sys
from pathlib import Path
from typing import Any, get_args

import pytest

from model.data import training_batches
from model.phases import Stage
from model.text import Special
from model.train import main
from schemas import recipe
from schemas.artifact import Artifact
from schemas.draft import Draft
from tests.model.conftest import MakeDraft, commit_tokens, small_documents
from tests.model.test_train import interrupted, launch, outcome, tiny, wait_for_step

OPTIMIZERS = get_args(recipe.Optimizer.model_fields["name"].annotation)
SCHEDULES = get_args(recipe.Schedule.model_fields["name"].annotation)
MOMENTS = {"in the first steps": 0, "in the warm-up": 1, "before an epoch's end": 4, "behind an epoch's end": 5, "at the last step": 6}
"""Steps that the newest checkpoint has when the run goes on: of six, the first three of them warming up, the fifth ending an epoch."""


@pytest.fixture(scope="module")
def short(tokenizer_artifact: Artifact, tmp_path_factory: pytest.TempPathFactory) -> MakeDraft:
    """Drafts on so little text that an epoch ends in the fifth step."""
    documents = [document for document in small_documents() if document[0] == "zh"][:5]
    tokens = commit_tokens(tmp_path_factory.mktemp("short") / "tokens", documents, tokenizer_artifact, shards=1)
    assert training_batches(tokens.path, [Stage(0, 4, 16, {})], 0, Special(0, 1)).phases.steps_within(1) == 4
    return MakeDraft(tokens, tokenizer_artifact)


def settings(**changes: Any) -> dict[str, Any]:
    return tiny(mix={}, validate_every=3, validate_tokens=100, checkpoint_every=1, **changes)


def combined(optimizer: str, schedule: str) -> dict[str, Any]:
    return settings(optimizer={"name": optimizer}, schedule={"name": schedule, "warmup": 0.5})


def assert_resumes(make: MakeDraft, folder: Path, asked: dict[str, Any], steps: list[int]) -> None:
    whole = make(folder / "whole", **asked)
    assert main([str(whole.path)]) == 0
    for step in steps:
        broken = interrupted(whole, folder / str(step), step)
        assert main([str(broken.path)]) == 0
        assert outcome(broken) == outcome(whole), step


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_and_schedule_resumes_to_the_bit(short: MakeDraft, tmp_path: Path, optimizer: str, schedule: str) -> None:
    """Each pair at one moment, so that each optimizer, and each schedule, meets every moment; for all at all, see the next test."""
    number = OPTIMIZERS.index(optimizer) + SCHEDULES.index(schedule)
    assert_resumes(short, tmp_path, combined(optimizer, schedule), [list(MOMENTS.values())[number % len(MOMENTS)]])


@pytest.mark.soak
@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_and_schedule_resumes_at_every_step(short: MakeDraft, tmp_path: Path, optimizer: str, schedule: str) -> None:
    assert_resumes(short, tmp_path, combined(optimizer, schedule), list(range(7)))


CHANGES = {"open", "os.link", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.truncate"}
"""What Python tells its audit hooks of work on files."""
LEAST = 50
"""Such operations on checkpoints that three saves take at least."""


def killed(draft: Draft, after: int, below: str = "checkpoints") -> bool:
    """Run the draft in a child that is killed, as by kill -9, before the file operation number ``after`` on files ``below`` its
    scratch; False if it came to its end first."""
    child = os.fork()
    if child == 0:
        count, folder = itertools.count(), str(draft.scratch() / below)

        def kill(event: str, arguments: tuple[Any, ...]) -> None:
            if event in CHANGES and str(arguments[0]).startswith(folder) and next(count) == after:
                os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(kill)
        try:
            main([str(draft.path)])
        finally:
            os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def assert_resumes_after_a_kill(make: MakeDraft, whole: Draft, folder: Path, asked: dict[str, Any], after: int) -> bool:
    """Whether there was such an operation."""
    broken = make(folder / f"killed-{after}", **asked)
    was_killed = killed(broken, after)
    assert (broken.part("pretrain", "model") is None) == was_killed
    assert main([str(broken.path)]) == 0
    assert outcome(broken) == outcome(whole), after
    return was_killed


SAVING = settings(optimizer={"name": "muon"}) | {"checkpoint_every": 2, "keep_checkpoints": 1}


@pytest.fixture(scope="module")
def saving(short: MakeDraft, tmp_path_factory: pytest.TempPathFactory) -> Draft:
    """A run that nobody killed, with three checkpoints, of which it keeps one."""
    draft = short(tmp_path_factory.mktemp("saving") / "draft", **SAVING)
    assert main([str(draft.path)]) == 0
    return draft


def test_killed_between_the_files_of_a_save_it_ends_in_the_same_bits(short: MakeDraft, saving: Draft, tmp_path: Path) -> None:
    for after in random.Random(5).sample(range(LEAST), 7):
        assert assert_resumes_after_a_kill(short, saving, tmp_path, SAVING, after)


@pytest.mark.soak
def test_killed_at_any_file_operation_of_a_save_it_ends_in_the_same_bits(short: MakeDraft, saving: Draft, tmp_path: Path) -> None:
    after = 0
    while assert_resumes_after_a_kill(short, saving, tmp_path, SAVING, after):
        after += 1
    assert after >= LEAST, "fewer operations than there were: is the hook still told of them?"


def shared(make: MakeDraft, folder: Path, ranks: int, threads: int, **changes: Any) -> Draft:
    """A draft for so many ranks and threads."""
    asked = tiny(batch=12, steps=60, checkpoint_every=20, validate_every=50, keep_checkpoints=2, packing="best_fit", document_mask=True)
    draft = make(folder, **asked | changes)
    inputs = {role: Path(path) for role, path in draft.task["inputs"].items()}
    draft.assign(inputs=inputs, roots={}, run={"ranks": ranks, "threads_per_rank": threads})
    return draft


def finish(draft: Draft, ranks: int) -> None:
    process = launch(draft, ranks)
    assert process.wait() == 0, process.communicate()[1].decode()


@pytest.mark.soak
@pytest.mark.parametrize(("ranks", "threads"), [(2, 1), (1, 2), (2, 2), (3, 1)], ids=["2x1", "1x2", "2x2", "3x1"])
def test_killed_at_any_ranks_and_threads_it_ends_in_the_same_bits(make_draft: MakeDraft, tmp_path: Path, ranks: int, threads: int) -> None:
    whole, broken = (shared(make_draft, tmp_path / name, ranks, threads) for name in ("whole", "broken"))
    finish(whole, ranks)
    process = launch(broken, ranks)
    wait_for_step(broken, random.Random(ranks + threads).randrange(21, 39), process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert broken.part("pretrain", "model") is None, "it was too quick to be killed"
    finish(broken, ranks)
    assert outcome(broken) == outcome(whole)


@pytest.mark.soak
@pytest.mark.parametrize("changes", [{}, {"accumulate": 2}, {"accumulate": 4}], ids=["whole", "halves", "quarters"])
def test_losses_do_not_depend_on_ranks_or_micro_batches(make_draft: MakeDraft, tmp_path: Path, changes: dict[str, Any]) -> None:
    """For 50 steps in float32; that samples are the same, and in the same order: test_data.py."""
    found = []
    for ranks in (1, 3):
        asked = {"precision": "float32", "steps": 50, "optimizer": {"name": "adamw"}, **(changes if ranks == 3 else {})}
        draft = shared(make_draft, tmp_path / str(ranks), ranks, 1, **asked)
        finish(draft, ranks)
        found.append([json.loads(line)["loss"] for line in (draft.path / "metrics.jsonl").read_text().splitlines()])
    assert found[0] == pytest.approx(found[1], abs=1e-5)
