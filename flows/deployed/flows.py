"""The model: a *deployed flow* does for a recipe file what a command does, each step by a task run of its own: found in the store,
finished, or made. What it says in its docstring is what the browser shows.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

from prefect import flow, get_run_logger
from prefect.runtime import flow_run as this_run
from prefect.states import Completed, State
from pydantic import Field

from flows.arriving.events import emit_committed
from flows.deployed.again import OPTIONS, go_on, retry_condition
from flows.deployed.upkeep import audit_task, leases_task, sample, sweep_task
from flows.incremental import NothingYet
from flows.planning import plan
from flows.run import as_said, ensure_steps, report_task, step_task
from schemas.artifact import Artifact
from schemas.errors import RequestError
from schemas.process import die_with_parent
from schemas.recipe import Recipe
from schemas.recipe.names import FINETUNED
from schemas.recipe_file import load_recipe
from schemas.store import Store

Json = dict[str, Any]
Workers = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(ge=0)]

SERVER = "GRISTMILL_SERVE"
"""In the environment of what `gristmill serve` starts: its process id."""

STEP = step_task.with_options(retry_condition_fn=retry_condition, **OPTIONS)


def _named() -> str:
    """What a run is called: what it does, and for which recipe."""
    asked = this_run.parameters
    path = Path(asked.get("recipe") or asked.get("store") or "")
    try:
        name = load_recipe(path).name if "recipe" in asked else path.name
    except (RequestError, OSError):  # the run itself will say so
        name = path.stem
    return f"{this_run.flow_name} {name}"


FLOW: dict[str, Any] = {"flow_run_name": _named, "persist_result": False, "on_crashed": [go_on]}


@flow(name="ingest", **FLOW)
def ingest(recipe: str, store: str | None = None, workers: Workers | None = None, settle: Seconds | None = None) -> State[Any] | list[Json]:
    """Extend documents and tokens by the files that came since. Without new files nothing is made.

    Args:
        recipe: Path of the recipe file.
        store: Folder of the artifacts; none: the recipe's own.
        workers: Processes of the data jobs; none: the recipe's own number. They never change a result.
        settle: Seconds for which a file must have been unchanged; none: the recipe's own (`run.settle`).
    """
    asked = _opened(recipe, store, workers)
    run = asked.run if settle is None else asked.run.model_copy(update={"settle": settle})
    asked = asked.model_copy(update={"corpus": asked.corpus.model_copy(update={"incremental": True}), "run": run})
    try:
        decisions = plan(asked, Store(asked.run.store), "tokens")
    except NothingYet as nothing:
        return Completed(message=str(nothing))
    made = {decision.step: decision.artifact for decision in decisions if decision.artifact is not None}
    if len(made) == len(decisions) and "documents" in made:
        emit_committed(Store(asked.run.store), made["documents"], made.get("tokens"))  # if the run that made them was killed before that
        return Completed(message=f"Nothing new: {'; '.join((*decisions[0].why, *decisions[0].notes))}")
    return _ensured(asked, "tokens")


@flow(name="build", **FLOW)
def build(recipe: str, store: str | None = None, workers: Workers | None = None) -> list[Json]:
    """Make documents and tokens from all files of the recipe's sources, as `gristmill run --until tokens` does.

    Args:
        recipe: Path of the recipe file.
        store: Folder of the artifacts; none: the recipe's own.
        workers: Processes of the data jobs; none: the recipe's own number. They never change a result.
    """
    return _ensured(_opened(recipe, store, workers), "tokens")


@flow(name="pretrain", **FLOW)
def pretrain(recipe: str, store: str | None = None, workers: Workers | None = None) -> list[Json]:
    """Pretrain the recipe's model, on tokens that are made first if they are not there.

    Args:
        recipe: Path of the recipe file.
        store: Folder of the artifacts; none: the recipe's own.
        workers: Processes of the data jobs; none: the recipe's own number. They never change a result.
    """
    return _ensured(_opened(recipe, store, workers), "pretrain")


@flow(name="finetune", **FLOW)
def finetune(recipe: str, store: str | None = None, workers: Workers | None = None) -> list[Json]:
    """Fine-tune the recipe's model for its task; what that needs is made first if it is not there.

    Args:
        recipe: Path of the recipe file.
        store: Folder of the artifacts; none: the recipe's own.
        workers: Processes of the data jobs; none: the recipe's own number. They never change a result.
    """
    return _ensured(_opened(recipe, store, workers), "finetune")


@flow(name="evaluate", **FLOW)
def evaluate(recipe: str, store: str | None = None, workers: Workers | None = None) -> list[Json]:
    """Evaluate the recipe's models and write the report, as `gristmill run` does; what that needs is made first if it is not there.

    Args:
        recipe: Path of the recipe file.
        store: Folder of the artifacts; none: the recipe's own.
        workers: Processes of the data jobs; none: the recipe's own number. They never change a result.
    """
    asked = _opened(recipe, store, workers)
    outcomes = _ensured(asked, "evaluate")
    return [*outcomes, report_task(asked.run.store, outcomes[-1]["path"], asked.name)]


@flow(name="retrain", **FLOW)
def retrain(recipe: str, store: str | None = None, workers: Workers | None = None, reason: str | None = None, force: bool = False) -> Json:
    """Make a challenger from the champion and what is new, judge both, and promote it if it passes the gate; nothing if none is due.

    Args:
        recipe: Path of the recipe file.
        store: Folder of the artifacts; none: the recipe's own.
        workers: Processes of the data jobs; none: the recipe's own number. They never change a result.
        reason: Why it is asked for; it is told, and decides nothing.
        force: Wait for no number of new tokens, no period and no frozen window.
    """
    from flows.retraining.flow import retrain_flow

    asked = _opened(recipe, store, workers)
    told: Json = retrain_flow.fn(as_said(asked), asked.run.store, reason, force)
    return told


@flow(name="report", **FLOW)
def report(recipe: str, store: str | None = None) -> list[Json]:
    """Write the report page about the newest of what the recipe made.

    Args:
        recipe: Path of the recipe file.
        store: Folder of the artifacts; none: the recipe's own.
    """
    asked = _opened(recipe, store, None)
    return [report_task(asked.run.store, str(_newest(asked).path), asked.name)]


@flow(name="maintenance", **FLOW)
def maintenance(
    store: str, keep: Annotated[int, Field(ge=1)] = 3, grace: str = "7d", yes: bool = False, audits: Annotated[int, Field(ge=0)] = 3
) -> State[Any]:
    """Show what of a store may go, and remove it if asked to; audit a sample of artifacts; tell which steps are held by whom.

    Args:
        store: Folder of the artifacts.
        keep: Newest artifacts of each name that stay.
        grace: For how long what was in use stays, in days or hours, as 7d or 12h.
        yes: Remove what may go. Otherwise it is only shown.
        audits: Artifacts to audit, drawn by lot.
    """
    _bind()
    if not Path(store).is_dir():
        raise RequestError(f"store {store}: there is no such folder")
    told = [sweep_task(store, keep, grace, yes), leases_task(store)]
    drawn = sample(Store(store), audits)
    findings = [finding for reference in drawn for finding in audit_task(store, reference)]
    if findings:
        raise RequestError("\n".join(["what was audited is not sound:", *findings]))
    return Completed(message="; ".join([*told, f"{len(drawn)} audited and sound"]))


def _bind() -> None:
    """Let a flow run's process die with the `gristmill serve` that started it, even if that is killed."""
    if SERVER in os.environ:
        die_with_parent(int(os.environ[SERVER]))


def _opened(recipe: str, store: str | None, workers: int | None) -> Recipe:
    """The recipe of a file, with what parameters say of its run."""
    _bind()
    read = load_recipe(Path(recipe))
    changes = {key: value for key, value in {"store": store, "workers": workers}.items() if value is not None}
    return read.model_copy(update={"run": read.run.model_copy(update=changes)})


def _ensured(recipe: Recipe, until: str) -> list[Json]:
    """Ensure the steps up to one that the recipe asks for. Raises `RequestError` if it doesn't."""
    if until not in {decision.step for decision in plan(recipe, Store(recipe.run.store), until)}:  # and says why each would run
        raise RequestError(f"recipe {recipe.name} has no section {until}: there is nothing to do")
    outcomes = ensure_steps(as_said(recipe), recipe.run.store, until, STEP)
    get_run_logger().info(", ".join(f"{one['step']}: {one['artifact']} ({one['action']})" for one in outcomes))
    return outcomes


def _newest(recipe: Recipe) -> Artifact:
    """The artifact furthest down the recipe's steps that is there. Raises `RequestError` if none is."""
    store = Store(recipe.run.store)
    kinds = (("evaluation", ""), ("model", FINETUNED), ("model", ""), ("tokens", ""), ("documents", ""))
    for kind, suffix in kinds:
        for artifact in store.newest_first(kind, recipe.name + suffix):
            return artifact
    raise RequestError(f"there is nothing of {recipe.name} in {store.root} to report on: run it first")
