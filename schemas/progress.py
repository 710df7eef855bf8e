"""The model: a child tells its *progress* by JSON lines in `work/progress.jsonl`: done of total in a unit, and a note.
It is for whoever watches the run, and no content.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

FILE = "progress.jsonl"
_EVERY = 0.5
"""Seconds between lines."""


class ProgressFile:
    """Appends to the progress file of a scratch folder."""

    def __init__(self, scratch: Path, total: float, unit: str) -> None:
        self._path, self._total, self._unit = scratch / FILE, total, unit
        self._told = float("-inf")

    def tell(self, done: float, note: str = "", *, force: bool = False) -> None:
        """Write a line, unless the last one was just now and this one isn't forced."""
        now = time.monotonic()
        if force or now - self._told >= _EVERY:
            self._told = now
            line = json.dumps({"done": done, "total": self._total, "unit": self._unit, "note": note}, ensure_ascii=False)
            with open(self._path, "a", encoding="utf-8") as file:
                file.write(line + "\n")
