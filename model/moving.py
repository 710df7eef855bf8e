"""The model: a run *moves* when it goes on from a checkpoint that was made by another number of ranks, or with the model spread over them
in another way. It reads the same samples in the same order; sums are rounded otherwise, so the bits differ. So a run moves only if it
is told that it may (`run.reshard`), and each *move* is told in the model's facts. Nothing else of the environment may change.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from model.checkpoint import Mismatch

MOVABLE = ("ranks", "shard")
UNSAID = {"device": "cpu", "shard": "ddp", "recompute": False}
"""What an environment is that does not say it. The device comes first: with it, others differ, too."""


class Moves:
    """The moves that a run has made, and whether it may make one."""

    def __init__(self, allowed: bool) -> None:
        self.made: list[dict[str, Any]] = []
        self._allowed = allowed

    def check(self, checkpoint: Path, state: Mapping[str, Any], environment: Mapping[str, Any], step: int) -> list[str]:
        """What differs between the environment of a checkpoint's state and this one; noted. Raises `Mismatch` if it may not."""
        before, environment = {**UNSAID, **state["environment"]}, {**UNSAID, **environment}
        self.made = list(state.get("moves", []))
        changed = [key for key in {**before, **environment} if before.get(key) != environment.get(key)]
        for key in changed:
            if key in MOVABLE and self._allowed:
                continue
            was, now = before.get(key), environment.get(key)
            also = "set run.reshard: true to go on all the same, " if key in MOVABLE else ""
            raise Mismatch(
                f"{checkpoint}: was made with {key} {was!r}, now it is {now!r}, and the result would differ; "
                f"go on with {was!r}, {also}or remove {checkpoint.parent} to train from the start"
            )
        if changed:
            self.made.append({"step": step, "from": {key: before.get(key) for key in changed}})
        return changed
