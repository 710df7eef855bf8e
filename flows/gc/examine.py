"""The model: the *findings* about a store: a verdict on each thing in it, and the leftovers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows.gc.leftovers import Leftover, leftovers
from flows.gc.survey import survey
from flows.gc.verdicts import Rules, Verdict, judge
from schemas.store import Store

Json = dict[str, Any]


@dataclass(frozen=True)
class Findings:
    """See the module."""

    root: Path
    verdicts: list[Verdict]
    leftovers: list[Leftover]

    @property
    def going(self) -> list[Verdict]:
        """What may go, the newest first: what was made from others goes before them."""
        return sorted((v for v in self.verdicts if not v.stays), key=lambda v: v.thing.path.name, reverse=True)

    @property
    def bytes(self) -> int:
        return sum(row["bytes"] for row in self.rows() if not row["stays"])

    def rows(self) -> Iterator[Json]:
        """One JSON object a thing or leftover: {stays, what, path (in the store), bytes, why}."""
        less = {left.path: left.bytes for left in self.leftovers if left.what == "forgotten"}
        for verdict in self.verdicts:
            thing = verdict.thing
            path, size = thing.path.relative_to(self.root).as_posix(), thing.tree.bytes - less.get(thing.path, 0)
            yield {"stays": verdict.stays, "what": thing.state, "path": path, "bytes": size, "why": verdict.why}
        for left in self.leftovers:
            path = left.path.relative_to(self.root).as_posix()
            yield {"stays": False, "what": left.what, "path": path, "bytes": left.bytes, "why": left.why}


def examine(store: Store, rules: Rules, now: float) -> Findings:
    """Look at everything in a store; nothing is changed. `now` is in seconds since the epoch."""
    verdicts = judge(survey(store), rules, now)
    return Findings(store.root, verdicts, leftovers(store, verdicts, rules, now))
