"""The model: an MLflow *server* is spoken to by its REST API, version 2.0, of which a tracker needs five calls; so nothing of MLflow
need be installed where models are trained. Who may, it is told by the variables that MLflow itself reads.
"""

from __future__ import annotations

import base64
import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from typing import Any

from model.trackers import About, Numbers
from schemas.errors import RequestError
from schemas.files import replace

TIMEOUT = 20.0
MOST_METRICS, MOST_PARAMS, MOST_CHARACTERS = 1000, 100, 500
"""That a call may hold."""
KEPT = "mlflow-run"
"""In the scratch: the id of the run there, which goes on when the run here is resumed."""


class MLflow:
    """A run of the experiment `gristmill`, or of MLFLOW_EXPERIMENT_NAME."""

    def __init__(self, uri: str, environ: Mapping[str, str], about: About) -> None:
        if urllib.parse.urlsplit(uri).scheme not in ("http", "https"):
            raise RequestError("MLFLOW_TRACKING_URI is not of a server: want http:// or https://, as `mlflow server` tells")
        self._uri, self._headers = uri.rstrip("/"), {"Content-Type": "application/json", **_allowed(uri, environ)}
        kept = about.scratch / KEPT
        if kept.is_file():
            self._run = kept.read_text()
            return
        experiment = self._experiment(environ.get("MLFLOW_EXPERIMENT_NAME", "gristmill"))
        name = f"{about.name} {about.version}"
        tags = [{"key": "gristmill.model", "value": about.name}, {"key": "gristmill.version", "value": about.version}]
        asked = {"experiment_id": experiment, "run_name": name, "start_time": _milliseconds(time.time()), "tags": tags}
        self._run = self._call("runs/create", asked)["run"]["info"]["run_id"]
        params = [{"key": key, "value": value[:MOST_CHARACTERS]} for key, value in _flat(about.settings)]
        for start in range(0, len(params), MOST_PARAMS):
            self._call("runs/log-batch", {"run_id": self._run, "params": params[start : start + MOST_PARAMS]})
        replace(kept, self._run.encode())

    def write(self, rows: list[tuple[int, float, Numbers]]) -> None:
        metrics = [
            {"key": key, "value": value, "timestamp": _milliseconds(at), "step": step}
            for step, at, numbers in rows
            for key, value in numbers.items()
        ]
        for start in range(0, len(metrics), MOST_METRICS):
            self._call("runs/log-batch", {"run_id": self._run, "metrics": metrics[start : start + MOST_METRICS]})

    def close(self, done: bool) -> None:
        status = "FINISHED" if done else "KILLED"
        self._call("runs/update", {"run_id": self._run, "status": status, "end_time": _milliseconds(time.time())})

    def _experiment(self, name: str) -> str:
        try:
            found = self._call(f"experiments/get-by-name?{urllib.parse.urlencode({'experiment_name': name})}")
            return str(found["experiment"]["experiment_id"])
        except urllib.error.HTTPError as error:
            if error.code != 404:
                raise
        return str(self._call("experiments/create", {"name": name})["experiment_id"])

    def _call(self, what: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        data = None if body is None else json.dumps(body).encode()
        asked = urllib.request.Request(f"{_without_user(self._uri)}/api/2.0/mlflow/{what}", data, self._headers)
        with urllib.request.urlopen(asked, timeout=TIMEOUT) as answer:
            found: dict[str, Any] = json.loads(answer.read() or b"{}")
        return found


def _allowed(uri: str, environ: Mapping[str, str]) -> dict[str, str]:
    """The header that says who asks."""
    parts = urllib.parse.urlsplit(uri)
    if token := environ.get("MLFLOW_TRACKING_TOKEN"):
        return {"Authorization": f"Bearer {token}"}
    user = environ.get("MLFLOW_TRACKING_USERNAME") or urllib.parse.unquote(parts.username or "")
    password = environ.get("MLFLOW_TRACKING_PASSWORD") or urllib.parse.unquote(parts.password or "")
    return {"Authorization": f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"} if user else {}


def _without_user(uri: str) -> str:
    parts = urllib.parse.urlsplit(uri)
    return urllib.parse.urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _flat(settings: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    for key, value in settings.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{before}{key}.")
        else:
            yield before + key, json.dumps(value)


def _milliseconds(seconds: float) -> int:
    return int(seconds * 1000)
