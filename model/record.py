"""The model: a *record* is what a run writes down as it goes: *metrics* (content: the same for every run of equal bits),
and beside them *speed* and *progress* (time, tokens a second, memory), which are of this run alone.

Rank 0 writes; on other ranks every call does nothing.
"""

from __future__ import annotations

import json
import os
import resource
import time
from pathlib import Path
from typing import Any

from schemas.progress import ProgressFile

SPEED_SECONDS = 1.0


class Record:
    """The files `metrics.jsonl`, `speed.jsonl` and `progress.jsonl` in a folder."""

    def __init__(self, folder: Path, steps: int, active: bool) -> None:
        self.metrics = folder / "metrics.jsonl"
        self._speed, self._progress = folder / "speed.jsonl", ProgressFile(folder, steps, "steps")
        self._active = active
        self._measured: tuple[float, int] | None = None

    def start(self, metrics_bytes: int) -> None:
        """Begin, or go on after the first ``metrics_bytes`` of metrics; what a killed run wrote beyond them goes."""
        if self._active:
            with open(self.metrics, "ab") as file:
                file.truncate(metrics_bytes)

    def add(self, row: dict[str, Any]) -> None:
        """Write the metrics of a step: its number ``step``, ``loss``, ``tokens`` so far, and whatever else is content."""
        if not self._active:
            return
        _append(self.metrics, row)
        self.progress(row["step"], f"loss {row['loss']:.3f}", force="bits_per_byte" in row)
        self._measure_speed(row["step"], row["tokens"])

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
            memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
            _append(self._speed, {"time": time.time(), "step": step, "tokens_per_second": round(rate, 1), "peak_bytes": memory})
            self._measured = (now, tokens)

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
        return [json.loads(line) for line in self.metrics.read_text(encoding="utf-8").splitlines()]


def _append(path: Path, row: dict[str, Any]) -> None:
    with open(path, "a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")
