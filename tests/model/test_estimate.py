"""The model: an estimate is near what a run then takes, and says what to change where the memory does not suffice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from model.device import CPU
from model.estimate import SPARE, Estimate, Known, estimate, lines
from model.footprint import footprint
from schemas.draft import Draft
from schemas.recipe import Pretrain, Run

MakeDraft = Callable[..., Draft]
VOCABULARY = {"vocab_size": 600, "special_tokens": {"bos": 0, "eos": 1, "pad": 2}}
SMALL = {"layers": 2, "width": 64, "heads": 2, "kv_heads": 2, "ffn": 128, "context": 32}


def settings(**changes: Any) -> Pretrain:
    return Pretrain.model_validate({"model": SMALL, "steps": 100, "batch": 16, "validate_tokens": 32} | changes)


def asked(
    machine: int = 8 << 30,
    ranks: int = 2,
    compiled: bool = False,
    known: tuple[Known, ...] = (),
    device: torch.device = CPU,
    **changes: Any,
) -> Estimate:
    here: dict[str, Any] = {"process": 1 << 20, "machine": machine, "peak": 1e12, "compiled": compiled, "cpu": "a", "known": known}
    return estimate(settings(**changes), VOCABULARY, Run(ranks=ranks), **here, device=device)


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {"model": {"size": "tiny"}, "batch": 64},
        {"model": {"size": "mini"}, "batch": 8, "accumulate": 2},
        {"model": {"family": "lstm", "size": "tiny"}, "batch": 128},
    ],
)
def test_the_memory_is_that_of_a_run_within_a_fourth(make_draft: MakeDraft, tmp_path: Path, changes: dict[str, Any]) -> None:
    """Of what is beside the process itself, within half."""
    wanted = {"steps": 2, "compile": False, "validate_tokens": 600, "optimizer": {"name": "adamw"}} | changes
    draft = make_draft(tmp_path / "draft", **wanted)
    subprocess.run([sys.executable, "-m", "model.train", str(draft.path)], check=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    peak = json.loads((draft.scratch() / "run-facts.json").read_text())["peak_bytes"]
    request = {"settings": wanted, "vocabulary": VOCABULARY, "run": {"ranks": 1}, "known": []}
    done = subprocess.run([sys.executable, "-m", "model.estimate"], input=json.dumps(request), capture_output=True, text=True, check=True)
    told = json.loads(done.stdout)
    assert told["rank_bytes"] / 1.25 < peak < told["rank_bytes"] * 1.25, told["lines"]
    beside = told["rank_bytes"] - told["process"]
    assert beside / 2 < peak - told["process"] < beside * 2, told["lines"]


def test_a_footprint_counts_what_it_should() -> None:
    one = footprint(settings(), VOCABULARY, 1, False)
    assert one.parameters == one.weights // 4 == one.gradients // 4 and one.moments == 2 * one.weights and one.average == 0
    assert one.logits >= 2 * 4 * 16 * 32 * 600  # logits and their gradient, at least
    assert footprint(settings(average={}), VOCABULARY, 1, False).average == 2 * one.weights
    for less in (footprint(settings(accumulate=4), VOCABULARY, 1, False), footprint(settings(), VOCABULARY, 4, False)):
        assert less.activations + less.logits == pytest.approx((one.activations + one.logits) / 4, rel=0.15)
    chunked = footprint(settings(loss_chunk=32), VOCABULARY, 1, False)
    assert chunked.logits < one.logits / 8
    muon = [footprint(settings(optimizer={"name": "muon"}), VOCABULARY, ranks, False).moments for ranks in (1, 2)]
    assert muon[1] < muon[0] < one.moments
    masked = footprint(settings(packing="best_fit", document_mask=True), VOCABULARY, 1, False)
    assert masked.activations > 0 and masked.parameters == one.parameters


@pytest.mark.parametrize("family", ["gpt2", "lstm", "bert", "pairs", "modernbert", "t5"])
def test_every_family_has_a_footprint(family: str) -> None:
    pairs = {"objective": {"name": "masked_tokens", "next_sentence": True}} if family == "pairs" else {}
    wanted = Pretrain.model_validate({"model": {"family": "bert" if pairs else family, "size": "tiny"}, "steps": 1, "batch": 8, **pairs})
    special = {**VOCABULARY["special_tokens"], "mask": 3}
    found = [
        footprint(wanted.model_copy(update=more), {**VOCABULARY, "special_tokens": special}, 1, False) for more in ({}, {"accumulate": 4})
    ]
    assert found[0].parameters == found[1].parameters > 300_000
    assert found[0].operations > 6 * 300_000 and found[1].activations < found[0].activations / 2


def test_what_does_not_fit_is_told_with_what_does() -> None:
    fine = asked()
    assert fine.suffices and not fine.advice and len(lines(fine)) == 3
    need = 2 * fine.rank_bytes
    machine = int(need / SPARE * 0.95)
    tight = asked(machine=machine)
    warning = lines(tight)[-1]
    assert not tight.suffices and warning.startswith("WARNING: 2 ranks take ")
    assert tight.advice[0].startswith("pretrain.accumulate: ")
    parts = int(tight.advice[0].split()[1].rstrip(","))
    assert asked(machine=machine, accumulate=parts).suffices
    assert "pretrain.loss_chunk" not in lines(asked(machine=int(need * 0.5), compiled=True))[-1]
    assert "nothing short of a smaller model" in lines(asked(machine=1 << 20))[-1]


def test_ranks_with_a_card_each_copy_checkpoints_elsewhere_and_gain_nothing_from_fewer_ranks() -> None:
    card = torch.device("cuda", 0)
    one, other = (footprint(settings(), VOCABULARY, 2, False, device) for device in (card, CPU))
    assert one.checkpoint == 0 < other.checkpoint and one.weights == other.weights
    tight = [asked(machine=int(2 * asked(device=device).rank_bytes / SPARE * 0.95), device=device) for device in (CPU, card)]
    assert [any(line.startswith("run.ranks: ") for line in found.advice) for found in tight] == [True, False]


def test_tokens_and_time_follow_from_the_phases_and_the_utilization() -> None:
    found = asked(phases=[{"step": 50, "batch": 32}])
    assert found.tokens == (50 * 16 + 50 * 32) * 32
    assert found.seconds == pytest.approx(found.tokens / (1e12 * found.utilization / found.footprint.operations))
    assert "a guess from the width" in lines(found)[2]
    epochs = asked(steps=None, epochs=2.0)
    assert epochs.tokens is epochs.seconds is None and "as many tokens as its epochs have" in lines(epochs)[0]


def test_the_utilization_is_that_of_the_run_most_alike() -> None:
    def run(name: str, width: int = 64, cpu: str = "a", precision: str = "bf16", compiled: bool = False) -> Known:
        return Known(name, cpu, precision, compiled, width, width / 1000)

    known = (run("wide", 512), run("near", 128), run("elsewhere", cpu="b"), run("float", precision="float32"), run("fast", compiled=True))
    found = asked(known=known)
    assert (found.utilization_of, found.utilization) == ("near", 0.128)
    assert asked(known=known[2:]).utilization_of is None
    wide = {**SMALL, "width": 512, "heads": 8, "kv_heads": 8}
    guesses = [asked(compiled=compiled, model=model).utilization for compiled in (False, True) for model in (SMALL, wide)]
    assert guesses[0] < guesses[1] < guesses[3] and guesses[2] < guesses[3]
