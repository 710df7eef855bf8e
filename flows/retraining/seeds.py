"""The model: challengers that differ by nothing but their *seed* differ all the same. By how much is measured once for a recipe: a decision
`NAME-seeds` keeps it, and what a gain needs follows from it (`model.metrics.gating`). It stands for all retrainings with equal settings,
whatever text and champion it was measured with.

    python -m flows.retraining.seeds DRAFT
"""

from __future__ import annotations

import sys
from collections.abc import Mapping

from flows.ensure import Outcome, Say
from flows.ready import Ready
from flows.retraining.challenger import challenger_settings
from flows.retraining.gate import bits_per_byte
from flows.single import ensure_single
from flows.steps import Step
from model.evaluate.rounding import rounded
from model.metrics.gating import deviation, needed_of
from schemas.artifact import Artifact
from schemas.child import run_child
from schemas.draft import Draft
from schemas.fingerprint import Identity
from schemas.recipe import Gate, Recipe
from schemas.recipe.names import SEEDS
from schemas.results import MODEL
from schemas.store import Store

STEP, VERSION = "seeds", 1
KIND = "decision"
EVALUATION = "evaluation"
_OF_GATE = ("seeds", "on", "max_bytes")
"""What of the gate decides, beside what the challenger is made by."""


def _identity(recipe: Recipe) -> Identity:
    assert recipe.retrain is not None
    made_by, gate = challenger_settings(recipe, recipe.retrain.seed).as_json(), recipe.retrain.gate.as_json()
    return Identity(STEP, VERSION, {"challenger": made_by, "gate": {key: gate[key] for key in _OF_GATE}}, {}, {})


def known(store: Store, recipe: Recipe) -> Artifact | None:
    """What was measured for such a recipe, if it was."""
    return next(store.committed(KIND, recipe.name + SEEDS, _identity(recipe).fingerprint), None)


def keep(store: Store, of: Recipe, evaluation: Artifact, say: Say) -> Outcome:
    """Keep what an evaluation of challengers of several seeds says."""

    def prepare(recipe: Recipe, store: Store, inputs: Mapping[str, Artifact]) -> Ready:
        return Ready(_identity(of))

    command = lambda draft, run: [sys.executable, "-m", "flows.retraining.seeds", str(draft)]  # noqa: E731
    step = Step(STEP, KIND, "retrain", (EVALUATION,), (STEP,), prepare, command)
    return ensure_single(step, of.name + SEEDS, of.run, store, {EVALUATION: evaluation}, say)


def system_of(number: int) -> str:
    """What the challenger of the retraining's seed plus `number` is called where several are judged."""
    return MODEL if number == 0 else f"seed-{number}"


def needed(seeds: Artifact) -> float:
    """The gain that is needed."""
    return float(seeds.facts(STEP)["needed"])


def _work(draft: Draft) -> None:
    if draft.part(STEP, "deviation"):
        return
    evaluation, gate = draft.input(EVALUATION), Gate.model_validate(draft.settings["gate"])
    systems = evaluation.manifest.identity.settings["systems"]
    values = {system: bits_per_byte(evaluation, system, gate) for system in systems}
    told = {"bits_per_byte": values, "deviation": deviation([*values.values()]), "needed": needed_of([*values.values()])}
    draft.add_part(STEP, "deviation", facts=rounded({**told, "evaluation": evaluation.manifest.content_digest}))


def main(arguments: list[str]) -> int:
    """Run the step on the draft at `arguments[0]`; return the exit code."""
    return run_child("flows.retraining.seeds", arguments, _work)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
