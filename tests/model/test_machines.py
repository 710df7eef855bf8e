"""The model: ranks die, and the run goes on from its newest checkpoint by itself: on one machine, and on two, here network namespaces with
an address each and a rank on each."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flows.launch import ChildFailed, run_child
from flows.steps import STEPS
from flows.torchrun import join
from model.network import address_towards, interface_of
from model.restarts import GAVE_UP
from schemas.draft import Draft
from schemas.errors import RequestError
from schemas.recipe import Run
from tests.model.test_spread import placed
from tests.model.test_train import MakeDraft, outcome, tiny

MEET = "10.213.7.1:29471"


def ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True)
    if done.returncode:
        raise OSError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")


@pytest.fixture(scope="module")
def quiet(make_draft: MakeDraft, tmp_path_factory: pytest.TempPathFactory) -> Draft:
    """A run that nobody disturbed."""
    settings = tiny(steps=80, checkpoint_every=20, validate_every=1000, keep_checkpoints=2)
    draft = make_draft(tmp_path_factory.mktemp("quiet") / "draft", **settings)
    run_child(pretrain_command(draft), draft.path / "log", lambda: None)
    return draft


@pytest.fixture
def machines() -> Iterator[tuple[str, str]]:
    """Two network namespaces that reach each other, and nobody else."""
    if shutil.which("ip") is None:
        pytest.skip("there is no `ip` (iproute2)")
    one, other = (f"gristmill-{uuid.uuid4().hex[:6]}" for _ in range(2))
    try:
        for number, name in enumerate((one, other)):
            try:
                ip("netns", "add", name)
            except OSError as error:
                pytest.skip(f"no network namespaces here: {error}")
            ip("-n", name, "link", "set", "lo", "up")
            if number:
                ip("-n", one, "link", "add", "wire0", "type", "veth", "peer", "name", "wire1", "netns", other)
        for number, name in enumerate((one, other)):
            ip("-n", name, "addr", "add", f"10.213.7.{number + 1}/24", "dev", f"wire{number}")
            ip("-n", name, "link", "set", f"wire{number}", "up")
        yield one, other
    finally:
        for name in (one, other):
            subprocess.run(["ip", "netns", "del", name], capture_output=True)


def pretrain_command(draft: Draft, **run: Any) -> list[str]:
    """What `gristmill run` starts."""
    (step,) = [step for step in STEPS if step.name == "pretrain"]
    return step.command(draft.path.resolve(), Run(**run))


@pytest.mark.soak
def test_a_run_whose_rank_is_killed_goes_on_by_itself_so_many_times(make_draft: MakeDraft, tmp_path: Path, quiet: Draft) -> None:
    killed = make_draft(tmp_path / "killed", **quiet.settings)
    killer = Killer(killed, [30, 50])
    with pytest.raises(ChildFailed, match="ended with exit code 1 .try 1."):
        run_child(pretrain_command(killed, restarts=1), tmp_path / "log", killer)
    assert killer.killed == 2 and killed.part("pretrain", "model") is None
    assert max(row["step"] for row in map(json.loads, (killed.scratch() / "metrics.jsonl").read_text().splitlines())) >= 50
    run_child(pretrain_command(killed), tmp_path / "log", lambda: None)
    assert outcome(killed) == outcome(quiet)


class Killer:
    """Kills a rank whenever the run has come so far."""

    def __init__(self, draft: Draft, steps: list[int]) -> None:
        self._draft, self._steps, self.killed = draft, steps, 0

    def __call__(self) -> None:
        metrics = self._draft.scratch() / "metrics.jsonl"
        if self.killed < len(self._steps) and metrics.is_file() and metrics.read_bytes().count(b"\n") >= self._steps[self.killed]:
            alive = ranks_of(self._draft)
            if not alive:  # between two starts
                return
            os.kill(alive[-1], signal.SIGKILL)
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


@pytest.mark.soak
def test_an_error_that_a_person_must_act_on_is_told_once_and_not_tried_again(make_draft: MakeDraft, tmp_path: Path) -> None:
    settings = tiny(optimizer={"name": "adamw", "lr": 1e30, "weight_decay": 0}, schedule={"warmup": 0})
    draft = make_draft(tmp_path / "draft", **settings)
    with pytest.raises(ChildFailed, match="\nerror: step 2: the loss or the gradient norm is not finite"):
        run_child(pretrain_command(draft, restarts=1), tmp_path / "log", lambda: None)
    assert (tmp_path / "log").read_text().count("error: step 2") == 1
    assert (draft.scratch() / GAVE_UP).is_file()


@pytest.mark.slow
def test_a_rank_killed_on_one_of_two_machines_is_started_anew(
    make_draft: MakeDraft, tmp_path: Path, machines: tuple[str, str], quiet: Draft
) -> None:
    killed = make_draft(tmp_path / "killed", **quiet.settings)
    run = {"ranks": 2, "machines": 2, "meet": MEET, "restarts": 1}
    placed(killed, **run)
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    beginning = "import sys; from pathlib import Path; from flows.launch import run_child; from flows.torchrun import torchrun; "
    beginning += "from schemas.recipe import Run; draft = Path(sys.argv[1]); "
    beginning += f"run_child(torchrun('model.train', draft, Run(**{run!r})), draft / 'log.txt', lambda: None)"
    commands = [[sys.executable, "-c", beginning, str(killed.path)], [sys.executable, "-m", "flows.cli", "join", str(killed.path)]]
    logs = [tmp_path / f"{name}.log" for name in machines]
    started = []
    for name, command, log in zip(machines, commands, logs, strict=True):
        with log.open("w") as file:
            inside = ["ip", "netns", "exec", name, *command]
            started.append(subprocess.Popen(inside, env=environment, stdout=file, stderr=subprocess.STDOUT))
    metrics, dead = killed.scratch() / "metrics.jsonl", None
    while any(process.poll() is None for process in started):
        if dead is None and metrics.is_file() and metrics.read_bytes().count(b"\n") >= 30:
            places = {os.readlink(f"/proc/{pid}/ns/net"): pid for pid in ranks_of(killed)}
            assert len(places) == 2 and os.readlink("/proc/self/ns/net") not in places
            dead = max(places.values())
            os.kill(dead, signal.SIGKILL)
        threading.Event().wait(0.02)
    assert [process.returncode for process in started] == [0, 0], "\n".join(log.read_text() for log in logs)
    assert dead is not None, "it was too quick to be killed"
    assert outcome(killed) == outcome(quiet)


def test_a_draft_of_one_machine_is_joined_by_none(make_draft: MakeDraft, tmp_path: Path) -> None:
    draft = make_draft(tmp_path / "draft", **tiny())
    with pytest.raises(RequestError, match="is trained on one machine: set run.machines and run.meet"):
        join(draft.path, print)


def test_the_address_is_that_of_the_interface_on_the_way() -> None:
    assert address_towards("127.0.0.1", 9) == "127.0.0.1" and interface_of("127.0.0.1") == "lo"
    assert interface_of("192.0.2.1") is None
