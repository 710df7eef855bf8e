"""The model: a *run* is one Prefect flow over a recipe, with a tracked task for each step and one for the report.

Tasks exchange small JSON: references and paths, never tables or models. Prefect's caching is off: what is reused is
decided by our fingerprints alone, because Prefect's default key holds the run id.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.events.worker import EventsWorker
from prefect.logging.handlers import APILogWorker

from flows.arriving.events import emit_committed
from flows.ensure import ensure
from flows.labels import check_labels
from flows.progress import duration
from flows.published import publish_step
from flows.report_file import report_path, write_run_report
from flows.steps import FINETUNE, STEPS, wanted_steps
from schemas.artifact import Artifact
from schemas.recipe import Recipe
from schemas.store import Store

Json = dict[str, Any]


def run(recipe: Recipe, store: Store, until: str | None, report: bool) -> list[Json]:
    """Run the flow; returns a JSON object a step. Its log lines and events are at the server when this returns."""
    try:
        return run_flow(recipe.name, as_said(recipe), str(store.root), until, report)
    finally:
        APILogWorker.drain_all(timeout=5)
        EventsWorker.drain_all(timeout=5)


def as_said(recipe: Recipe) -> Json:
    """The recipe as JSON, with what it says and no more: to rules, a threshold of null is one that is turned off."""
    return recipe.model_dump(mode="json", exclude_unset=True)


def say(line: str) -> None:
    """Tell the person at the terminal (stdout stays free for results), and the log of the task run."""
    print(line, file=sys.stderr, flush=True)
    get_run_logger().info(line.strip())


@flow(name="gristmill", flow_run_name="{name}", persist_result=False, validate_parameters=False)
def run_flow(name: str, recipe: Json, store: str, until: str | None, report: bool) -> list[Json]:
    """Ensure every step of a recipe in order, then write the report if it is wanted; returns a JSON object a step."""
    parsed = Recipe.model_validate(recipe)
    outcomes: list[Json] = []
    steps = wanted_steps(parsed, until)
    for step in steps:
        inputs = {o["step"]: o["path"] for o in outcomes if o["step"] in step.needs}
        outcomes.append(step_task.with_options(task_run_name=step.name)(step.name, recipe, store, inputs))
        learned = parsed.finetune if FINETUNE in {step.name for step in steps} else None
        if step.name == "documents" and learned is not None and learned.source is not None:
            check_labels(Artifact.open(Path(outcomes[-1]["path"])), learned)
    if parsed.corpus.incremental:
        _tell_committed(outcomes, Store(store))
    if outcomes and report:
        outcomes.append(report_task(store, outcomes[-1]["path"], name))
    return outcomes


def _tell_committed(outcomes: list[Json], store: Store) -> None:
    """Send the event of an ingest, if what it came to is new."""
    made = {o["step"]: Artifact.open(Path(o["path"])) for o in outcomes if o["step"] in ("documents", "tokens")}
    if "documents" in made:
        emit_committed(store, made["documents"], made.get("tokens"))


@task(cache_policy=NO_CACHE, persist_result=False)
def step_task(step: str, recipe: Json, store: str, inputs: dict[str, str]) -> Json:
    """Ensure one step; publish its ledger or its facts."""
    chosen = next(s for s in STEPS if s.name == step)
    artifacts = {role: Artifact.open(Path(path)) for role, path in inputs.items()}
    outcome = ensure(chosen, Recipe.model_validate(recipe), Store(store), artifacts, say)
    if outcome.action != "reuse":
        say(f"  {step:<10} done in {duration(outcome.seconds)}: {outcome.artifact.reference}")
    publish_step(outcome)
    return {
        "step": step,
        "action": outcome.action,
        "why": list(outcome.why),
        "artifact": outcome.artifact.reference,
        "path": str(outcome.artifact.path),
        "fingerprint": outcome.artifact.manifest.fingerprint,
        "seconds": round(outcome.seconds, 1),
        **({"arrivals": outcome.arrivals.as_json()} if outcome.arrivals is not None else {}),
    }


@task(cache_policy=NO_CACHE, persist_result=False, task_run_name="report")
def report_task(store: str, path: str, name: str) -> Json:
    """Write the page about an artifact and all that it was made from."""
    target = write_run_report(Store(store), Artifact.open(Path(path)), report_path(Store(store), name))
    say(f"  {'report':<10} {target}")
    return {"step": "report", "action": "run", "why": [], "path": str(target)}
