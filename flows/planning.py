"""The model: a *decision* says of one step whether it will be reused, resumed or run, and why.

`decide` works from identities alone; nothing is made. A step below one that must run is `run` as well, unless the new
input turns out to have the same content: then the run itself will reuse it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from flows.arrivals import Arrivals
from flows.changed_files import changed_files
from flows.ready import Ready
from flows.room import needed, taken
from flows.steps import Step, wanted_steps
from schemas.artifact import Artifact
from schemas.draft import Draft
from schemas.fingerprint import explain
from schemas.recipe import Recipe
from schemas.store import Store

Action = Literal["reuse", "resume", "run"]


@dataclass(frozen=True)
class Decision:
    """What will happen to a step, and why."""

    step: str
    action: Action
    why: tuple[str, ...]
    fingerprint: str | None
    """None while an input is still to be made."""
    artifact: Artifact | None = None
    """The one to reuse."""
    draft: Draft | None = None
    """The one to resume."""
    arrivals: Arrivals | None = None
    """What an incremental version finds in its sources."""
    room: int | None = None
    """Bytes of the disk that a step which is to run may take while it works, as far as that is known."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader should know beside the reasons."""
        return tuple(self.arrivals.notes()) if self.arrivals is not None else ()

    def as_json(self) -> dict[str, Any]:
        artifact = self.artifact.reference if self.artifact else None
        told = {"step": self.step, "action": self.action, "why": list(self.why), "fingerprint": self.fingerprint, "artifact": artifact}
        room = {} if self.room is None else {"room": self.room}
        return told | room if self.arrivals is None else {**told, **room, "arrivals": self.arrivals.as_json()}


def decide(step: Step, recipe: Recipe, store: Store, ready: Ready) -> Decision:
    """Decide one step whose inputs are all at hand."""
    name, fingerprint = step.artifact_name(recipe), ready.identity.fingerprint
    damage: tuple[str, ...] = ()
    for found in store.committed(step.kind, name, fingerprint):
        missing = found.missing()
        if not missing:
            to_do = ready.splits  # of which `why` says why they would run
            why = (ready.why if not to_do else ()) or (f"{found.reference} has its fingerprint",)
            return Decision(step.name, "reuse", why, fingerprint, artifact=found, arrivals=ready.arrivals)
        damage += (f"{found.reference} is damaged: {missing[0]}",)
    draft = store.unfinished(step.kind, name, fingerprint)
    if draft is not None:
        why = (f"an unfinished run left {draft.path.name}",)
        return Decision(step.name, "resume", why, fingerprint, draft=draft, arrivals=ready.arrivals)
    if ready.why and not damage:
        return Decision(step.name, "run", ready.why, fingerprint, arrivals=ready.arrivals)
    if damage:
        return Decision(step.name, "run", damage, fingerprint)
    made = [a for a in store.artifacts(step.kind, name) if a.manifest.identity.step == step.name]
    if not made:
        return Decision(step.name, "run", (f"there is no {step.kind}/{name} yet",), fingerprint, arrivals=ready.arrivals)
    reasons = min((_differences(a, ready, step) for a in reversed(made)), key=len)
    return Decision(step.name, "run", tuple(reasons) or ("its manifest is damaged",), fingerprint)


def plan(recipe: Recipe, store: Store, until: str | None = None) -> list[Decision]:
    """Decide every step of a run without running any."""
    decisions: list[Decision] = []
    artifacts: dict[str, Artifact] = {}
    for step in wanted_steps(recipe, until):
        waits = [need for need in step.needs if need not in artifacts and any(d.step == need for d in decisions)]
        inputs, ready = {need: artifacts[need] for need in step.needs if need in artifacts}, None
        if waits:
            decision = Decision(step.name, "run", (f"input {' and '.join(waits)} will be made first",), None)
        else:
            ready = step.prepare(recipe, store, inputs)
            decision = decide(step, recipe, store, ready)
        if decision.action != "reuse":
            there = taken(decision.draft.path) if decision.draft is not None else 0
            decision = replace(decision, room=max(needed(step, recipe, ready, inputs) - there, 0))
        if decision.artifact is not None:
            artifacts[step.name] = decision.artifact
        decisions.append(decision)
    return decisions


def _differences(before: Artifact, ready: Ready, step: Step) -> list[str]:
    """How what an artifact was made from differs from what is asked for; of all versions the nearest one explains best."""
    reasons = explain(before.manifest.identity, ready.identity, step.section)
    if before.manifest.identity.inputs.get("sources") != ready.identity.inputs.get("sources"):
        reasons = [r for r in reasons if not r.startswith("input sources ")] + _changed_files(before, ready)
    return reasons


def _changed_files(before: Artifact, ready: Ready) -> list[str]:
    """Say how many files came, changed and went, by source: "2 new files in source reviews"."""
    groups = changed_files(before.plan_splits(), ready.splits)
    return [f"{len(uris)} {what} file{'s' if len(uris) > 1 else ''} in source {source}" for (what, source), uris in groups.items()]
