"""The model: a rank has a device, which decides where it computes and not what. There is no card here: what can be checked is the choice,
that the CPU's environment stays as it was, and that nothing is left on the CPU when a model computes elsewhere."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from model.device import CPU, backends, choose_device, environment, random_states, set_random_states
from model.moving import Mismatch, Moves
from model.parallel import ranks
from model.train import main
from schemas.draft import Draft
from schemas.errors import RequestError
from tests.model import annotated
from tests.model.on_a_made_up_card import CASES, CUT, FOUND

MakeDraft = Callable[..., Draft]


def test_auto_takes_cards_where_each_rank_has_one() -> None:
    assert choose_device("auto", 0, 0, 1) == choose_device("auto", 1, 1, 2) == choose_device("cpu", 8, 0, 1) == CPU
    assert [choose_device("auto", 4, rank, 2) for rank in (0, 1)] == [torch.device("cuda", 0), torch.device("cuda", 1)]
    assert choose_device("cuda", 1, 0, 1) == torch.device("cuda", 0)
    assert (backends(CPU), backends(torch.device("cuda", 1))) == ("gloo", "cpu:gloo,cuda:nccl")


@pytest.mark.parametrize(
    ("cards", "count", "said"),
    [(0, 1, "torch sees no card on this machine, and 1 rank wants one: "), (2, 4, "2 cards on this machine, and 4 ranks want one each: ")],
)
def test_cuda_without_a_card_for_each_rank_is_an_error(cards: int, count: int, said: str) -> None:
    with pytest.raises(RequestError, match=f"^run.device: cuda: .*{said}.* run.device: cpu$"):
        choose_device("cuda", cards, 0, count)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a card")
def test_a_run_that_wants_a_card_says_that_there_is_none(make_draft: MakeDraft, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    draft = make_draft(tmp_path / "draft", steps=1)
    draft.assign(inputs={role: draft.input(role).path for role in ("tokens", "tokenizer")}, roots={}, run={"ranks": 1, "device": "cuda"})
    assert main([str(draft.path)]) == 1
    assert "error: run.device: cuda: torch sees no card on this machine" in capsys.readouterr().err


def test_a_run_stays_on_the_kind_of_device_that_it_began_on() -> None:
    cpu = environment("bf16", True, 2)
    assert list(cpu) == ["torch", "precision", "compiled", "ranks", "threads", "cpu"]
    card = {**{key: cpu[key] for key in ("torch", "precision", "compiled", "ranks")}, "device": "cuda", "card": "a card"}
    for before, now, kinds in ((cpu, card, ("'cpu'", "'cuda'")), (card, cpu, ("'cuda'", "'cpu'"))):
        with pytest.raises(Mismatch, match=f"was made with device {kinds[0]}, now it is {kinds[1]}"):
            Moves(allowed=True).check(Path("step-1"), {"environment": before}, now, 1)
    assert Moves(allowed=False).check(Path("step-1"), {"environment": card}, card, 1) == []


def test_the_random_state_is_the_cpus_and_goes_on() -> None:
    states = random_states(CPU, "random.0")
    assert list(states) == ["random.0"]
    drawn = torch.rand(3)
    set_random_states(CPU, "random.0", states)
    assert torch.equal(torch.rand(3), drawn)


def test_ranks_of_the_cpu_meet_by_gloo() -> None:
    with ranks(1) as group:
        assert group.device == CPU and torch.distributed.get_backend() == "gloo"


@pytest.mark.slow
def test_nothing_of_a_step_stays_on_the_cpu_when_a_model_is_elsewhere(tmp_path: Path) -> None:
    """Every family and objective, and what is cut; see `on_a_made_up_card.py`."""
    tokenizer = annotated.commit_tokenizer(tmp_path / "tokenizer", [text for _, _, text in annotated.annotated_documents()])
    tokens = annotated.commit_tokens(tmp_path / "tokens", tokenizer)
    command: list[Any] = [sys.executable, "-m", "tests.model.on_a_made_up_card", tokens.path]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [FOUND, *CASES, *CUT]
