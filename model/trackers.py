"""The model: a *tracker* is a program outside that shows a run's metrics while it goes on: TensorBoard, MLflow, Weights & Biases. What
is *written* to it are steps with named numbers; they come from `metrics.jsonl` and `speed.jsonl`, which stay what counts.

    tensorboard   event files below the folder `run.tensorboard`
    mlflow        a run on the server of the variable MLFLOW_TRACKING_URI, by its REST API
    wandb         a run of Weights & Biases if WANDB_API_KEY is set, or WANDB_MODE is offline

Each has a thread and a queue of its own: a slow server holds nothing up. One that fails is named once, and the run goes on without it.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, Full, Queue
from typing import Any, Protocol

from schemas.draft import Draft

Numbers = dict[str, float]
Say = Callable[[str], None]

MOST_WAITING = 100_000
"""Steps that may wait for a tracker."""
CLOSING = 15.0
"""Seconds that a run waits, at its end, for what its trackers have still to write."""
SECRETS = ("WANDB_API_KEY", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_USERNAME")


@dataclass(frozen=True)
class About:
    """What a tracker is told of a run."""

    name: str
    """Of the model."""
    version: str
    """Of the artifact to be: the same when a run is resumed."""
    settings: Mapping[str, Any]
    scratch: Path
    """What a tracker must remember until the run is resumed."""
    steps: int
    """That were taken before, and written."""


class Tracker(Protocol):
    """A run as one program shows it; made, and called, by one thread."""

    def write(self, rows: list[tuple[int, float, Numbers]]) -> None:
        """Steps, the time (seconds since 1970) and numbers of each, in order."""

    def close(self, done: bool) -> None:
        """All is written; not ``done``: the run may be resumed."""


Open = Callable[[About], Tracker]


class Tracking:
    """A tracker behind a queue; see the module."""

    def __init__(self, name: str, open_: Open, about: About, say: Say) -> None:
        self._name, self._open, self._about, self._say = name, open_, about, say
        self._queue = Queue[tuple[int, float, Numbers] | None](MOST_WAITING)
        self._failed, self._done = threading.Event(), False
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def add(self, step: int, time: float, numbers: Numbers) -> None:
        if self._failed.is_set():
            return
        try:
            self._queue.put_nowait((step, time, numbers))
        except Full:
            self._fail("it is too slow")

    def close(self, done: bool) -> None:
        """Let it write what waits, for `CLOSING` seconds at the most."""
        if not self._failed.is_set():
            self._done = done
            self._queue.put(None)
            self._thread.join(CLOSING)
            if self._thread.is_alive():
                self._fail("it has not written all by the end of the run")

    def _work(self) -> None:
        try:
            tracker, goes_on = self._open(self._about), True
            while goes_on:
                rows = [self._queue.get()]
                while len(rows) < 100:
                    try:
                        rows.append(self._queue.get_nowait())
                    except Empty:
                        break
                goes_on = None not in rows
                if found := [row for row in rows if row is not None]:
                    tracker.write(found)
            tracker.close(self._done)
        except Exception as error:  # whatever a program outside may raise: no run may end by it
            self._fail(f"{type(error).__name__}: {error}")

    def _fail(self, why: str) -> None:
        if not self._failed.is_set():
            self._failed.set()
            self._say(f"{self._name}: {without_secrets(why)}; the run goes on without it")


def without_secrets(text: str) -> str:
    """Text of a program outside, without keys and passwords, in one line."""
    for name in SECRETS:
        if value := os.environ.get(name):
            text = text.replace(value, "***")
    return " ".join(re.sub(r"://[^/\s@]*@", "://***@", text).split())


def numbers_of(row: Mapping[str, Any]) -> Numbers:
    """The numbers in a row of metrics; what it has by language is named `bits_per_byte/zh`."""
    found: Numbers = {}
    for name, value in row.items():
        if isinstance(value, Mapping):
            found |= {f"{name}/{key}": number for key, number in numbers_of(value).items()}
        elif isinstance(value, int | float) and name not in ("step", "time"):
            found[name] = float(value)
    return found


def wanted(tensorboard: str | None, environ: Mapping[str, str]) -> dict[str, Open]:
    """The trackers that a run is to have, by name. Their packages are looked for when they open."""
    found: dict[str, Open] = {}
    if tensorboard is not None:
        found["tensorboard"] = lambda about: TensorBoard(Path(tensorboard), about)
    if uri := environ.get("MLFLOW_TRACKING_URI"):
        from model.mlflow import MLflow

        found["mlflow"] = lambda about: MLflow(uri, environ, about)
    if environ.get("WANDB_API_KEY") or environ.get("WANDB_MODE") == "offline":
        found["wandb"] = WeightsAndBiases
    return found


class TensorBoard:
    """Event files in `{folder}/{name}/{version}`."""

    def __init__(self, folder: Path, about: About) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder / about.name / about.version), purge_step=about.steps + 1)

    def write(self, rows: list[tuple[int, float, Numbers]]) -> None:
        for step, time, numbers in rows:
            for name, number in numbers.items():
                self._writer.add_scalar(name, number, step, walltime=time)
        self._writer.flush()

    def close(self, done: bool) -> None:
        self._writer.close()


class WeightsAndBiases:
    """A run of the project `gristmill`, or of WANDB_PROJECT; offline ones lie in the scratch unless WANDB_DIR says where."""

    def __init__(self, about: About) -> None:
        import wandb

        project, folder = os.environ.get("WANDB_PROJECT", "gristmill"), os.environ.get("WANDB_DIR", str(about.scratch))
        self._run = wandb.init(
            project=project, name=f"{about.name} {about.version}", id=about.version, resume="allow", dir=folder,
            config=dict(about.settings), settings=wandb.Settings(console="off", save_code=False, disable_git=True),
        )  # fmt: skip

    def write(self, rows: list[tuple[int, float, Numbers]]) -> None:
        for step, _, numbers in rows:
            self._run.log(numbers, step=step)

    def close(self, done: bool) -> None:
        self._run.finish(exit_code=0 if done else 1)


def tracked(draft: Draft, environ: Mapping[str, str]) -> tuple[dict[str, Open], About]:
    """The trackers of a draft's run, and what they are told of it."""
    about = About(draft.path.parent.name, draft.path.name, draft.settings, draft.scratch(), 0)
    return wanted(draft.task["run"].get("tensorboard"), environ), about
