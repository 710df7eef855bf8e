"""`gristmill serve` as people use it: what is deployed, runs by the API, queues, cancelling, and what the terminal shows of it."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from schemas.store import Store
from tests.flows.chromium import needs_chromium, tab
from tests.flows.conftest import command_in
from tests.flows.deployed import Serving, serving

pytestmark = pytest.mark.slow

NAMES = ("ingest", "build", "pretrain", "finetune", "evaluate", "report", "maintenance")


NOTICES: list[dict[str, str]] = []


class _Listener(BaseHTTPRequestHandler):
    """Somebody's webhook."""

    def do_POST(self) -> None:
        NOTICES.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None: ...


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Listener) as listener:
        threading.Thread(target=listener.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{listener.server_port}/"
        with serving(tmp_path_factory.mktemp("served"), "--schedule", "report=0 3 * * *", GRISTMILL_NOTIFY_URL=url) as one:
            yield one
            ends_when_told_and_leaves_nothing(one)
        listener.shutdown()


def ends_when_told_and_leaves_nothing(served: Serving) -> None:
    """No test of its own: where tests are dealt to processes, others could follow it."""
    assert served.end() == 0
    assert not served.processes()
    assert "nobody serves" in served.gristmill("flows", check=False).stderr


def test_deployments_are_listed_with_documented_parameters(served: Serving) -> None:
    deployed = served.deployments()
    assert set(deployed) == {f"{flow}/{name}" for flow in NAMES for name in ("tiny", "long")}
    for name, one in deployed.items():
        flow, _, recipe = name.partition("/")
        assert set(one["tags"]) == {"gristmill", recipe, flow, f"machine:{os.uname().nodename}"}
        assert one["description"].endswith(".")
        assert (one["global_concurrency_limit"]["limit"], one["concurrency_options"]["collision_strategy"]) == (1, "ENQUEUE")
        parameters = one["parameter_openapi_schema"]["properties"]
        assert all(parameter["description"].endswith((".", ")")) for parameter in parameters.values()), parameters
        assert one["parameters"]["store"] == str(served.folder / ".gristmill" / "store")
    assert deployed["build/tiny"]["parameter_openapi_schema"]["properties"]["workers"]["anyOf"][0]["minimum"] == 1
    assert [one["schedule"]["cron"] for one in deployed["report/tiny"]["schedules"]] == ["0 3 * * *"]
    automations = {one["name"] for one in served.ask("automations/filter", {})}
    store = (served.folder / ".gristmill" / "store").resolve()
    assert automations == {"gristmill: zombies", *(f"gristmill: tell of {what}, {store}" for what in ("failure", "promotion", "refusal"))}


def test_the_server_plans_the_runs_of_a_schedule(served: Serving) -> None:
    """Its scheduler does it, which can fail with nothing but a log to say so."""
    body = {"deployments": {"id": {"any_": [served.deployments()["report/tiny"]["id"]]}}}
    served.until(lambda: bool(served.ask("flow_runs/filter", body)), "the next times of the schedule are planned", 180)
    planned = served.ask("flow_runs/filter", body)
    assert all(run["auto_scheduled"] and run["state"]["type"] == "SCHEDULED" for run in planned)
    assert "report tiny" not in served.gristmill("flows").stdout  # what is not due yet is not shown


@needs_chromium
def test_the_pages_show_deployments_and_what_parameters_mean(served: Serving, tmp_path: Path) -> None:
    pages, deployed = served.url.removesuffix("/api"), served.deployments()["ingest/tiny"]["id"]
    with tab(tmp_path / "profile") as page:
        for path, wanted in (("deployments", "maintenance"), (f"deployments/deployment/{deployed}/run", "must have been unchanged")):
            page.open(f"{pages}/{path}")
            served.until(lambda wanted=wanted: wanted in str(page.evaluate("document.body.innerText")), f"{path} shows {wanted}", 120)  # type: ignore[misc]


@pytest.mark.soak
def test_a_run_is_tracked_and_a_second_one_queues(served: Serving) -> None:
    first, second = served.begin("build/tiny", workers=1), served.begin("build/tiny", workers=1)
    served.until(lambda: "AwaitingConcurrencySlot" in {served.state(first), served.state(second)}, "one of the two waits")
    assert {served.ends(first)["type"], served.ends(second)["type"]} == {"COMPLETED"}
    run = served.run(first)
    assert run["name"] == "build tiny"
    made = [a for one in (first, second) for a in served.artifacts(one)]
    assert {"tiny-documents", "tiny-tokens", "tiny-tokenizer", "tiny-documents-progress"} <= {a["key"] for a in made}
    table = next(json.loads(a["data"]) for a in made if a["key"] == "tiny-documents" and a["type"] == "table")
    assert {row["source"] for row in table} == {"notes", "reviews", "code"}
    reference = Store(served.folder / ".gristmill" / "store").find("documents/tiny").reference
    assert any(reference in line for line in served.gristmill("logs", first[:8]).stdout.splitlines())
    assert [one["state"] for one in json.loads(served.gristmill("flows", "--json").stdout)][:2] == ["Completed"] * 2


def test_cancelled_training_leaves_a_checkpoint_and_no_process(served: Serving) -> None:
    run = served.begin("pretrain/long", workers=1)
    served.until(lambda: bool(list(_checkpoints(served))) or "steps of" in served.gristmill("flows").stdout, "the training trains", 600)
    shown = json.loads(served.gristmill("flows", "--json").stdout)[0]
    assert (shown["run"], shown["state"], shown["step"]) == ("pretrain long", "Running", "pretrain")
    assert "cancelling" in served.gristmill("cancel", "pretrain long").stdout
    assert served.ends(run)["type"] == "CANCELLED"
    served.until(lambda: not served.processes("torch.distributed.run") and not served.processes("model.train"), "nothing trains", 15)
    served.until(lambda: not served.processes("prefect.engine"), "its flow has ended", 15)
    assert list(_checkpoints(served))
    again = served.begin("pretrain/long", workers=1)
    served.until(lambda: "an unfinished run left" in served.gristmill("logs", again[:8]).stdout, "the next run goes on from it")
    served.gristmill("cancel", again[:8])
    assert served.ends(again)["type"] == "CANCELLED"
    assert "has ended" in served.gristmill("cancel", again[:8], check=False).stderr


def _checkpoints(served: Serving) -> Iterator[Path]:
    yield from (served.folder / ".gristmill" / "store" / "model" / "long").glob("*/work/checkpoints/*/*")


def test_bad_parameters_and_failures_say_why(served: Serving) -> None:
    broken = served.begin("report/long", recipe=str(served.folder / "none.yaml"))
    state = served.ends(broken)
    assert state["type"] == "FAILED"
    assert "none.yaml" in state["message"]
    served.until(lambda: bool(NOTICES), "the failure is told")
    assert NOTICES[0]["event"] == "failure"
    assert "none.yaml" in NOTICES[0]["text"]


def test_only_one_serves_in_a_place(served: Serving) -> None:
    done = served.gristmill("serve", "tiny.yaml", "--port", "0", check=False)
    assert done.returncode == 2
    assert f"process {served.process.pid}" in done.stderr


def test_another_store_can_not_take_the_deployments_of_a_name(served: Serving, tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text("name: tiny\ncorpus: {sources: [{name: s, path: raw, format: txt}]}\n")
    done = command_in(tmp_path, {"PREFECT_API_URL": served.url})("serve", "tiny.yaml", check=False)
    assert done.returncode == 2
    store = (served.folder / ".gristmill" / "store").resolve()
    assert f"served at this server, with the store {store} on {os.uname().nodename}" in done.stderr
    [kept] = served.ask("deployments/filter", {"deployments": {"name": {"any_": ["tiny"]}, "tags": {"all_": ["ingest"]}}})
    assert kept["parameters"]["store"] == str(store) and not kept["paused"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--host", "0.0.0.0"], "PREFECT_SERVER_API_AUTH_STRING"),
        (["--schedule", "nothing=* * * * *"], "there is no flow 'nothing'"),
        (["--schedule", "ingest=often"], "no time of cron"),
    ],
)
def test_what_can_not_be_served_is_refused(tmp_path: Path, options: list[str], says: str) -> None:
    (tmp_path / "a.yaml").write_text("name: a\ncorpus: {sources: [{name: s, path: raw, format: txt}]}\n")
    done = command_in(tmp_path)("serve", "a.yaml", "--port", "0", *options, check=False)
    assert done.returncode == 2
    assert says in done.stderr
