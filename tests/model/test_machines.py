"""The model: a run over two machines, here network namespaces with an address each: one rank on each; one is killed, and the run
goes on from its newest checkpoint by itself."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.torchrun import join
from model.network import address_towards, interface_of
from schemas.errors import RequestError
from tests.model.test_spread import placed, ranks_of
from tests.model.test_train import MakeDraft, launch, outcome, tiny

MEET = "10.213.7.1:29471"


def ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True)
    if done.returncode:
        raise OSError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")


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


@pytest.mark.slow
def test_a_rank_killed_on_one_of_two_machines_is_started_anew(make_draft: MakeDraft, tmp_path: Path, machines: tuple[str, str]) -> None:
    settings = tiny(steps=80, checkpoint_every=20, validate_every=1000, keep_checkpoints=2)
    quiet, killed = make_draft(tmp_path / "quiet", **settings), make_draft(tmp_path / "killed", **settings)
    process = launch(quiet, 2)
    assert process.wait() == 0, process.communicate()[1].decode()

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
