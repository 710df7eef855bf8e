"""The model: a *forecast* says what a pretraining that will run is going to take, before anything is spent on it; see `model.estimate`,
which is asked in a process of its own, as torch is heavy. Runs of the store, and how fast they were, are what it goes by.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from flows.planning import Decision
from schemas.artifact import Artifact
from schemas.fingerprint import read_json
from schemas.recipe import Recipe
from schemas.store import Store

STEP = "pretrain"


def forecast(recipe: Recipe, store: Store, decisions: Sequence[Decision]) -> dict[str, Any] | None:
    """What the pretraining will take, as JSON with `lines` for people; None if none will run. Where it can't be estimated, `lines` say
    why: nothing else depends on it.
    """
    decided = {decision.step: decision for decision in decisions}
    if recipe.pretrain is None or STEP not in decided or decided[STEP].action == "reuse":
        return None
    asked = {
        "settings": recipe.pretrain.as_json(),
        "vocabulary": _vocabulary(recipe, decided.get("tokenizer")),
        "run": recipe.run.model_dump(mode="json"),
        "known": list(known_runs(store)),
    }
    done = subprocess.run([sys.executable, "-m", "model.estimate"], input=json.dumps(asked), capture_output=True, text=True)
    if done.returncode:
        return {"lines": [f"no estimate: {done.stderr.strip().rpartition(chr(10))[2].removeprefix('error: ')}"]}
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _vocabulary(recipe: Recipe, decision: Decision | None) -> dict[str, Any]:
    """The facts of the tokenizer if it is there, else as it will be, with as many ids as the recipe lets it have."""
    if decision is not None and decision.artifact is not None:
        return dict(decision.artifact.facts("tokenizer"))
    return {"vocab_size": recipe.tokenizer.vocab_size, "special_tokens": {"bos": 0, "eos": 1, "pad": 2, "mask": 3}}


def known_runs(store: Store) -> Iterator[dict[str, Any]]:
    """Pretrainings of the store whose utilization was measured, the newest first."""
    for artifact in sorted(store.artifacts("model"), key=lambda found: found.path.name, reverse=True):
        if artifact.manifest.identity.step == STEP and (known := _known(artifact)) is not None:
            yield known


def _known(artifact: Artifact) -> dict[str, Any] | None:
    told = artifact.path / "run.json"
    share = read_json(told)["facts"].get("utilization") if told.is_file() else None
    if share is None:
        return None
    settings, environment = artifact.manifest.identity.settings, artifact.facts(STEP)["environment"]
    return {
        "artifact": artifact.reference,
        "cpu": environment.get("card") or environment["cpu"],
        "precision": environment["precision"],
        "compiled": environment["compiled"],
        "width": settings["model"]["width"],
        "utilization": share,
    }
