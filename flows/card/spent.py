"""The model: what a training *spent*: tokens, operations, seconds, memory, and energy, which is estimated from seconds and cores, as
nothing here can measure it. Operations are counted from the model's shape and the tokens it read; seconds are those of the process that
ended the run, so a run that was resumed took longer.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from pydantic import ValidationError

from model.families import build_model
from model.hf.heads import architecture_of
from model.speed import operations_per_token
from schemas.artifact import Artifact
from schemas.fingerprint import read_json
from schemas.recipe import Pretrain

WATTS_A_CORE = 10.0
"""An assumption: server processors are made for 4 to 12 W a core at full load, and memory and power supply come on top."""


@dataclass(frozen=True)
class Spent:
    """Of one training; None is what was not recorded."""

    step: str
    reference: str
    tokens: int | None
    operations: int | None
    seconds: float | None
    tries: int | None
    peak_bytes: int | None
    tokens_per_second: float | None
    utilization: float | None
    hardware: str | None
    cores: int | None
    """That computed; None if it was a card."""

    @property
    def watt_hours(self) -> float | None:
        if self.seconds is None or self.cores is None:
            return None
        return self.seconds * self.cores * WATTS_A_CORE / 3600


def spent(step: str, artifact: Artifact) -> Spent:
    """What making a trained model took."""
    facts = artifact.facts(step)
    environment: Mapping[str, Any] = facts.get("environment", {})
    path = artifact.path / "run.json"
    run: Mapping[str, Any] = read_json(path) if path.is_file() else {}
    told: Mapping[str, Any] = run.get("facts") or {}
    tokens = facts.get("tokens") or _last(artifact, "tokens")
    card = environment.get("card")
    cores = None if card or "threads" not in environment else environment["threads"] * environment.get("ranks", 1)
    return Spent(
        step=step,
        reference=artifact.reference,
        tokens=tokens,
        operations=_operations(step, artifact, tokens) if tokens else None,
        seconds=run.get("seconds"),
        tries=run.get("tries"),
        peak_bytes=told.get("peak_bytes"),
        tokens_per_second=told.get("tokens_per_second"),
        utilization=told.get("utilization"),
        hardware=card or environment.get("cpu"),
        cores=cores,
    )


def _last(artifact: Artifact, key: str) -> int | None:
    """What the last row of the metrics says."""
    lines = [line for path in artifact.paths("metrics") for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    value = json.loads(lines[-1]).get(key) if lines else None
    return value if isinstance(value, int) else None


def _operations(step: str, artifact: Artifact, tokens: int) -> int | None:
    """Of forward and backward passes over all weights; None for trainings of which that isn't so, or whose settings aren't read here."""
    settings, config = artifact.manifest.identity.settings, read_json(artifact.path / "config.json")
    vocabulary = config["vocab_size"]
    if step == "pretrain":
        try:
            architecture = Pretrain.model_validate(settings).architecture
        except ValidationError:
            return None
        above = 0
    elif settings.get("method", "full") == "full":
        architecture = architecture_of(config)
        above = 0 if hasattr(architecture, "task") else 6 * vocabulary * architecture.width  # scores of tokens, which its head stands for
        if hasattr(architecture, "context"):
            architecture = architecture.model_copy(update={"context": min(settings["max_tokens"], architecture.context)})
    else:
        return None
    with torch.device("meta"):
        model = build_model(architecture, vocabulary)
    return (operations_per_token(model, architecture) - above) * tokens
