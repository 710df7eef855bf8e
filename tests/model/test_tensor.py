"""The model: a *tensor parallel* decoder, its heads and units on two ranks that read the same samples, is the decoder in one piece."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from model.estimate import estimate
from model.families import build_model
from model.parallel import Ranks
from model.spread import choose
from schemas.errors import RequestError
from schemas.recipe import Decoder, Encoder, Recipe, Run
from tests.model.test_spread import FLOAT, moved, placed, rows, train
from tests.model.test_train import TINY, MakeDraft, interrupted, outcome, tiny

EVEN = TINY | {"kv_heads": 2}


@pytest.mark.slow
def test_it_is_the_decoder_in_one_piece(tmp_path: Path) -> None:
    """Weights as drawn, loss, gradients, logits, export and checkpoints; see `cut_on_ranks.py`."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "tests.model.cut_on_ranks"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    done = subprocess.run([*command, str(tmp_path), "tensor"], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("as one piece") == 5


@pytest.mark.slow
def test_a_run_goes_on_cut_by_heads_and_whole_again(make_draft: MakeDraft, tmp_path: Path) -> None:
    """An odd batch, which two ranks could not share."""
    settings = tiny(
        model=EVEN | {"qk_norm": True},
        steps=30,
        batch=9,
        accumulate=3,
        keep_checkpoints=60,
        optimizer={"name": "adamw"},
        average={"decay": 0.9},
    )
    whole = make_draft(tmp_path / "whole", **settings | FLOAT)
    train(whole, 1)
    other = moved(whole, tmp_path, ((10, 2, "tensor"), (20, 1, "ddp")))
    for one, two in zip(rows(whole), rows(other), strict=True):
        assert one["grad_norm"] == pytest.approx(two["grad_norm"], rel=1e-4), one["step"]
        assert one.get("bits_per_byte") == pytest.approx(two.get("bits_per_byte"), abs=1e-5), one["step"]
        assert one.get("dead_units") == two.get("dead_units")


@pytest.mark.soak
@pytest.mark.parametrize(
    ("shape", "packing"), [({"qk_norm": True, "tie_embeddings": False}, "concat"), ({"family": "gpt2"}, "best_fit")], ids=["llama", "gpt2"]
)
def test_a_killed_run_ends_in_the_same_bits(make_draft: MakeDraft, tmp_path: Path, shape: dict[str, Any], packing: str) -> None:
    settings = tiny(model=EVEN | shape, steps=8, packing=packing, document_mask=packing == "best_fit", average={"export": "beside"})
    settings |= {"optimizer": {"name": "adamw"}, "compile": True, "validate_every": 3, "validate_tokens": 2000, "checkpoint_every": 4}
    whole = placed(make_draft(tmp_path / "whole", **settings), shard="tensor", recompute=True)
    train(whole, 2)
    assert outcome(whole)[2]["environment"]["compiled"] is False
    broken = interrupted(whole, tmp_path / "broken", 4)
    train(placed(broken, shard="tensor", recompute=True), 2)
    assert outcome(broken) == outcome(whole)


@pytest.mark.parametrize(
    ("shape", "ranks", "said"),
    [
        ({}, 2, "pretrain.model.kv_heads: 1 do not divide over 2 ranks, as run.shard: tensor needs"),
        ({"heads": 3, "kv_heads": 3, "width": 36}, 2, "pretrain.model.heads: 3 do not divide over 2 ranks"),
        ({"kv_heads": 2, "ffn": 49}, 2, "pretrain.model.ffn: 49 do not divide over 2 ranks"),
    ],
)
def test_what_does_not_divide_is_refused_by_its_key(shape: dict[str, Any], ranks: int, said: str) -> None:
    config = Decoder.model_validate(TINY | shape)
    with pytest.raises(RequestError, match=said):
        choose("tensor", partial(build_model, config, 100), "adamw", Ranks(0, ranks))
    with pytest.raises(ValueError, match=said):
        recipe({"model": TINY | shape}, ranks=ranks)


def test_what_cannot_be_cut_so_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = partial(build_model, Encoder.model_validate({"family": "bert", "layers": 1, "width": 32, "heads": 2, "ffn": 64}), 100)
    decoder = partial(build_model, Decoder.model_validate(EVEN), 100)
    with pytest.raises(RequestError, match=r"pretrain.model.family: run.shard: tensor is of decoders so far, and this is bert"):
        choose("tensor", encoder, "adamw", Ranks(0, 2))
    with pytest.raises(RequestError, match="run.shard: tensor: muon orthogonalises whole matrices"):
        choose("tensor", decoder, "muon", Ranks(0, 2))
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "1")
    with pytest.raises(RequestError, match="run.shard: tensor is of one machine"):
        choose("tensor", decoder, "adamw", Ranks(0, 2))
    with pytest.raises(ValueError, match="run.shard: tensor cuts matrices"):
        recipe({"model": EVEN, "optimizer": {"name": "muon"}})
    with pytest.raises(ValueError, match="shard: tensor is of one machine"):
        recipe({"model": EVEN}, machines=2, meet="10.0.0.1:29400")


def test_a_batch_need_not_divide_over_ranks_that_read_the_same() -> None:
    assert recipe({"model": EVEN, "batch": 9, "accumulate": 3}).run.readers == 1
    with pytest.raises(ValueError, match=r"pretrain.batch: 9 samples of a rank do not divide into pretrain.accumulate, which is 2"):
        recipe({"model": EVEN, "batch": 9, "accumulate": 2})


def test_its_estimate_takes_such_a_batch() -> None:
    settings = recipe({"model": EVEN, "batch": 9}).pretrain
    assert settings is not None
    known: dict[str, Any] = {"process": 0, "machine": 10**9, "peak": 1e9, "compiled": False, "cpu": "any", "known": []}
    together, alone = (estimate(settings, {"vocab_size": 600}, run, **known) for run in (Run(shard="tensor", ranks=2), Run(ranks=1)))
    assert together.ranks == 2 and together.footprint == alone.footprint


def recipe(pretrain: dict[str, Any], **run: Any) -> Recipe:
    corpus = {"sources": [{"name": "web", "path": "web.jsonl", "format": "jsonl"}]}
    pretrain = {"steps": 4, "optimizer": {"name": "adamw"}, **pretrain}
    return Recipe.model_validate({"name": "mine", "corpus": corpus, "pretrain": pretrain, "run": {"shard": "tensor", **run}})
