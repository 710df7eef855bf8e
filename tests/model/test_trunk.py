"""The model: a trunk is the run as it was before its decay, to the bit, whatever ranks there were and however often it was killed; and what
goes on from it takes the step that the run would have taken."""

from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed.checkpoint as dcp
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import Tensor

from model.parallel import ranks
from model.schedule import decay_begins, lr_scale
from model.train import main
from model.trainer import Trainer
from schemas.artifact import Artifact
from schemas.draft import Draft
from schemas.recipe import Challenger, Schedule
from tests.model.challengers import Halves
from tests.model.test_resume import killed
from tests.model.test_spread import placed, same_losses, train
from tests.model.test_train import interrupted, outcome, tiny

AT = 4
"""Of six steps, the last two of which fall."""
KEEPING = tiny(keep_trunk=True, checkpoint_every=1, schedule={"decay": 0.4, "warmup": 0.2}, precision="float32")


@pytest.fixture(scope="module")
def halves(tmp_path_factory: pytest.TempPathFactory, tokenizer_artifact: Artifact) -> Halves:
    return Halves.commit(tmp_path_factory.mktemp("halves"), tokenizer_artifact)


@pytest.fixture(scope="module", params=["muon", "adamw"])
def whole(request: pytest.FixtureRequest, halves: Halves, tmp_path_factory: pytest.TempPathFactory) -> Draft:
    """A run that nobody disturbed, with a checkpoint after every step."""
    draft = halves.draft(tmp_path_factory.mktemp("whole") / "draft", halves.before, KEEPING | {"optimizer": {"name": request.param}})
    assert main([str(draft.path)]) == 0
    return draft


def kept(draft: Draft) -> tuple[bytes, bytes]:
    return (draft.path / "trunk/state.safetensors").read_bytes(), (draft.path / "trunk/trunk.json").read_bytes()


def checkpoint(draft: Draft, step: int) -> dict[str, Tensor]:
    """Weights and moments of a checkpoint of one rank."""
    [file] = (draft.scratch() / f"checkpoints/step-{step:08d}").glob("*.safetensors")
    return {name: value for name, value in load_file(file).items() if not name.startswith("random.")}


def equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())


@given(st.integers(1, 3000), st.floats(0, 1))
def test_a_decay_begins_where_the_rate_first_falls(steps: int, decay: float) -> None:
    schedule = Schedule(warmup=0, decay=decay)
    begins = decay_begins(steps, schedule)
    assert all(lr_scale(step, steps, schedule) == 1 for step in range(begins))
    assert begins == steps or lr_scale(begins, steps, schedule) < 1


def test_the_trunk_is_the_run_before_its_decay(whole: Draft) -> None:
    told = json.loads(kept(whole)[1])
    assert told == {"steps": AT, "samples": 16, "updates": AT, "optimizer": whole.settings["optimizer"]["name"]}
    assert equal(load_file(whole.path / "trunk/state.safetensors"), checkpoint(whole, AT))
    rates = [json.loads(line)["lr"] for line in (whole.path / "metrics.jsonl").read_text().splitlines()]
    assert rates[AT] < rates[AT - 1] == max(rates)


@pytest.mark.parametrize("step", [2, AT, 5, 6])
def test_a_run_killed_around_its_trunk_keeps_the_same_bytes(whole: Draft, tmp_path: Path, step: int) -> None:
    broken = interrupted(whole, tmp_path / "draft", step)
    shutil.rmtree(broken.path / "trunk")
    assert main([str(broken.path)]) == 0
    assert (kept(broken), outcome(broken)) == (kept(whole), outcome(whole))


def test_killed_at_file_operations_of_a_trunk_it_keeps_the_same_bytes(halves: Halves, whole: Draft, tmp_path: Path) -> None:
    for after in {"muon": (0, 6), "adamw": (11,)}[whole.settings["optimizer"]["name"]]:
        broken = halves.draft(tmp_path / f"killed-{after}", halves.before, whole.settings)
        assert killed(broken, after, "trunk")
        assert main([str(broken.path)]) == 0
        assert (kept(broken), outcome(broken)) == (kept(whole), outcome(whole)), after


def test_a_run_that_keeps_its_trunk_ends_as_one_that_does_not(halves: Halves, whole: Draft, tmp_path: Path) -> None:
    plain = halves.draft(tmp_path / "plain", halves.before, whole.settings | {"keep_trunk": False})
    assert main([str(plain.path)]) == 0
    assert outcome(plain) == outcome(whole) and not (plain.path / "trunk").exists() and not (plain.scratch() / "trunk").exists()


def test_the_next_step_from_a_trunk_is_the_step_that_the_run_took(halves: Halves, whole: Draft, tmp_path: Path) -> None:
    """Given its batch and its rate; the challenger's own begin anew."""
    shutil.copytree(whole.path, tmp_path / "champion")
    champion = Draft.open(tmp_path / "champion").commit(["pretrain"])
    settings: dict[str, Any] = whole.settings | {"start": "trunk"}
    draft = halves.draft(tmp_path / "draft", halves.before, settings, start=champion)
    with ranks(1) as group:
        trainer = Trainer(draft, Challenger.model_validate(settings), group)
        assert equal({name: value.clone() for name, value in trainer._learned().items()}, checkpoint(whole, AT))
        trainer._warm_up(0)
        trainer._step(AT, trainer._passes(trainer.batches.batch_at(AT)))
        assert equal(trainer._learned(), checkpoint(whole, AT + 1))


@pytest.mark.soak
@pytest.mark.parametrize(("optimizer", "shard"), [("muon", "ddp"), ("adamw", "fsdp")])
def test_a_trunk_of_two_ranks_is_whole_and_serves_one(halves: Halves, tmp_path: Path, optimizer: str, shard: str) -> None:
    settings = KEEPING | {"optimizer": {"name": optimizer}}
    draft = placed(halves.draft(tmp_path / "two", halves.before, settings, ranks=2), shard=shard)
    train(draft, 2)
    found = load_file(draft.path / "trunk/state.safetensors")
    assert equal(found, _whole(draft.scratch() / f"checkpoints/step-{AT:08d}", found))
    champion = draft.commit(["pretrain"])
    alone = halves.challenger(tmp_path / "one", champion, **settings, start="trunk", replay=0.5)
    with ranks(1) as group:
        assert equal(dict(Trainer(alone, Challenger.model_validate(alone.settings), group)._learned()), found)


@pytest.mark.soak
@pytest.mark.parametrize("start", ["trunk", "weights"])
def test_a_start_that_is_cut_over_ranks_is_the_same_start(halves: Halves, tmp_path: Path, start: str) -> None:
    settings = KEEPING | {"optimizer": {"name": "adamw"}}
    champion = halves.champion(tmp_path / "champion", **settings)
    found = []
    for shard, count in (("ddp", 1), ("fsdp", 2)):
        draft = halves.challenger(tmp_path / shard, champion, count, **settings, start=start, replay=0.5)
        train(placed(draft, shard=shard), count)
        found.append(draft)
    same_losses(*found)


def _whole(checkpoint: Path, like: dict[str, Tensor]) -> dict[str, Tensor]:
    read = {name: torch.empty_like(value) for name, value in like.items()}
    with warnings.catch_warnings(action="ignore"):
        dcp.load(read, storage_reader=dcp.HuggingFaceStorageReader(str(checkpoint)), no_dist=True)
    return read
