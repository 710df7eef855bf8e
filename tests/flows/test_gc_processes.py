"""Sweeps as processes: killed anywhere, beside a run, and with a person who is asked."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from flows.gc import Rules, examine, remove
from flows.lineage import lineage
from schemas.audit import audit
from schemas.store import Store
from tests.flows.conftest import RECIPE, Server, command_in, environment, write_raw
from tests.flows.stores import DAY, NOW, age_artifact, make, old, relative

ROOT = Path(__file__).parents[2]

KILLED = """
import os, signal, sys, time
from flows.gc import Rules, examine, remove
from schemas.store import Store
store, rules, left = Store(sys.argv[1]), Rules(1, 7 * 86400.0), int(sys.argv[2])
findings = examine(store, rules, time.time())
def hook(event, arguments):
    global left
    if event in ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link", "os.utime"):
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(hook)
assert remove(store, rules, findings) == []
"""


@pytest.mark.slow
def test_kill_9_before_any_change_leaves_nothing_half(tmp_path: Path) -> None:
    """The removal dies before its n-th change of a file, for each n or some twenty of them, until one gets through."""
    whole = Store(tmp_path / "whole")
    made = old(whole, 3)
    tokens = make(whole, "tokens", "d", 0, {"documents": made[0].manifest.content_digest})
    later = make(whole, "tokens", "d", 1, {"documents": made[2].manifest.content_digest})
    for artifact in (tokens, later):
        age_artifact(whole, artifact, 30, NOW)
    survivors = {relative(whole, made[2]), relative(whole, later)}
    killed = 0
    for moment in range(0, 1000, 3):
        store = Store(tmp_path / f"killed{moment}")
        shutil.copytree(whole.root, store.root)  # with its times
        done = subprocess.run([sys.executable, "-c", KILLED, str(store.root), str(moment)], cwd=ROOT, env=environment(), check=False)
        left = list(store.artifacts())
        assert [finding for a in left for finding in audit(a)] == [] and store.damaged() == []
        listed = {p.relative_to(store.root).as_posix() for kind in ("documents", "tokens") for p in store.versions(kind, "d")}
        assert listed == {relative(store, a) for a in left} >= survivors
        for artifact in left:  # what was made from others goes first
            assert len(lineage(store, artifact)) == (2 if artifact.kind == "tokens" else 1)
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL
        killed += 1
        remove(store, Rules(1, 7 * DAY), examine(store, Rules(1, 7 * DAY), NOW))
        assert list((store.root / ".trash").glob("*")) == []
    assert killed >= 10 and listed == survivors


@pytest.mark.slow
def test_the_command_shows_first_and_removes_on_yes(tmp_path: Path) -> None:
    store = Store(tmp_path / ".gristmill" / "store")
    made = old(store, 3)
    gristmill = command_in(tmp_path)
    shown = gristmill("gc", "--keep", "1").stdout
    assert shown.count("goes   artifact") == 2 and "nothing was removed" in shown
    told = json.loads(gristmill("gc", "--keep", "1", "--json").stdout)
    assert not told["removed"] and len(list(store.artifacts())) == 3
    assert {row["path"] for row in told["things"] if not row["stays"]} == {relative(store, a) for a in made[:2]}
    assert json.loads(gristmill("gc", "--keep", "1", "--yes", "--json").stdout)["removed"]
    assert [a.path for a in store.artifacts()] == [made[2].path]
    assert "may go" in gristmill("gc", "--yes").stdout
    assert gristmill("gc", "--store", "nowhere", check=False).returncode == 2


@pytest.mark.slow
def test_a_person_at_a_terminal_is_asked(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    old(store, 2)
    for answer, left in (("n", 2), ("y", 1)):
        ours, theirs = os.openpty()
        command = [sys.executable, "-m", "flows.cli", "gc", "--keep", "1", "--store", str(store.root)]
        with subprocess.Popen(command, cwd=ROOT, env=environment(), stdin=theirs, stdout=subprocess.PIPE, text=True) as asked:
            os.write(ours, f"{answer}\n".encode())
            shown, _ = asked.communicate(timeout=60)
        os.close(ours)
        os.close(theirs)
        assert "Remove " in shown and len(list(store.artifacts())) == left


@pytest.mark.slow
def test_a_run_never_feels_sweeps_beside_it(tmp_path: Path, server: Server) -> None:
    """Sweeps without any grace, one after the other, while a run makes and a second one reuses: the leases alone guard them."""
    write_raw(tmp_path / "raw")
    (tmp_path / "tiny.yaml").write_text(RECIPE)
    store, sweeps = Store(tmp_path / ".gristmill" / "store"), 0
    command = [sys.executable, "-m", "flows.cli", "run", "tiny.yaml", "--until", "tokens"]
    for _ in range(2):
        with (
            open(tmp_path / "log", "w") as log,
            subprocess.Popen(command, cwd=tmp_path, env=environment() | server, stderr=log, stdout=log) as run,
        ):
            while run.poll() is None:
                if store.root.is_dir():
                    remove(store, Rules(1, 0), examine(store, Rules(1, 0), time.time()))
                    sweeps += 1
                time.sleep(0.02)
        assert run.returncode == 0, (tmp_path / "log").read_text()
    assert sweeps > 20
    assert [(a.kind, audit(a)) for a in store.artifacts()] == [(kind, []) for kind in ("documents", "tokenizer", "tokens")]
