"""Retraining as a person has it: text comes, a challenger is made, judged and promoted, once, whoever asks and however often."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from prefect.logging import disable_run_logger

from flows.retraining.decide import read_decision
from flows.retraining.flow import retrain_flow
from flows.run import as_said
from schemas.champion import history
from schemas.lease import Lease
from schemas.recipe_file import load_recipe
from schemas.store import Store
from tests.flows.conftest import NOUNS, VERBS, Command, Server, command_in, environment

RECIPE = """\
name: r
corpus:
  incremental: true
  sources: [{name: notes, path: raw, format: txt, lang: en}]
  held_out: {validation: 0.1, test: 0.3}
tokenizer: {vocab_size: 512}
pretrain:
  model: {layers: 1, width: 32, heads: 2, kv_heads: 1, ffn: 64, context: 32}
  steps: 8
  batch: 4
  precision: float32
  compile: false
  validate_every: 8
  validate_tokens: 500
  checkpoint_every: 8
retrain:
  after_tokens: 500
  at_most_every: 0
  steps: 12
  epochs: null
  gate: {min_gain: 0.0, max_bytes: 20000, guards: {tasks: null, bias: null, memorisation: null}}
run: {settle: 0, workers: 1}
"""


def write(folder: Path, names: range, words: list[str]) -> None:
    """Notes made of these words."""
    draw = random.Random(names.start)
    for number in names:
        lines = [f"The {draw.choice(words)} {draw.choice(VERBS)} the {draw.choice(words)} near {draw.randrange(1000)}." for _ in range(8)]
        (folder / f"{number:03}.txt").write_text("\n".join(lines) + "\n")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "raw").mkdir()
    (tmp_path / "r.yaml").write_text(RECIPE)
    write(tmp_path / "raw", range(50), NOUNS)
    return tmp_path


@pytest.fixture
def gristmill(folder: Path, server: Server) -> Command:
    return command_in(folder, server)


@pytest.fixture
def store(folder: Path) -> Store:
    return Store(folder / ".gristmill" / "store")


def start(folder: Path, server: Server) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "flows.cli", "retrain", "r.yaml", "--json"]
    return subprocess.Popen(
        command, cwd=folder, env=environment() | server, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )  # fmt: skip


def made(store: Store) -> dict[str, int]:
    """How many there are of what is to be there once."""
    names = {"challengers": ("model", "r-challenger"), "evaluations": ("evaluation", "r-gate"), "decisions": ("decision", "r")}
    return {what: len(store.versions(*name)) for what, name in names.items()} | {"reigns": len(history(store.root, "r"))}


def test_no_first_champion_is_made_in_a_frozen_window(
    folder: Path, store: Store, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    always = RECIPE.replace("\nretrain:\n", "\nretrain:\n  frozen: [{start: '00:00', end: '00:00'}]\n")
    (folder / "r.yaml").write_text(always)
    with disable_run_logger():
        told = retrain_flow.fn(as_said(load_recipe(Path("r.yaml"))), str(store.root))
    assert told["action"] == "wait" and "(retrain.frozen)" in told["why"][0]
    assert "there is none yet, and nothing begins before" in capsys.readouterr().err
    assert not list(store.artifacts()) and not history(store.root, "r")


@pytest.mark.slow
def test_text_that_comes_is_learned_once_whoever_asks(folder: Path, gristmill: Command, store: Store, server: Server) -> None:
    gristmill("run", "r.yaml", "--until", "tokens")
    told = json.loads(gristmill("retrain", "r.yaml", "--json").stdout)  # its own steps are run first
    assert told["action"] == "wait" and [reign.by for reign in history(store.root, "r")] == ["first"]
    write(folder / "raw", range(50, 120), NOUNS)
    gristmill("ingest", "r.yaml")
    chain, _ = store.leases_of_name("decision", "r")
    with Lease(chain, lambda holder: None):
        early = start(folder, server)
        assert early.stderr is not None
        waiting = f"waiting for another retraining of r: process {os.getpid()} on "
        assert any(waiting in line for line in early.stderr)
    both = [early, start(folder, server)]
    answers = [json.loads(process.communicate()[0]) for process in both]
    assert [process.returncode for process in both] == [0, 0]
    once = {"challengers": 1, "evaluations": 1, "decisions": 1}
    assert made(store) == {**once, "reigns": 2}
    actions = {answer["action"] for answer in answers}
    assert "promote" in actions and actions <= {"promote", "wait"}
    found = read_decision(store.find("decision/r"))
    assert found["verdict"] == "promote" and found["gain"]["gain"] > 0.02 and found["held_out"]["new"]["documents"] > 10
    assert found["parity"]["pretrain"]["passed"]
    assert json.loads(gristmill("retrain", "r.yaml", "--force", "--json").stdout)["action"] == "wait"
    gristmill("rollback", "r", "--why", "to see that it stays")
    told = json.loads(gristmill("retrain", "r.yaml", "--json").stdout)
    assert told["action"] == "wait" and "has decided about these tokens and this champion" in told["why"][0]
    assert made(store) == {**once, "reigns": 3}


@pytest.mark.soak
def test_worse_text_is_refused_with_the_reason(folder: Path, gristmill: Command, store: Store) -> None:
    learned = RECIPE.replace("steps: 8", "steps: 150")  # or anything would be an improvement
    (folder / "r.yaml").write_text(learned)
    gristmill("run", "r.yaml", "--until", "pretrain")
    gristmill("promote", "r")
    (folder / "r.yaml").write_text(learned.replace("steps: 12", "steps: 40\n  lr: 1.0\n  replay: 0.0"))
    write(folder / "raw", range(120, 260), ["zzq xxv", "qqq qqq qqq", "vvx"])
    gristmill("ingest", "r.yaml")
    said = gristmill("retrain", "r.yaml")
    assert "is refused; the champion of reign 1 stays" in said.stdout and "en on old text" in said.stdout
    assert made(store)["reigns"] == 1


@pytest.mark.soak
def test_a_process_that_was_killed_anywhere_leaves_nothing_undone_or_twice(
    folder: Path, gristmill: Command, store: Store, server: Server
) -> None:
    """It is killed as soon as the challenger, the evaluation and the decision begin to be there."""
    gristmill("run", "r.yaml", "--until", "pretrain")
    gristmill("promote", "r")
    write(folder / "raw", range(50, 120), NOUNS)
    gristmill("ingest", "r.yaml")
    for what in ("challengers", "evaluations", "decisions"):
        process = start(folder, server)
        deadline = time.monotonic() + 600
        while not made(store)[what] and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    assert json.loads(gristmill("retrain", "r.yaml", "--json").stdout)["action"] == "promote"
    assert made(store) == {"challengers": 1, "evaluations": 1, "decisions": 1, "reigns": 2}
