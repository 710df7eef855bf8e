"""kill -9 of the whole run anywhere: the next run ends with the same bytes, and nothing is left running.

The seed of the moments is printed; GRISTMILL_SEED sets it.
"""

import os
import random
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from schemas.store import Store
from tests.flows.conftest import RECIPE, Server, command_in, environment, write_raw
from tests.flows.test_launch import wait_for


def digests(folder: Path) -> dict[str, str]:
    """Digest of every file of the two artifacts by its path."""
    store = Store(folder / ".gristmill" / "store")
    return {f"{a.kind}/{f.path}": f.digest for a in store.artifacts() if a.kind in ("documents", "tokens") for f in a.manifest.files()}


def processes_in(folder: Path) -> list[int]:
    """Processes whose working directory is `folder`."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if os.readlink(entry / "cwd") == str(folder) and (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
            except (FileNotFoundError, PermissionError, ProcessLookupError):
                continue
    return found


def nobody_in(folder: Path) -> bool:
    return not processes_in(folder)


def killed_after(folder: Path, seconds: float) -> bool:
    """Start the run, kill it after a while; False if it was done by then."""
    arguments = [sys.executable, "-m", "flows.cli", "run", "tiny.yaml", "--until", "tokens"]
    run = subprocess.Popen(arguments, cwd=folder, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        run.wait(seconds)
        return False
    except subprocess.TimeoutExpired:
        os.kill(run.pid, signal.SIGKILL)
        run.wait()
        return True


def prepare(folder: Path) -> None:
    write_raw(folder / "raw")
    (folder / "tiny.yaml").write_text(RECIPE)


def check_kills(tmp_path: Path, moments: int) -> None:
    seed = int(os.environ.get("GRISTMILL_SEED", time.time_ns() % 1_000_000))
    print(f"GRISTMILL_SEED={seed}")
    draw = random.Random(seed)
    whole = tmp_path / "whole"
    prepare(whole)
    started = time.monotonic()
    command_in(whole)("run", "tiny.yaml", "--until", "tokens")
    length = time.monotonic() - started
    for n in range(moments):
        folder = tmp_path / f"killed{n}"
        prepare(folder)
        moment = draw.uniform(0.3, 1.0) * length
        was_killed = killed_after(folder, moment)
        wait_for(partial(nobody_in, folder), "no process is left")
        command_in(folder)("run", "tiny.yaml", "--until", "tokens")
        assert digests(folder) == digests(whole), f"killed={was_killed} after {moment:.2f} s of {length:.2f}"


@pytest.mark.slow
def test_kill_at_a_random_moment(tmp_path: Path) -> None:
    check_kills(tmp_path, 1)


@pytest.mark.soak
def test_kill_at_thirty_random_moments(tmp_path: Path) -> None:
    check_kills(tmp_path, 30)


@pytest.mark.slow
def test_a_terminated_run_leaves_no_process_and_can_be_finished(tmp_path: Path) -> None:
    prepare(tmp_path)
    arguments = [sys.executable, "-m", "flows.cli", "run", "tiny.yaml", "--until", "documents"]
    run = subprocess.Popen(arguments, cwd=tmp_path, env=environment(), stderr=subprocess.DEVNULL)
    wait_for(lambda: any((tmp_path / ".gristmill" / "store" / "documents").glob("tiny/*/parts")), "the work has begun")
    run.terminate()
    assert run.wait(60) != 0
    wait_for(partial(nobody_in, tmp_path), "no process is left")
    command_in(tmp_path)("run", "tiny.yaml", "--until", "documents")
    assert len(list((tmp_path / ".gristmill" / "store" / "documents" / "tiny").iterdir())) == 1


@pytest.mark.slow
def test_two_simultaneous_runs_make_one_artifact(tmp_path: Path) -> None:
    prepare(tmp_path)
    arguments = [sys.executable, "-m", "flows.cli", "run", "tiny.yaml", "--until", "documents"]
    runs = [subprocess.Popen(arguments, cwd=tmp_path, env=environment(), stderr=subprocess.PIPE, text=True) for _ in range(2)]
    errors = [run.communicate(timeout=300)[1] for run in runs]
    assert [run.returncode for run in runs] == [0, 0], errors
    assert len(list((tmp_path / ".gristmill" / "store" / "documents" / "tiny").iterdir())) == 1
    assert sum("run: there is no documents/tiny yet" in e for e in errors) == 1


@pytest.mark.slow
def test_one_worker_and_two_give_the_same_bytes(tmp_path: Path, server: Server) -> None:
    for workers in ("1", "2"):
        prepare(tmp_path / workers)
        command_in(tmp_path / workers, server)("run", "tiny.yaml", "--until", "tokens", "--workers", workers)
    assert digests(tmp_path / "1") == digests(tmp_path / "2")
