"""The model: *ready work* is a step with its inputs found and its identity known: what a run, or a plan of one, needs to decide on it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flows.arrivals import Arrivals
from schemas.artifact import Artifact, PartKey
from schemas.fingerprint import Identity


@dataclass(frozen=True)
class Ready:
    """A step's work with all that decides it."""

    identity: Identity
    splits: Sequence[Mapping[str, Any]] = ()
    roots: Mapping[str, str] | None = None
    also: Mapping[str, Artifact] | None = None
    """Inputs beside the artifacts of other steps: a tokenizer that the recipe pins, the version that this one extends."""
    without: Collection[PartKey] = ()
    """Parts of the extended version that are not inherited."""
    why: tuple[str, ...] = ()
    """Why it runs, or is reused, if that is known better than identities tell."""
    arrivals: Arrivals | None = None
    """What an incremental version finds in its sources."""
    unfinished: bool = False
    """An older plan, which is finished first: look again afterwards."""
    changed: Callable[[], list[str]] | None = None
    """Names input files that are no longer as they were planned."""
