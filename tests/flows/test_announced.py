"""What was decided is told at least once, whoever is killed and when, and by its id a server keeps it once."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from schemas.champion import history
from schemas.store import Store
from tests.flows.conftest import Server, environment
from tests.flows.retrained import bundle, decision
from tests.flows.test_retraining import RECIPE

pytestmark = pytest.mark.slow

KILLED = """
import os, signal, sys
from flows.arriving import sent
from flows.retraining import announced
from flows.retraining.flow import retrain
from schemas.recipe_file import load_recipe
from schemas.store import Store
place, name = {"reign": (announced, "send"), "event": (sent, "replace")}[sys.argv[1]]
setattr(place, name, lambda *_: os.kill(os.getpid(), signal.SIGKILL))
retrain(load_recipe("r.yaml"), Store(".gristmill/store"), None, False)
"""
"""A retraining that is killed behind a reign, before its event is sent; or behind that, before it is marked as sent."""


def events(server: Server, resource: str) -> list[dict[str, Any]]:
    asked = json.dumps({"filter": {"resource": {"id": [resource]}}}).encode()
    request = urllib.request.Request(f"{server['PREFECT_API_URL']}/events/filter", asked, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        found: list[dict[str, Any]] = json.load(answer)["events"]
    return found


def test_a_reign_whose_process_was_killed_before_it_was_told_of_is_told_of_by_the_next(tmp_path: Path, server: Server) -> None:
    name = f"r{time.time_ns()}"
    (tmp_path / "r.yaml").write_text(RECIPE.replace("name: r\n", f"name: {name}\n"))
    store = Store(tmp_path / ".gristmill" / "store")

    def run(*command: str) -> subprocess.CompletedProcess[str]:
        env = environment() | server
        return subprocess.run([sys.executable, *command], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=300)

    bundle(store, name)
    assert run("-m", "flows.cli", "promote", name).returncode == 0
    about = decision(store, 1, bundle(store, f"{name}-challenger", 1), name=name)
    for at in ("reign", "event"):
        assert run("-c", KILLED, at).returncode == -signal.SIGKILL
        assert [one.decision for one in history(store.root, name)] == [None, about.reference]
        assert not list((store.root / ".cache" / "told").glob("*"))
    done = run("-m", "flows.cli", "retrain", "r.yaml", "--json")
    assert done.returncode == 0 and json.loads(done.stdout)["action"] == "wait", done.stderr
    deadline = time.monotonic() + 60
    while not (found := events(server, f"gristmill.champion.{name}")) and time.monotonic() < deadline:
        time.sleep(0.5)
    time.sleep(6)  # the server stores what it was sent in batches
    [event] = events(server, f"gristmill.champion.{name}")
    assert event["event"] == "gristmill.champion.promoted" and event["id"] == found[0]["id"]
    assert event["payload"]["decision"] == about.reference and event["payload"]["reign"] == 2
    assert any(related["prefect.resource.role"] == "flow-run" for related in event["related"])
    assert (store.root / ".cache" / "told" / f"{name}@decision").read_text() == event["id"]
