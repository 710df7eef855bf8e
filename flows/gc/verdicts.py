"""The model: a *verdict* says of a thing whether it stays, and why. It stays by itself (among the newest of its name, in use, young), or
because a thing that stays was made from it or has parts of it. Of a retired one only those parts stay. Decisions about challengers stay,
which are small and are the ledger of what was consumed; what they were about doesn't for their sake. A champion does, and the one before.

Pure: `judge` knows the time from its caller and looks at no file.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from flows.gc.survey import Thing
from flows.lineage import meant
from schemas.artifact import Artifact

DECISION = "decision"


@dataclass(frozen=True)
class Rules:
    """What a sweep goes by."""

    keep: int
    """Newest artifacts of each name that stay."""
    grace: float
    """Seconds for which what was just in use stays."""

    @property
    def settled(self) -> float:
        """Seconds after which a write that is not whole never will be, however short the grace is."""
        return max(self.grace, 3600.0)


@dataclass(frozen=True)
class Verdict:
    """Whether a thing stays, and why."""

    thing: Thing
    stays: bool
    why: str
    for_parts: bool = False
    """It is retired, and stays only for the parts that others have of it."""


def judge(things: Sequence[Thing], rules: Rules, now: float) -> list[Verdict]:
    """A verdict on each thing, in the order given; `now` is in seconds since the epoch."""
    stays: dict[Path, str] = {}
    for reasons in (_newest(things, rules), _in_use(things, rules, now), _made_from(things, stays)):
        for path, why in reasons:
            stays.setdefault(path, why)
    read = {path.resolve() for thing in things if thing.path in stays for path in thing.paths}
    return [
        Verdict(thing, True, stays[thing.path], thing.state == "retired" and not thing.holder and thing.path.resolve() not in read)
        if thing.path in stays
        else Verdict(thing, False, _why_not(thing, rules, now))
        for thing in things
    ]


def age(seconds: float) -> str:
    """`3 days`, `5 hours`, `2 minutes`."""
    for unit, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size or unit == "minutes":
            return f"{max(0, round(seconds / size))} {unit}"
    raise AssertionError("unreachable")


def _newest(things: Sequence[Thing], rules: Rules) -> Iterator[tuple[Path, str]]:
    for rank, _, thing in _ranked(things, rules):
        if rank < rules.keep:
            yield thing.path, f"number {rank + 1} of the newest {rules.keep} of {thing.kind}/{thing.name}"


def _in_use(things: Sequence[Thing], rules: Rules, now: float) -> Iterator[tuple[Path, str]]:
    for thing in things:
        touched = thing.committed or thing.tree.newest
        if thing.state == "damaged":
            yield thing.path, f"{thing.damage}; look into it, then remove it by hand"
        elif thing.holder:
            yield thing.path, f"a run works on it: {thing.holder}"
        elif thing.fixed:
            yield thing.path, thing.fixed
        elif thing.state == "artifact" and thing.kind == DECISION:
            yield thing.path, "decisions are the ledger of what was consumed"
        elif thing.crowned and thing.state != "retired":
            yield thing.path, thing.crowned
        elif thing.state == "retired":
            continue  # what was forgotten waits for no grace
        elif now - thing.used < rules.grace:
            yield thing.path, f"a run made or used it {age(now - thing.used)} ago"
        elif now - touched < (rules.settled if thing.state == "stub" else rules.grace):
            yield thing.path, f"{'committed' if thing.committed else 'last touched'} {age(now - touched)} ago"
    for rank, left, thing in _ranked(things, rules):  # whoever asked for the newest then may still be reading it
        if rank >= rules.keep and now - left < rules.grace:
            yield thing.path, f"was one of the newest {rules.keep} until {age(now - left)} ago"


def _ranked(things: Sequence[Thing], rules: Rules) -> Iterator[tuple[int, float, Thing]]:
    """Each artifact with its rank in its name, 0 for the newest, and the time at which it was no longer among the newest."""
    names: dict[tuple[str, str], list[Thing]] = defaultdict(list)
    for thing in things:
        if thing.state == "artifact":
            names[thing.kind, thing.name].append(thing)
    for versions in names.values():
        newest_first = sorted(versions, key=lambda thing: thing.path.name, reverse=True)
        for rank, thing in enumerate(newest_first):
            yield rank, newest_first[rank - rules.keep].committed if rank >= rules.keep else math.inf, thing


def _made_from(things: Sequence[Thing], stays: dict[Path, str]) -> Iterator[tuple[Path, str]]:
    """What the things that stay were made from or have parts of, and what that was made from; `stays` grows while this is drawn."""
    by_content: dict[str, list[Artifact]] = defaultdict(list)
    for thing in things:
        if thing.artifact:
            by_content[thing.artifact.manifest.content_digest].append(thing.artifact)
    by_path = {thing.path: thing for thing in things}
    resolved = {thing.path.resolve(): thing.path for thing in things}
    todo, seen = [thing for thing in things if thing.path in stays], set()
    while todo:
        thing = todo.pop()
        if thing.path in seen:
            continue
        seen.add(thing.path)
        made_from = () if thing.kind == DECISION and thing.artifact else sorted(thing.inputs)
        inputs = [found.path for digest in made_from if (found := meant(by_content[digest], thing.name))]
        inputs += [resolved[path] for path in sorted(thing.paths) if path in resolved]
        parts = [path for path in sorted(thing.inherits) if path in by_path]
        for path in inputs:
            yield path, f"{thing.reference} {'was' if thing.artifact else 'is being'} made from it"
        knew = [path for path in sorted(thing.knew) if path in by_path]
        for path in parts:
            yield path, f"part of {thing.reference}"
        for path in knew:
            yield path, f"tells what {thing.reference} knew"
        todo += [by_path[path] for path in (*inputs, *parts, *knew)]


def _why_not(thing: Thing, rules: Rules, now: float) -> str:
    if thing.state == "artifact":
        return f"not among the newest {rules.keep}, and nothing that stays needs it"
    if thing.state == "retired":
        return thing.damage
    if thing.state == "draft":
        return f"unfinished, and nobody has worked on it for {age(now - max(thing.used, thing.tree.newest))}"
    return f"has no plan: a run was killed as it began, {age(now - thing.tree.newest)} ago"
