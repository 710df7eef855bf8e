"""The model: to *ensure* a step is to have its artifact: reuse it, finish a draft of it, or make it; under a lease, so that
two runs of one step give one artifact. Commit comes last, and `run.json` beside it tells when, where and how long.
"""

from __future__ import annotations

import datetime
import itertools
import os
import platform
import subprocess
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from flows.arrivals import Arrivals
from flows.forgetting.obeyed import check_obeyed
from flows.launch import ChildFailed, run_child
from flows.planning import Action, decide
from flows.progress import Meter, Progress, of_file, of_parts
from flows.ready import Ready
from flows.room import check_room
from flows.stage_errors import refuse_stage_errors
from flows.steps import Step
from pipelines.tombstones import ROLE
from pipelines.tombstones import STAGE as FORGET
from schemas.artifact import Artifact, PartKey
from schemas.child import RUN_FACTS
from schemas.draft import TASK, WORK, Draft
from schemas.errors import RequestError
from schemas.files import replace
from schemas.fingerprint import canonical_json, read_json
from schemas.forgotten import Mark, is_retired, read_mark, set_mark
from schemas.lease import Lease
from schemas.recipe import Recipe
from schemas.store import Store
from schemas.terms import tell_terms

Say = Callable[[str], None]
Watch = Callable[[Progress], None]


def unwatched(progress: Progress) -> None:
    """Nobody looks."""


_PLANS = 5
"""How often an incremental version is planned at the most if files change while they are read."""


@dataclass(frozen=True)
class Outcome:
    """What ensuring a step came to."""

    step: str
    action: Action
    why: tuple[str, ...]
    artifact: Artifact
    seconds: float
    arrivals: Arrivals | None = None
    """What an incremental version found in its sources."""


def ensure(step: Step, recipe: Recipe, store: Store, inputs: Mapping[str, Artifact], say: Say, watch: Watch = unwatched) -> Outcome:
    """Have the artifact of `step`, whose inputs are all at hand by step name. `watch` is told of the work's progress, often.

    Raises `ChildFailed`, `LeaseLost` or `Damaged` (too many stage errors, too); a draft then stays for the next run to finish.
    """
    name = step.artifact_name(recipe)
    with _turn(step, recipe, store, name, say):
        made: Outcome | None = None
        plans = itertools.count(1)
        while True:
            ready = step.prepare(recipe, store, inputs)
            try:
                outcome = _ensure(step, recipe, store, name, inputs, ready, say, watch)
            except ChildFailed:
                changed = ready.changed() if ready.changed is not None and next(plans) < _PLANS else []
                if not changed:
                    raise
                what = f"{', '.join(changed[:3])}{', ...' if changed[3:] else ''}"
                say(f"  {step.name:<10} {what}: changed while it was read, left for next time")
                continue
            if outcome.action == "reuse" and made is not None:
                return made
            if not ready.unfinished:
                return outcome
            made = outcome


def _turn(step: Step, recipe: Recipe, store: Store, name: str, say: Say) -> AbstractContextManager[object]:
    """Versions that extend each other are planned one after the other, or two of them would have one parent and read the same files."""
    if not (step.kind == "documents" and recipe.corpus.incremental):
        return nullcontext()
    waiting = f"  {step.name:<10} waiting for another run that extends {step.kind}/{name}: "
    chain, _ = store.leases_of_name(step.kind, name)
    return Lease(chain, lambda holder: say(waiting + holder))


def _ensure(
    step: Step, recipe: Recipe, store: Store, name: str, inputs: Mapping[str, Artifact], ready: Ready, say: Say, watch: Watch
) -> Outcome:
    leases = store.lease_folder(step.kind, name, ready.identity.fingerprint)
    with Lease(leases, lambda holder: say(f"  {step.name:<10} waiting for another run of this step: {holder}")) as lease:
        decision = decide(step, recipe, store, ready)
        for line in ("; ".join((f"{decision.action}: {decision.why[0]}", *decision.why[1:])), *decision.notes):
            say(f"  {step.name:<10} {line}")
        if decision.artifact is not None:
            _finish_cleaning(decision.artifact)
            _tell_terms(step, decision.artifact, recipe)
            return Outcome(step.name, decision.action, decision.why, decision.artifact, 0.0, ready.arrivals)
        _refuse_retired(inputs)
        check_room(step, recipe, ready, inputs, store.root, decision.draft.path if decision.draft is not None else None)
        draft = decision.draft or store.start(step.kind, name, ready.identity, ready.splits)
        started = datetime.datetime.now(datetime.UTC)
        paths = {role: artifact.path.resolve() for role, artifact in {**inputs, **(ready.also or {})}.items()}
        draft.assign(inputs=paths, roots=ready.roots or {}, run=recipe.run.model_dump(mode="json"))
        if step.name == "pretrain" and recipe.run.machines > 1:
            say(f"  {step.name:<10} waiting for {recipe.run.machines} machines; on each other: gristmill join {draft.path.resolve()}")
        meter = Meter(step.name)
        tries, seconds = _work(step, draft, recipe, meter, watch)
        lease.check()
        told = draft.scratch() / RUN_FACTS
        facts = read_json(told) if told.is_file() else {}
        if step.name == "documents":
            refuse_stage_errors(draft, recipe.corpus.max_errors)
        artifact = _commit(step, draft, store, recipe.name, inputs, ready.without, say)
        _describe_run(artifact, recipe, started, seconds, tries, facts)
        _tell_terms(step, artifact, recipe)
        return Outcome(step.name, decision.action, decision.why, artifact, seconds, ready.arrivals)


def _refuse_retired(inputs: Mapping[str, Artifact]) -> None:
    """Raise `RequestError` if documents were forgotten since the inputs were chosen, which may be long ago: nothing is to learn of them."""
    for artifact in inputs.values():
        if is_retired(artifact.path):
            raise RequestError(f"{artifact.reference}: is retired, since documents of it were forgotten meanwhile. Run again")


def _commit(
    step: Step, draft: Draft, store: Store, name: str, inputs: Mapping[str, Artifact], without: Collection[PartKey], say: Say
) -> Artifact:
    """Commit, unless documents of `name` were forgotten meanwhile that it may hold; tell beside it if what it was made from saw such."""
    stages = (*step.stages, FORGET) if ROLE in draft.identity.inputs else step.stages
    _, committing = store.leases_of_name("documents", name)
    with Lease(committing, lambda holder: say(f"  {step.name:<10} waiting: {holder}")):
        marks = [mark for artifact in inputs.values() if (mark := read_mark(artifact.path)) is not None]
        if step.kind == "documents":
            check_obeyed(store, draft)
        elif step.kind == "tokens" and any(mark.retired for mark in marks):
            raise RequestError(f"{draft.path}: documents were forgotten meanwhile, and it may hold them. Run again")
        artifact = draft.commit(stages, without)
        for mark in marks[:1]:
            set_mark(artifact.path, Mark(mark.by, 0))
        return artifact


def _work(step: Step, draft: Draft, recipe: Recipe, meter: Meter, watch: Watch) -> tuple[int, float]:
    measure = of_parts(draft, step.parts_as_progress) if step.parts_as_progress else of_file(draft)
    log, temporary = draft.scratch() / "log.txt", draft.scratch() / "tmp"
    temporary.mkdir(exist_ok=True)
    env = {"TMPDIR": str(temporary.resolve())}  # what libraries leave in it goes with the scratch
    if step.name == "pretrain":
        env["OMP_NUM_THREADS"] = str(recipe.run.threads_per_rank)

    def look() -> None:
        progress = measure()
        meter.show(progress)
        watch(progress)

    try:
        tries = run_child(step.command(draft.path.resolve(), recipe.run), log, look, env, recipe.run.limit_of(step.name))
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


def _tell_terms(step: Step, artifact: Artifact, recipe: Recipe) -> None:
    if step.name == "documents":
        tell_terms(artifact.path, recipe.corpus.sources)


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
