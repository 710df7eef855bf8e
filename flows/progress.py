"""The model: *progress* is done of total in a unit; a *meter* shows it with rate and time left, on one line in place on
a terminal, on a new line every few seconds elsewhere (a log file keeps a readable record).
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from schemas.draft import Draft
from schemas.progress import FILE

_LOG_EVERY = 5.0
"""Seconds between lines where the output is not a terminal."""


@dataclass(frozen=True)
class Progress:
    """How far a piece of work is; `total` 0 means that it is not known yet."""

    done: float
    total: float
    unit: str
    note: str = ""


def of_parts(draft: Draft, stages: tuple[str, ...]) -> Callable[[], Progress]:
    """Progress of a data job: bytes of the splits that have a part record, over its stages. Works on any runner."""
    weights = {f"{split['ordinal']:05d}": split["bytes"] for split in draft.plan["splits"]}
    total = sum(weights.values())

    def measure() -> Progress:
        done, notes = 0.0, []
        for stage in stages:
            folder = draft.path / "parts" / stage
            keys = [p.stem for p in folder.glob("*.json")] if folder.is_dir() else []
            finished = [key for key in keys if key in weights]  # others are parts of a parent, made anew
            done += sum(weights[key] for key in finished) / len(stages)
            notes.append(f"{stage} {len(finished)}/{len(weights)}")
        return Progress(done, total, "bytes", ", ".join(notes))

    return measure


def of_file(draft: Draft) -> Callable[[], Progress]:
    """Progress that the child itself tells."""
    path = draft.scratch() / FILE

    def measure() -> Progress:
        last = _last_line(path)
        return Progress(last["done"], last["total"], last["unit"], last.get("note", "")) if last else Progress(0, 0, "", "starting")

    return measure


def _last_line(path: Path) -> dict[str, Any] | None:
    """The last whole JSON line; a line that is being written just now is passed over."""
    if not path.is_file():
        return None
    with open(path, "rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - 4096))
        for line in reversed(file.read().split(b"\n")[:-1]):
            if line.startswith(b"{"):
                row: dict[str, Any] = json.loads(line)
                return row
    return None


class Meter:
    """Shows the progress of one step."""

    def __init__(self, step: str, out: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._step = step
        self._out = out or sys.stderr
        self._clock = clock
        self._terminal = self._out.isatty()
        self._start = clock()
        self._first: tuple[float, float] | None = None
        self._shown_at = float("-inf")

    def show(self, progress: Progress) -> None:
        now = self._clock()
        if self._first is None and progress.done:
            self._first = (now, progress.done)
        if now - self._shown_at < (0.2 if self._terminal else _LOG_EVERY):
            return
        self._shown_at = now
        line = self.line(progress, now)
        self._out.write(f"\r\x1b[2K{line}" if self._terminal else f"{line}\n")
        self._out.flush()

    def line(self, progress: Progress, now: float) -> str:
        """One line: step, share, done of total, rate, time spent and left."""
        spent = now - self._start
        if not progress.total:
            return f"  {self._step:<10} {progress.note or 'starting'}  {duration(spent)}"
        share = progress.done / progress.total
        amount = f"{quantity(progress.done, progress.unit)} of {quantity(progress.total, progress.unit)}"
        line = f"  {self._step:<10} {share:4.0%}  {amount}"
        if self._first and now > self._first[0] and progress.done > self._first[1]:
            rate = (progress.done - self._first[1]) / (now - self._first[0])
            line += f"  {quantity(rate, progress.unit)}/s  {duration((progress.total - progress.done) / rate)} left"
        return f"{line}  {progress.note}".rstrip()

    def close(self) -> float:
        """End the line; return the seconds since the start."""
        if self._terminal:
            self._out.write("\r\x1b[2K")
            self._out.flush()
        return self._clock() - self._start


def quantity(value: float, unit: str) -> str:
    """`3.4 MB` for bytes, `1,150 steps` otherwise."""
    if unit != "bytes":
        return f"{value:,.0f} {unit}".rstrip() if value >= 10 or value == int(value) else f"{value:.1f} {unit}"
    for name in ("B", "kB", "MB", "GB"):
        if value < 1000 or name == "GB":
            return f"{value:.0f} {name}" if name == "B" else f"{value:.1f} {name}"
        value /= 1000
    raise AssertionError("unreachable")


def duration(seconds: float) -> str:
    """`42 s`, `3 min 05 s`, `2 h 10 min`."""
    s = round(seconds)
    if s < 60:
        return f"{s} s"
    return f"{s // 60} min {s % 60:02d} s" if s < 3600 else f"{s // 3600} h {s % 3600 // 60:02d} min"
