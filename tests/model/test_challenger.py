"""The model: what a challenger learns from: the start's weights, of any family; old and new text by their shares; as long as the new text
says; and a broken run ends in the same bits."""

from __future__ import annotations

import json
import signal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from model.checkpoint import load_model
from model.data import training_batches
from model.index import By, build_index
from model.known import Known
from model.parallel import ranks
from model.phases import Phases, Stage
from model.replay import Replay
from model.shards import open_location
from model.text import Special
from model.token_space import TokenSpace
from model.train import main
from model.trainer import Trainer
from schemas.artifact import Artifact
from schemas.errors import RequestError
from schemas.recipe import Challenger
from tests.model import annotated
from tests.model.challengers import Halves
from tests.model.conftest import commit_tokenizer, commit_tokens, small_documents
from tests.model.test_resume import finish, killed
from tests.model.test_train import TINY, interrupted, launch, outcome, tiny, wait_for_step

AROUND = Special(0, 1)
GOING_ON = {"start": "weights", "replay": 0.5}
ENCODER = {"family": "bert", "layers": 1, "width": 32, "heads": 2, "ffn": 48, "context": 16}
FAMILIES: dict[str, dict[str, Any]] = {
    "llama": TINY,
    "gpt2": TINY | {"family": "gpt2", "kv_heads": 2},
    "lstm": {"family": "lstm", "layers": 1, "width": 24, "context": 16},
    "bert": ENCODER,
    "modernbert": ENCODER | {"family": "modernbert"},
    "t5": {"family": "t5", "layers": 1, "width": 32, "heads": 2, "ffn": 48, "context": 24},
}


@pytest.fixture(scope="module")
def halves(tmp_path_factory: pytest.TempPathFactory, tokenizer_artifact: Artifact) -> Halves:
    return Halves.commit(tmp_path_factory.mktemp("halves"), tokenizer_artifact)


@pytest.fixture(scope="module")
def champion(halves: Halves, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return halves.champion(tmp_path_factory.mktemp("champion") / "draft", **tiny(keep_trunk=True, optimizer={"name": "adamw"}))


def challenger(**changes: Any) -> dict[str, Any]:
    return tiny(optimizer={"name": "adamw"}, checkpoint_every=1, **GOING_ON) | changes


@pytest.mark.parametrize("family", FAMILIES)
def test_it_begins_with_the_weights_of_its_start(tmp_path: Path, family: str) -> None:
    texts = [text for _, _, text in small_documents()]
    masks = family in ("bert", "modernbert")
    tokenizer = annotated.commit_tokenizer(tmp_path / "t", texts) if masks else commit_tokenizer(tmp_path / "t", texts, 600, sentinels=8)
    halves = Halves.commit(tmp_path, tokenizer)
    asked = tiny(model=FAMILIES[family], steps=2, average={"decay": 0.9}, optimizer={"name": "adamw", "lr": 0.05})
    start = halves.champion(tmp_path / "start", **asked)
    draft = halves.challenger(tmp_path / "draft", start, **asked, **GOING_ON)
    with ranks(1) as group:
        trainer = Trainer(draft, Challenger.model_validate(draft.settings), group)
    saved, _ = load_model(start.path)
    wanted = saved.state_dict()
    assert all(torch.equal(value, wanted[name]) for name, value in trainer.model.state_dict().items())
    assert trainer.average is not None
    assert all(torch.equal(value, wanted[name]) for name, value in trainer.average.weights.items())


@pytest.mark.parametrize("changes", [{"start": "trunk"}, {"average": {"export": "beside"}, "steps": None, "epochs": 0.8, "max_steps": 6}])
def test_a_challenger_resumed_anywhere_ends_in_the_same_bits(
    halves: Halves, champion: Artifact, tmp_path: Path, changes: dict[str, Any]
) -> None:
    whole = halves.challenger(tmp_path / "whole", champion, **challenger(**changes))
    assert main([str(whole.path)]) == 0
    assert outcome(whole)[2]["steps"] == 6
    for step in (2, 6):
        broken = interrupted(whole, tmp_path / f"after-{step}", step)
        assert main([str(broken.path)]) == 0
        assert outcome(broken) == outcome(whole), step
    broken = halves.challenger(tmp_path / "killed", champion, **challenger(**changes))
    assert killed(broken, 20)
    assert main([str(broken.path)]) == 0
    assert outcome(broken) == outcome(whole)


@pytest.mark.soak
def test_a_challenger_of_two_ranks_that_is_killed_ends_in_the_same_bits(halves: Halves, tmp_path: Path) -> None:
    """Each has the momentum of its share of the matrices; the trunk has all."""
    champion = halves.champion(tmp_path / "champion", **tiny(keep_trunk=True))
    asked = tiny(**GOING_ON) | {"start": "trunk", "keep_trunk": True, "batch": 8, "steps": 60, "checkpoint_every": 20}
    whole, broken = (halves.challenger(tmp_path / name, champion, ranks=2, **asked) for name in ("whole", "broken"))
    finish(whole, 2)
    process = launch(broken, 2)
    wait_for_step(broken, 33, process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert broken.part("pretrain", "model") is None, "it was too quick to be killed"
    finish(broken, 2)
    assert outcome(broken) == outcome(whole)
    for name in ("state.safetensors", "trunk.json"):
        assert (broken.path / "trunk" / name).read_bytes() == (whole.path / "trunk" / name).read_bytes()
    names = [load_file(model / "trunk/state.safetensors").keys() for model in (whole.path, champion.path)]
    assert names[0] == names[1]
    told = json.loads((whole.path / "trunk/trunk.json").read_text())
    assert (told["steps"], told["updates"]) == (31, 31 + 4), "the moments have seen the trunk's updates as well"


def test_shared_shards_and_ids_tell_the_same_old_documents(halves: Halves, tmp_path: Path) -> None:
    """Of the tokens of now, one shard is the whole of those of before; in the others, none is shared, and a half is old."""
    cut = commit_tokens(tmp_path / "cut", halves.old + halves.new, halves.tokenizer, shards=3)
    found = []
    for tokens in (halves.now, cut):
        manifest, shards = open_location(tokens.path)
        space = TokenSpace(manifest.files("tokens"), shards)
        index = build_index(space, "train", By(known=Known(halves.before, space.files)))
        found.append({name: sorted(index.n_bytes[first:last].tolist()) for name, (first, last) in index.streams.items()})
    assert found[0] == found[1] and set(found[0]) == {f"{side}/{lang}" for side in ("old", "new") for lang in ("en", "zh", "code")}
    for side, documents in (("old", halves.old), ("new", halves.new)):
        for lang in ("en", "zh", "code"):
            wanted = sorted(len(text.encode()) for of, subset, text in documents if (of, subset) == (lang, "train"))
            assert found[0][f"{side}/{lang}"] == wanted


def test_samples_are_of_old_and_new_text_by_their_shares(halves: Halves) -> None:
    mix = {"zh/*": 2.0, "code": 1.0}
    batches = training_batches(halves.now.path, [Stage(0, 8, 16, mix)], 0, AROUND, replay=Replay(halves.before.path, 0.25))
    row = batches.phases.rows[0]
    shares = dict(zip((batches.streams[n] for n in row.streams), (row.schedule.counts / row.schedule.period).tolist(), strict=True))
    assert shares == pytest.approx({"new/zh/zh": 0.5, "new/code/code": 0.25, "old/zh/zh": 1 / 6, "old/code/code": 1 / 12})


SIDES = st.dictionaries(st.sampled_from(["en", "zh", "code", "de"]), st.integers(0, 1000), max_size=4)


@settings(deadline=None)
@given(SIDES, SIDES, st.floats(0, 0.9), st.dictionaries(st.sampled_from(["en", "zh", "code"]), st.floats(0.1, 9), max_size=3))
def test_new_text_has_its_share_whatever_the_mix(new: dict[str, int], old: dict[str, int], share: float, mix: dict[str, float]) -> None:
    samples = {f"new/{lang}": n for lang, n in new.items()} | {f"old/{lang}": n for lang, n in old.items()}
    weighed = {side: any(n and (not mix or lang in mix) for lang, n in found.items()) for side, found in (("new", new), ("old", old))}
    replay = Replay(Path("before"), share)
    if not weighed["new"]:
        with pytest.raises(RequestError, match="no new text to train on: what came since before"):
            replay.over([Stage(0, 4, 16, mix)], {16: samples})
        return
    [stage] = replay.over([Stage(0, 4, 16, mix)], {16: samples})
    assert sum(stage.mix.values()) == pytest.approx(1)
    wanted = share if weighed["old"] else 0
    assert sum(weight for stream, weight in stage.mix.items() if stream.startswith("old/")) == pytest.approx(wanted)
    assert all(samples[stream] for stream in stage.mix)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(1, 40), min_size=2, max_size=4), st.floats(0.1, 3), st.integers(1, 7), st.integers(1, 3))
def test_passes_over_some_streams_take_the_fewest_steps_that_read_so_much(
    counts: list[int], passes: float, batch: int, chosen: int
) -> None:
    streams = [f"s{number}" for number in range(len(counts))]
    phases, some = Phases([Stage(0, batch, 8, {})], streams, {8: counts}), list(range(min(chosen, len(counts))))
    wanted, taken, steps = Fraction(passes) * sum(counts[n] for n in some), 0, 0
    while taken < wanted:
        taken += sum(int(number) in some for number in phases.rows[0].draw(torch.arange(steps * batch, (steps + 1) * batch).numpy())[0])
        steps += 1
    assert phases.steps_over(some, passes) == steps


def test_epochs_are_passes_over_the_new_text(halves: Halves, champion: Artifact, tmp_path: Path) -> None:
    draft = halves.challenger(tmp_path / "draft", champion, **challenger(steps=None, epochs=0.1, mix={}, replay=0.75))
    with ranks(1) as group:
        trainer = Trainer(draft, Challenger.model_validate(draft.settings), group)
    read = trainer.batches.epochs(trainer.steps)
    assert all(0.07 < read[f"new/{lang}"] < 0.13 for lang in ("en", "zh", "code"))
    assert all(0.2 < read[f"old/{lang}"] < 0.4 for lang in ("en", "zh", "code"))


def said(draft: Any, capsys: pytest.CaptureFixture[str]) -> str:
    assert main([str(draft.path)]) == 1
    return capsys.readouterr().err


def test_what_can_not_be_gone_on_from_is_said_first(
    halves: Halves, champion: Artifact, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = halves.champion(tmp_path / "plain", **tiny(steps=1))
    cases = {
        "has no trunk: take retrain.start: weights": (plain, challenger(start="trunk")),
        "the moments of adamw in its trunk, and pretrain.optimizer.name is sgd": (
            champion, challenger(start="trunk", optimizer={"name": "sgd"})),
        r"of another shape than pretrain.model (intermediate_size 48 -> 64)": (champion, challenger(model=TINY | {"ffn": 64})),
        "of another shape than pretrain.model (": (champion, challenger(model=TINY | {"family": "gpt2", "kv_heads": 2})),
    }  # fmt: skip
    for number, (message, (start, asked)) in enumerate(cases.items()):
        assert message in said(halves.challenger(tmp_path / str(number), start, **asked), capsys)
    other = commit_tokenizer(tmp_path / "tokenizer", [text for _, _, text in halves.old], 600)
    tokens = commit_tokens(tmp_path / "tokens", halves.old + halves.new, other)
    wrong = Halves(other, tokens, tokens, [], []).challenger(tmp_path / "wrong", champion, **challenger())
    message = said(wrong, capsys)
    assert f"{champion.reference} has tokenizer " in message and f"the tokens are of {other.reference}" in message


def test_without_new_text_or_old_it_says_so(halves: Halves, champion: Artifact, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nothing = halves.draft(tmp_path / "nothing", halves.before, challenger(), start=champion, before=halves.now)
    assert "no new text to train on: what came since" in said(nothing, capsys)
    apart = commit_tokens(tmp_path / "apart", halves.new, halves.tokenizer, shards=1)
    for number, (more, message) in enumerate(
        [({"before": halves.before}, "none of the text that the model knew is among"), ({}, "nothing tells which text the model knew")]
    ):
        draft = halves.draft(tmp_path / f"new-{number}", apart, challenger(steps=1), start=champion, **more)
        assert main([str(draft.path)]) == 0
        assert message in capsys.readouterr().out
