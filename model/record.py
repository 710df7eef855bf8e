"""The model: a *record* is what a run writes down as it goes: *metrics* (content: the same for every run of equal bits),
and beside them *speed* and *progress* (time, tokens a second, utilization, memory), which are of this run alone.

Rank 0 writes, and tells trackers; on other ranks every call does nothing.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import torch

from model.device import CPU, most_bytes
from model.trackers import About, Open, Tracking, numbers_of
from model.watch import Watch
from schemas.child import RUN_FACTS
from schemas.fingerprint import canonical_json
from schemas.progress import ProgressFile

SPEED_SECONDS = 1.0


class Record:
    """The files `metrics.jsonl`, `speed.jsonl` and `progress.jsonl` in a folder."""

    def __init__(
        self,
        folder: Path,
        steps: int,
        active: bool,
        trackers: Mapping[str, Open] | None = None,
        about: About | None = None,
        device: torch.device = CPU,
    ) -> None:
        """``trackers`` are told ``about`` the run when it starts; it is computed on a ``device``."""
        self.metrics = folder / "metrics.jsonl"
        self._folder = folder
        self._speed, self._progress = folder / "speed.jsonl", ProgressFile(folder, steps, "steps")
        self._active, self._device = active, device
        self._watch = Watch()
        self._measured: tuple[float, int] | None = None
        self._peak, self._per_token = 0.0, 0
        self._note = ""
        self._wanted, self._about = trackers or {}, about
        self._tracking: list[Tracking] = []

    def start(self, metrics_bytes: int) -> None:
        """Begin, or go on after the first ``metrics_bytes`` of metrics; what a killed run wrote beyond them goes."""
        if self._active:
            with open(self.metrics, "ab") as file:
                file.truncate(metrics_bytes)
            rows = self.rows()
            self._watch = Watch(rows)
            if self._about is not None:
                about = replace(self._about, steps=len(rows))
                self._tracking = [Tracking(name, open_, about, self.say) for name, open_ in self._wanted.items()]

    def compare_with(self, peak: float, per_token: int) -> None:
        """What utilization is measured by: the machine's operations a second, and those of a token."""
        self._peak, self._per_token = peak, per_token

    def add(self, row: dict[str, Any]) -> None:
        """Write the metrics of a step: its number ``step``, ``loss`` and ``grad_norm`` (None if it was skipped), ``tokens`` so far, and
        whatever else is content. Flags are added, and said."""
        if not self._active:
            return
        flags = self._watch.flags(row)
        for name, words in flags.items():
            self.say(f"step {row['step']}: {name}: {words}")
        _append(self.metrics, {**row, "flags": list(flags)} if flags else row)
        self._track(row)
        self._measure_speed(row["step"], row["tokens"])
        loss = "skipped" if row["loss"] is None else f"loss {row['loss']:.3f}"
        self.progress(row["step"], loss + self._note, force="bits_per_byte" in row or "validation_loss" in row)

    def progress(self, step: int, note: str, *, force: bool = False) -> None:
        """Tell how far the run is, now and then or if ``force``."""
        if self._active:
            self._progress.tell(step, note, force=force)

    def _measure_speed(self, step: int, tokens: int) -> None:
        now = time.monotonic()
        if self._measured is None:
            self._measured = (now, tokens)
        elif now - self._measured[0] >= SPEED_SECONDS:
            rate = (tokens - self._measured[1]) / (now - self._measured[0])
            row = {"time": time.time(), "step": step, "tokens_per_second": round(rate, 1), "peak_bytes": most_bytes(self._device)}
            self._note = f", {rate:,.0f} tokens/s"
            if self._peak:
                row["utilization"] = round(rate * self._per_token / self._peak, 4)
                self._note += f", {row['utilization']:.0%} of peak"
            _append(self._speed, row)
            self._track(row)
            self._measured = (now, tokens)

    def _track(self, row: Mapping[str, Any]) -> None:
        for tracking in self._tracking:
            tracking.add(row["step"], time.time(), numbers_of(row))

    def close(self, done: bool) -> None:
        """End what trackers show; ``done``: the run won't be resumed."""
        for tracking in self._tracking:
            tracking.close(done)
        self._tracking = []

    def tell_run(self) -> None:
        """Leave for `run.json` how fast it was: medians over the seconds measured, the operations of a token, and the most memory of
        rank 0."""
        if self._active:
            rows = _rows(self._speed) if self._speed.is_file() else []
            told: dict[str, Any] = {"peak_bytes": most_bytes(self._device)}
            if self._peak:  # not measured if a resumed run had no step to take
                told |= {"matmul_operations_per_second": round(self._peak), "operations_per_token": self._per_token}
            for name in ("tokens_per_second", "utilization"):
                if values := [row[name] for row in rows if name in row]:
                    told[name] = round(median(values), 4)
            (self._folder / RUN_FACTS).write_bytes(canonical_json(told))

    def say(self, message: str) -> None:
        """One line for people."""
        if self._active:
            print(message, flush=True)

    def sync(self) -> int:
        """Make the metrics durable; return their size in bytes."""
        if not self._active:
            return 0
        with open(self.metrics, "ab") as file:
            os.fsync(file.fileno())
            return file.tell()

    def rows(self) -> list[dict[str, Any]]:
        """All metrics so far."""
        return _rows(self.metrics)


def _rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _append(path: Path, row: dict[str, Any]) -> None:
    with open(path, "a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")
