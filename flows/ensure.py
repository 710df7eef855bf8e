"""The model: to *ensure* a step is to have its artifact: reuse it, finish a draft of it, or make it; under a lease, so that
two runs of one step give one artifact. Commit comes last, and `run.json` beside it tells when, where and how long.
"""

from __future__ import annotations

import datetime
import os
import platform
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from flows.launch import run_child
from flows.planning import Action, decide
from flows.progress import Meter, of_file, of_parts
from flows.stage_errors import refuse_stage_errors
from flows.steps import Step
from schemas.artifact import Artifact
from schemas.child import RUN_FACTS
from schemas.draft import TASK, WORK, Draft
from schemas.files import replace
from schemas.fingerprint import canonical_json, read_json
from schemas.lease import Lease
from schemas.recipe import Recipe
from schemas.store import Store

Say = Callable[[str], None]


@dataclass(frozen=True)
class Outcome:
    """What ensuring a step came to."""

    step: str
    action: Action
    why: tuple[str, ...]
    artifact: Artifact
    seconds: float


def ensure(step: Step, recipe: Recipe, store: Store, inputs: Mapping[str, Artifact], say: Say) -> Outcome:
    """Have the artifact of `step`, whose inputs are all at hand by step name.

    Raises `ChildFailed`, `LeaseLost` or `Damaged` (too many stage errors, too); a draft then stays for the next run to finish.
    """
    ready = step.prepare(recipe, store, inputs)
    name = step.artifact_name(recipe)
    leases = store.lease_folder(step.kind, name, ready.identity.fingerprint)
    with Lease(leases, lambda holder: say(f"  {step.name:<10} waiting for another run of this step: {holder}")) as lease:
        decision = decide(step, recipe, store, ready)
        say(f"  {step.name:<10} {decision.action}: {'; '.join(decision.why)}")
        if decision.artifact is not None:
            _finish_cleaning(decision.artifact)
            return Outcome(step.name, decision.action, decision.why, decision.artifact, 0.0)
        draft = decision.draft or store.start(step.kind, name, ready.identity, ready.splits)
        started = datetime.datetime.now(datetime.UTC)
        paths = {role: artifact.path.resolve() for role, artifact in inputs.items()}
        if ready.pinned is not None:
            paths["tokenizer"] = ready.pinned.path.resolve()
        draft.assign(inputs=paths, roots=ready.roots or {}, run=recipe.run.model_dump(mode="json"))
        meter = Meter(step.name)
        tries, seconds = _work(step, draft, recipe, meter)
        lease.check()
        told = draft.scratch() / RUN_FACTS
        facts = read_json(told) if told.is_file() else {}
        if step.name == "documents":
            refuse_stage_errors(draft, recipe.corpus.max_errors)
        artifact = draft.commit(step.stages)
        _describe_run(artifact, recipe, started, seconds, tries, facts)
        return Outcome(step.name, decision.action, decision.why, artifact, seconds)


def _work(step: Step, draft: Draft, recipe: Recipe, meter: Meter) -> tuple[int, float]:
    measure = of_parts(draft, step.parts_as_progress) if step.parts_as_progress else of_file(draft)
    log, temporary = draft.scratch() / "log.txt", draft.scratch() / "tmp"
    temporary.mkdir(exist_ok=True)
    env = {"TMPDIR": str(temporary.resolve())}  # what libraries leave in it goes with the scratch
    if step.name == "pretrain":
        env["OMP_NUM_THREADS"] = str(recipe.run.threads_per_rank)
    try:
        tries = run_child(step.command(draft.path.resolve(), recipe.run), log, lambda: meter.show(measure()), env)
    finally:
        seconds = meter.close()
    return tries, seconds


def _describe_run(artifact: Artifact, recipe: Recipe, started: datetime.datetime, seconds: float, tries: int, facts: Any) -> None:
    run = {
        "started": started.isoformat(timespec="seconds"),
        "seconds": round(seconds, 1),
        "tries": tries,
        "run": recipe.run.model_dump(mode="json"),
        "gristmill": version("gristmill"),
        "git": _git_revision(),
        "python": platform.python_version(),
        "facts": facts,
        "machine": {"host": os.uname().nodename, "cpus": os.cpu_count(), "architecture": platform.machine()},
    }
    replace(artifact.path / "run.json", canonical_json(run))
    (artifact.path / TASK).unlink(missing_ok=True)


def _finish_cleaning(artifact: Artifact) -> None:
    """A run that was killed between commit and clean-up left its scratch behind."""
    if (artifact.path / WORK).exists() or (artifact.path / TASK).exists():
        Draft.open(artifact.path).clean()
        (artifact.path / TASK).unlink(missing_ok=True)


def _git_revision() -> str | None:
    """Revision of the code that runs, if it runs from a git checkout."""
    here = Path(__file__).resolve().parent
    try:
        answer = subprocess.run(["git", "-C", str(here), "rev-parse", "HEAD"], capture_output=True, text=True, timeout=10, check=False)
    except OSError:
        return None
    return answer.stdout.strip() or None
