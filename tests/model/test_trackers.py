"""The model: trackers are told what the metrics say, and no run ends, waits long or tells a secret because of one."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from model import trackers
from model.trackers import About, Tracking, numbers_of, without_secrets
from model.train import main
from schemas.draft import Draft
from tests.model.test_train import interrupted, outcome, tiny

MakeDraft = Callable[..., Draft]


def rows_of(draft: Draft) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (draft.path / "metrics.jsonl").read_text().splitlines()]


def tracked(draft: Draft, **run: Any) -> Draft:
    draft.assign(inputs={role: artifact.path for role, artifact in draft._inputs.items()}, roots={}, run={"ranks": 1, **run})
    return Draft.open(draft.path)


class Server:
    """What of MLflow's REST API a tracker calls, over HTTP; `broken` answers errors."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.allowed: set[str | None] = set()
        self.broken = False
        self.experiments: dict[str, str] = {}
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.answer({})

            def do_POST(self) -> None:
                self.answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

            def answer(self, body: dict[str, Any]) -> None:
                what, _, query = self.path.removeprefix("/api/2.0/mlflow/").partition("?")
                server.calls.append((what, body))
                server.allowed.add(self.headers["Authorization"])
                code, told = 200, {}
                if server.broken:
                    code, told = 500, {"message": "no"}
                elif what == "experiments/get-by-name":
                    name = query.removeprefix("experiment_name=")
                    code, told = (200, {"experiment": {"experiment_id": "7"}}) if name in server.experiments else (404, {})
                elif what == "experiments/create":
                    server.experiments[body["name"]] = "7"
                    told = {"experiment_id": "7"}
                elif what == "runs/create":
                    told = {"run": {"info": {"run_id": "r1"}}}
                data = json.dumps(told).encode()
                self.send_response(code)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *args: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self.http.server_port}"

    def metrics(self) -> set[tuple[int, str, float]]:
        return {(m["step"], m["key"], m["value"]) for what, body in self.calls if what == "runs/log-batch" for m in body.get("metrics", ())}


@pytest.fixture
def server() -> Iterator[Server]:
    found = Server()
    threading.Thread(target=found.http.serve_forever, daemon=True).start()
    yield found
    found.http.shutdown()


def test_an_mlflow_server_is_told_settings_and_metrics_and_a_resumed_run_goes_on(
    server: Server, make_draft: MakeDraft, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:pass%2Fword@{server.address}")
    draft = make_draft(tmp_path / "small" / "v1", **tiny(checkpoint_every=1))
    assert main([str(draft.path)]) == 0
    assert server.allowed == {f"Basic {base64.b64encode(b'me:pass/word').decode()}"}
    wanted = {(row["step"], key, value) for row in rows_of(draft) for key, value in numbers_of(row).items()}
    assert wanted <= server.metrics() and (6, "bits_per_byte/zh") in {(step, key) for step, key, _ in server.metrics()}
    params = {p["key"]: p["value"] for what, body in server.calls if what == "runs/log-batch" for p in body.get("params", ())}
    assert params["model.width"] == "32" and params["optimizer.name"] == '"muon"'
    assert (server.calls[-1][0], server.calls[-1][1]["status"]) == ("runs/update", "FINISHED")
    before = len(server.calls)
    again = interrupted(draft, tmp_path / "small" / "v2", 3)
    assert main([str(again.path)]) == 0
    later = server.calls[before:]
    assert "runs/create" not in [what for what, _ in later]
    assert min(m["step"] for _, body in later for m in body.get("metrics", ())) == 4
    assert outcome(again) == outcome(draft)


@pytest.mark.parametrize("fault", ["broken", "gone", "no server"])
def test_a_run_goes_on_without_a_tracker_that_fails(
    server: Server, make_draft: MakeDraft, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], fault: str
) -> None:
    server.broken = fault == "broken"
    uri = {"broken": f"http://me:hunter2@{server.address}", "gone": "http://me:hunter2@127.0.0.1:9", "no server": "file:///tmp/hunter2"}[
        fault
    ]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert main([str(make_draft(tmp_path / "draft", **tiny()).path)]) == 0
    said = capsys.readouterr()
    assert said.out.count("; the run goes on without it") == 1 and "mlflow: " in said.out
    assert "hunter2" not in said.out + said.err
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or b"hunter2" not in path.read_bytes(), path


def test_a_tracker_that_hangs_holds_nothing_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trackers, "CLOSING", 0.1)
    monkeypatch.setattr(trackers, "MOST_WAITING", 3)
    released, said = threading.Event(), []

    def hangs(about: About) -> Any:
        released.wait(60)

    tracking = Tracking("slow", hangs, About("a", "b", {}, tmp_path, 0), said.append)
    for step in range(10):
        tracking.add(step, 0.0, {"loss": 1.0})
    tracking.close(True)
    assert said == ["slow: it is too slow; the run goes on without it"]
    released.set()


def test_what_is_said_has_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "k3y")
    assert without_secrets("no https://me:pw@host/x\nfor k3y") == "no https://***@host/x for ***"


def test_tensorboard_reads_what_the_metrics_say(make_draft: MakeDraft, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="tensorboard is not installed: pip install 'gristmill[tensorboard]'")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    draft = tracked(make_draft(tmp_path / "small" / "v1", **tiny(checkpoint_every=1)), tensorboard=str(tmp_path / "events"))
    assert main([str(draft.path)]) == 0
    for resumed in (False, True):
        if resumed:
            again = tracked(interrupted(draft, tmp_path / "other" / "small" / "v1", 3), tensorboard=str(tmp_path / "events"))
            assert main([str(again.path)]) == 0
        events = EventAccumulator(str(tmp_path / "events" / "small" / "v1"))
        events.Reload()
        for row in rows_of(draft):
            for name, value in numbers_of(row).items():
                found = [event.value for event in events.Scalars(name) if event.step == row["step"]]
                assert found == [pytest.approx(value, rel=1e-6)], (resumed, name, row["step"])


def test_weights_and_biases_takes_an_offline_run(make_draft: MakeDraft, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb", reason="wandb is not installed: pip install 'gristmill[wandb]'")
    for name, value in {"WANDB_MODE": "offline", "WANDB_DIR": str(tmp_path), "WANDB_SILENT": "true", "HOME": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    draft = make_draft(tmp_path / "small" / "v1", **tiny())
    assert main([str(draft.path)]) == 0
    found = list((tmp_path / "wandb").glob("offline-run-*/*.wandb"))
    assert len(found) == 1 and b"grad_norm" in found[0].read_bytes()
