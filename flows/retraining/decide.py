"""The model: a *decision* about a challenger is an artifact: what it was compared with, the text that it consumed, every figure, and the
verdict in words. It is a step: equal models, evaluations and settings give the same decision, which is made once.

    python -m flows.retraining.decide DRAFT

    decision.json     {"verdict": "promote", "refuse" or "wait_for_approval", "reasons", "reign", "gain", "guards", "parity",
                       "not_measured", "held_out", "forgotten", and "knew" if other tokens stand for those that the champion knew}

Its inputs name the tokens that were consumed, and the models of both sides by content.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

from flows.ensure import Outcome, Say
from flows.ready import Ready
from flows.retraining.gate import as_json, judged, measure
from flows.retraining.judging import CHAMPION, Bundle, role_of
from flows.retraining.knew import known_tokens
from flows.retraining.seeds import needed
from flows.single import ensure_single
from flows.steps import Step
from model.evaluate.rounding import rounded
from model.versions import engines
from schemas.artifact import Artifact, Damaged
from schemas.child import run_child
from schemas.draft import Draft
from schemas.fingerprint import Identity, read_json
from schemas.forgotten import read_mark
from schemas.recipe import Gate, Recipe
from schemas.results import MODEL
from schemas.store import Store

STEP, VERSION = "decide", 2
KIND, FILE = "decision", "decision.json"
EVALUATION, SEEDS = "evaluation", "seeds"
REIGN, KNEW = "reign", "knew"
PROMOTE, REFUSE, WAIT = "promote", "refuse", "wait_for_approval"


def decide(
    store: Store,
    of: Recipe,
    reign: int,
    systems: Mapping[str, Bundle],
    corpus: Mapping[str, Artifact],
    evaluation: Artifact,
    seeds: Artifact | None,
    say: Say,
) -> Outcome:
    """Have decision/NAME about the challenger among `systems`, against the champion of a reign. `corpus` is what the challenger was made
    from: documents and tokens. `seeds`: what is known of the deviation between seeds, if the recipe does not say what a gain needs."""
    assert of.retrain is not None
    inputs = {role_of(name, step): model for name in (MODEL, CHAMPION) for step, model in systems[name].models.items()}
    inputs |= {role: corpus[role] for role in ("documents", "tokens")} | {EVALUATION: evaluation}
    inputs |= {SEEDS: seeds} if seeds is not None else {}
    marks = {role: mark.told for role, artifact in sorted(inputs.items()) if (mark := read_mark(artifact.path)) is not None}
    settings = {
        "gate": of.retrain.gate.as_json(),
        REIGN: reign,
        "approval": of.retrain.approval,
        "seed": of.retrain.seed,
        "forgotten": marks,
        **_knew(store, systems[CHAMPION].pretrain),
    }

    def prepare(recipe: Recipe, store: Store, inputs: Mapping[str, Artifact]) -> Ready:
        digests = {role: artifact.manifest.content_digest for role, artifact in inputs.items()}
        return Ready(Identity(STEP, VERSION, settings, digests, {"numpy": engines()["numpy"]}))

    command = lambda draft, run: [sys.executable, "-m", "flows.retraining.decide", str(draft)]  # noqa: E731
    step = Step(STEP, KIND, "retrain", tuple(inputs), (STEP,), prepare, command)
    return ensure_single(step, of.name, of.run, store, inputs, say)


def _knew(store: Store, champion: Artifact) -> dict[str, str]:
    """What stands for the tokens that the champion knew, if these can't be read any more."""
    known = known_tokens(store, champion)
    if known is None or known.manifest.content_digest == champion.manifest.identity.inputs["tokens"]:
        return {}
    return {KNEW: known.reference}


def read_decision(decision: Artifact) -> dict[str, Any]:
    """What `decision.json` says. Raises `Damaged` if it is not there."""
    if missing := decision.missing():
        raise Damaged(f"{missing[0]}: restore it from a copy")
    found: dict[str, Any] = read_json(decision.path / FILE)
    return found


def decide_draft(draft: Draft) -> None:
    """Do the step's work and record its part. Raises `Damaged` naming a file of the evaluation."""
    settings, evaluation = draft.settings, draft.input(EVALUATION)
    gate = Gate.model_validate(settings["gate"])
    wanted = gate.min_gain if gate.min_gain is not None else needed(draft.input(SEEDS))
    measured = measure(evaluation, gate, wanted, settings["seed"])
    verdict = judged(measured, gate)
    passed = WAIT if settings["approval"] else PROMOTE
    found = rounded(
        {
            "verdict": passed if verdict.passed else REFUSE,
            "reasons": list(verdict.reasons),
            REIGN: settings[REIGN],
            "held_out": read_json(evaluation.paths("results")[0])["held_out"],
            "forgotten": settings["forgotten"],
            **({KNEW: settings[KNEW]} if KNEW in settings else {}),
            **json.loads(json.dumps(as_json(measured, gate))),
        }
    )
    written = draft.scratch() / FILE
    written.write_text(json.dumps(found, ensure_ascii=False, indent=1, sort_keys=True, allow_nan=False) + "\n", encoding="utf-8")
    told = {key: found[key] for key in ("verdict", "reasons", REIGN, "gain")}
    draft.add_part(STEP, KIND, [draft.adopt_as(written, FILE, KIND)], facts=told)


def _work(draft: Draft) -> None:
    if not draft.part(STEP, KIND):
        decide_draft(draft)


def main(arguments: list[str]) -> int:
    """Run the step on the draft at `arguments[0]`; return the exit code."""
    return run_child("flows.retraining.decide", arguments, _work)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
