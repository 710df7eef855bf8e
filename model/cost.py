"""The model: what a training *cost*: floating-point operations, tokens, seconds, memory, energy. Operations and tokens follow from the
model and its facts; seconds and memory were measured by the run, and stand in its `run.json`; energy is an *estimate*, and says what it
assumes.

Operations are those that the model needs (`model.speed`): what a machine computes besides, or twice, is not in them. How long a text an
encoder-decoder writes for what it reads only its training knows: without its `run.json` its operations are not known.

A run that was resumed measured the seconds of its last command. All tokens at the median speed are at least as good a guess; the longer of
the two is told.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from torch._subclasses.fake_tensor import FakeTensorMode

from model.checkpoint import Mismatch, read_config
from model.families import build_model
from model.speed import operations_per_token
from schemas import recipe
from schemas.artifact import Artifact

WATTS = 5.0
"""Assumed of a busy logical CPU with its share of the package: from about 2 (a server with 192 of them at 400 W) to 8 (a laptop)."""


@dataclass(frozen=True)
class Cost:
    """What making a model artifact took; what is not known is None."""

    operations: float | None
    """Floating-point operations, forward and backward."""
    tokens: int | None
    seconds: float | None
    """By the clock, of the last command; or of all tokens at the median speed, if that is more."""
    tries: int
    peak_bytes: int | None
    """Of the first rank."""
    utilization: float | None
    """Operations a second over what the machine does in plain matrix products."""
    kilowatt_hours: float | None
    assumption: str
    """What the energy is estimated by."""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def cost(artifact: Artifact, watts: float = WATTS) -> Cost:
    """Of a model that was trained here; of one that was imported, hardly anything is known. ``watts``: of a busy CPU."""
    facts: dict[str, Any] = {}
    for part in artifact.manifest.parts:
        facts |= part.facts
    run = _run(artifact)
    measured, tokens = run.get("facts", {}), facts.get("tokens")
    per_token = measured.get("operations_per_token")
    if per_token is None and tokens is not None:
        per_token = _operations_per_token(artifact)
    seconds, used, during = run.get("seconds"), facts.get("environment", {}), "while it ran"
    if seconds is not None and tokens is not None and (speed := measured.get("tokens_per_second")) and tokens / speed > seconds:
        seconds, during = tokens / speed, "for all tokens at the median speed"
    cpus = used["ranks"] * used["threads"] if {"ranks", "threads"} <= used.keys() else None
    return Cost(
        operations=float(per_token * tokens) if per_token is not None and tokens is not None else None,
        tokens=tokens,
        seconds=seconds,
        tries=int(run.get("tries", 1)),
        peak_bytes=measured.get("peak_bytes"),
        utilization=measured.get("utilization"),
        kilowatt_hours=cpus * watts * seconds / 3.6e6 if cpus is not None and seconds is not None else None,
        assumption=f"estimated: {cpus} CPUs at {watts:g} W each {during}; no cards, no cooling, no other part of the machine"
        if cpus is not None and seconds is not None
        else "not estimated: how long it took on how many CPUs is not known",
    )


def _run(artifact: Artifact) -> dict[str, Any]:
    path = artifact.path / "run.json"
    found: dict[str, Any] = json.loads(path.read_bytes()) if path.is_file() else {}
    return found


def _operations_per_token(artifact: Artifact) -> int | None:
    """None for an encoder-decoder, and a model that is none of the families, such as a classifier."""
    try:
        described = read_config(artifact.path)
    except Mismatch:
        return None
    if isinstance(described.architecture, recipe.EncoderDecoder):
        return None
    with FakeTensorMode():  # shapes are enough
        return operations_per_token(build_model(described.architecture, described.vocab_size), described.architecture)
