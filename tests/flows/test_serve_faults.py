"""What serving survives: each process killed, a locked database, a schedule that was missed, PostgreSQL instead of SQLite."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.flows.deployed import Serving, serving


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(tmp_path_factory.mktemp("served")) as one:
        yield one


def started(served: Serving, deployment: str = "build/long") -> str:
    """A run that has begun to work."""
    run = served.begin(deployment, workers=1)
    served.until(lambda: bool(served.processes("pipelines.")) or served.run(run)["state"]["type"] == "COMPLETED", "it works", 600)
    return run


def fresh(served: Serving) -> None:
    """Let the next run make everything anew."""
    shutil.rmtree(served.folder / ".gristmill" / "store", ignore_errors=True)


@pytest.mark.slow
def test_a_killed_run_goes_on_by_itself(served: Serving) -> None:
    run = started(served)
    served.kill("prefect.engine")
    served.until(lambda: served.state(run) == "AwaitingRetry", "it is to go on")
    assert not served.processes("pipelines.")
    assert served.ends(run)["type"] == "COMPLETED"
    assert served.run(run)["run_count"] == 2
    assert "its process died; it goes on" in served.gristmill("logs", run[:8]).stdout


@pytest.mark.slow
def test_a_killed_server_is_started_again_and_the_run_ends(served: Serving) -> None:
    fresh(served)
    run = started(served)
    served.kill("prefect.server.api.server")
    served.until(lambda: "it is started again" in served.said, "the server is started again")
    assert served.ends(run)["type"] == "COMPLETED"
    assert served.ends(served.begin("report/long"))["type"] == "COMPLETED"


@pytest.mark.soak
def test_a_locked_database_is_waited_for(served: Serving) -> None:
    fresh(served)
    run = started(served)
    with contextlib.closing(sqlite3.connect(served.folder / ".gristmill" / "prefect" / "prefect.db", timeout=60)) as database:
        database.execute("BEGIN IMMEDIATE")
        time.sleep(20)
        database.rollback()
    assert served.ends(run)["type"] == "COMPLETED"


@pytest.mark.soak
def test_a_run_that_falls_silent_is_marked_as_crashed(served: Serving) -> None:
    """Its process is stopped, not ended: nothing tells of it but that its heart beats no more."""
    fresh(served)
    run = served.begin("pretrain/long", workers=1)
    served.until(lambda: bool(served.processes("torch.distributed.run")), "it trains", 600)
    (process,) = served.processes("prefect.engine")
    os.kill(process, signal.SIGSTOP)
    try:
        served.until(lambda: served.state(run) == "Crashed", "it is marked as crashed", 600)
        assert "no sign of life" in served.run(run)["state"]["message"]
    finally:
        served.gristmill("cancel", run[:8], check=False)
        os.kill(process, signal.SIGKILL)
    served.until(lambda: not served.processes("torch.distributed.run"), "what it had started is gone", 30)


@pytest.mark.soak
def test_kill_9_of_serve_leaves_nothing_and_the_run_goes_on_with_the_next(served: Serving) -> None:
    fresh(served)
    run = started(served)
    served.process.kill()
    served.process.wait()
    served.until(lambda: not served.processes(), "no process is left", 30)
    served.start()
    assert [one["name"] for one in served.ask("automations/filter", {})] == ["gristmill: zombies"]
    assert served.ends(run)["type"] == "COMPLETED"
    assert served.run(run)["run_count"] == 2


@pytest.mark.soak
def test_ending_serve_lets_a_run_go_on_with_the_next(served: Serving) -> None:
    fresh(served)
    run = started(served)
    assert served.end() == 0
    assert not served.processes()
    served.start()
    assert served.ends(run)["type"] == "COMPLETED"


@pytest.mark.soak
def test_schedules_fire_and_a_missed_one_runs_once(tmp_path: Path) -> None:
    with serving(tmp_path, "--schedule", "maintenance=* * * * *") as one:
        (tmp_path / ".gristmill" / "store").mkdir()
        deployed = one.deployments()["maintenance/long"]["id"]
        body = {"deployments": {"id": {"any_": [deployed]}}, "sort": "EXPECTED_START_TIME_ASC"}
        ran = {"flow_runs": {"state": {"type": {"any_": ["PENDING", "RUNNING", "COMPLETED"]}}}}
        one.until(lambda: len(one.ask("flow_runs/filter", body | ran)) >= 1, "the schedule fired", 400)
        one.end()
        time.sleep(150)  # two or three times are missed
        one.start()
        missed = re.findall(r"missed +(\d+) runs of a schedule; one is made up for", one.said)
        late = {"flow_runs": {"state": {"name": {"any_": ["Late"]}}}}
        one.until(lambda: not one.ask("flow_runs/filter", body | late), "it caught up")
        assert len(missed) == 2, "a deployment of each recipe has the schedule"
        assert all(int(number) >= 2 for number in missed)


@pytest.fixture
def postgresql(tmp_path: Path) -> Iterator[str]:
    """A PostgreSQL of one's own, as root may not run it: by the user nobody."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not found:
        pytest.skip("needs PostgreSQL: apt-get install postgresql")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    data = Path(os.path.realpath("/tmp")) / f"gristmill-postgres-{os.getpid()}"
    data.mkdir()
    user: dict[str, str] = {}
    if os.getuid() == 0:
        shutil.chown(data, "nobody")
        user = {"user": "nobody"}
    try:
        subprocess.run([found[-1] / "initdb", "-D", data / "db", "-U", "mill", "-A", "trust"], check=True, capture_output=True, **user)
        command = [found[-1] / "postgres", "-D", data / "db", "-p", str(port), "-h", "127.0.0.1", "-k", str(data)]
        with (tmp_path / "postgres.log").open("w") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, **user)
        time.sleep(3)
        yield f"postgresql+asyncpg://mill@127.0.0.1:{port}/postgres"
        process.send_signal(signal.SIGINT)
        process.wait(30)
    finally:
        shutil.rmtree(data, ignore_errors=True)


@pytest.mark.soak
def test_postgresql_holds_the_state_behind_a_password(tmp_path: Path, postgresql: str) -> None:
    with serving(tmp_path, "--database", postgresql, "--host", "0.0.0.0", PREFECT_SERVER_API_AUTH_STRING="mill:grist") as one:
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(f"{one.url}/flows/count", data=b"{}", timeout=60)
        assert one.ends(one.begin("build/tiny", workers=1))["type"] == "COMPLETED"
        assert not (tmp_path / ".gristmill" / "prefect" / "prefect.db").exists()
