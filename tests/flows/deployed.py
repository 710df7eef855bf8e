"""The model: a *serving* is `gristmill serve` as a process of its own in a folder of its own, and its API as a person would ask it."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.flows.conftest import RECIPE, Command, command_in, environment, write_raw

Json = dict[str, Any]

LONG = RECIPE.replace("steps: 12", "steps: 200000").replace("checkpoint_every: 4", "checkpoint_every: 100000")


class Serving:
    """A running one."""

    def __init__(self, folder: Path, names: Sequence[str], *options: str, **env: str) -> None:
        self.folder, self._names = folder, names
        self._options, self._env = options, env
        self.start()

    def start(self) -> None:
        """Start it, and wait until all is deployed."""
        run_in = environment() | {"OMP_NUM_THREADS": "1", "PREFECT_DEPLOYMENT_CONCURRENCY_SLOT_WAIT_SECONDS": "3"} | self._env
        command = [sys.executable, "-m", "flows.cli", "serve", *(f"{name}.yaml" for name in self._names), "--port", "0", *self._options]
        if "--interval" not in self._options:
            command.append("--no-watch")
        self.log = self.folder / "serve.log"
        with self.log.open("w") as output:
            self.process = subprocess.Popen(command, cwd=self.folder, env=run_in, stdout=output, stderr=output)
        self.until(lambda: "ready  " in self.said or self.process.poll() is not None, "all is deployed", 600)
        assert self.process.poll() is None, self.said
        self.url = json.loads((self.folder / ".gristmill" / "serve.json").read_text())["url"]

    @property
    def said(self) -> str:
        return self.log.read_text()

    @property
    def gristmill(self) -> Command:
        return command_in(self.folder)

    def ask(self, path: str, body: Json | None = None, method: str | None = None) -> Any:
        request = urllib.request.Request(f"{self.url}/{path}", headers={"content-type": "application/json"}, method=method)
        request.data = json.dumps(body).encode() if body is not None else None
        if secret := self._env.get("PREFECT_SERVER_API_AUTH_STRING"):
            request.add_header("authorization", f"Basic {base64.b64encode(secret.encode()).decode()}")
        for attempt in range(10):
            try:
                with urllib.request.urlopen(request, timeout=60) as answer:
                    return json.loads(answer.read() or "null")
            except urllib.error.HTTPError as error:  # the database is locked just now: Prefect's own clients ask again, too
                if error.code != 503 or attempt == 9:
                    raise
                time.sleep(1)
        raise AssertionError("unreachable")

    def deployments(self) -> dict[str, Json]:
        found = self.ask("deployments/filter", {})
        flows = {flow["id"]: flow["name"] for flow in self.ask("flows/filter", {})}
        return {f"{flows[one['flow_id']]}/{one['name']}": one for one in found}

    def begin(self, deployment: str, **parameters: Any) -> str:
        """Start a run; its id."""
        found = self.deployments()[deployment]["id"]
        return str(self.ask(f"deployments/{found}/create_flow_run", {"parameters": parameters, "state": {"type": "SCHEDULED"}})["id"])

    def run(self, id: str) -> Json:
        found: Json = self.ask(f"flow_runs/{id}")
        return found

    def state(self, id: str) -> str:
        return str(self.run(id)["state"]["name"])

    def ends(self, id: str, limit: float = 600) -> Json:
        """Wait until a run has ended; its state."""
        self.until(lambda: self.run(id)["state"]["type"] in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED"), f"run {id} has ended", limit)
        found: Json = self.run(id)["state"]
        return found

    def artifacts(self, id: str) -> list[Json]:
        return list(self.ask("artifacts/filter", {"flow_runs": {"id": {"any_": [id]}}}))

    def until(self, true: Callable[[], bool], what: str, limit: float = 300) -> None:
        deadline = time.monotonic() + limit
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError):  # the server is away for a while
                if true():
                    return
            time.sleep(0.3)
        raise AssertionError(f"waited in vain until {what}\n{self.said[-4000:]}")

    def processes(self, containing: str = "") -> list[int]:
        """Processes that work in the folder."""
        found = []
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if entry.name.isdigit() and os.readlink(entry / "cwd") == str(self.folder):
                    line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                    if line and containing in line:
                        found.append(int(entry.name))
        return found

    def kill(self, containing: str) -> None:
        for process in self.processes(containing):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(120)


@contextlib.contextmanager
def serving(folder: Path, *options: str, **env: str) -> Iterator[Serving]:
    """Two recipes: one that is done soon, and one that trains for hours."""
    write_raw(folder / "raw")
    with serving_of(folder, {"tiny": RECIPE, "long": LONG.replace("name: tiny", "name: long")}, *options, **env) as one:
        yield one


@contextlib.contextmanager
def serving_of(folder: Path, recipes: Mapping[str, str], *options: str, **env: str) -> Iterator[Serving]:
    for name, recipe in recipes.items():
        (folder / f"{name}.yaml").write_text(recipe)
    one = Serving(folder, list(recipes), *options, **env)
    try:
        yield one
    finally:
        one.process.kill()
        one.process.wait()
