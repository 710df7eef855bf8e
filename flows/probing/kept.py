"""The model: what a probe found is *kept* in an evaluation: its result, and details to read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flows.evaluated import details_of, results_of
from schemas.artifact import Artifact
from schemas.fingerprint import digest_file
from schemas.results import Result

RUN = "run"
"""Input of what is told by a model's `run.json`."""


@dataclass(frozen=True)
class Kept:
    """A probe's report, and where it is kept."""

    result: Result
    details: Mapping[str, Any]
    evaluation: Artifact

    def as_json(self, model: str) -> dict[str, Any]:
        return {"model": model, "result": self.result.as_json(), "details": dict(self.details)}


def kept_in(evaluation: Artifact) -> Kept:
    """The report of a probe's evaluation. Raises `Damaged` naming the file."""
    (result,), details = results_of(evaluation), details_of(evaluation)
    return Kept(result, details[result.task], evaluation)


def run_digest(model: Artifact) -> str:
    """Of what a model's `run.json` says, which no content digest covers."""
    path = model.path / "run.json"
    return digest_file(path) if path.is_file() else "none"
