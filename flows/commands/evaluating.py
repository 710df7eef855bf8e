"""The model: the command that asks a model of the store tasks, held-out text, and tasks of lm-evaluation-harness."""

from __future__ import annotations

import sys
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.commands.options import AsJson, StoreOption, open_store, print_json

if TYPE_CHECKING:
    from flows.evaluating import Asked
    from schemas.store import Store

app = typer.Typer()


class Subset(StrEnum):
    """Of labelled data, or of documents."""

    train = "train"
    validation = "validation"
    test = "test"


@app.command(epilog="Example: gristmill evaluate demo-sentiment sentiment.yaml --subset test")
def evaluate(
    model: Annotated[str, typer.Argument(help="model/name[@version]", metavar="MODEL")],
    tasks: Annotated[list[Path] | None, typer.Argument(help="Task files (YAML).", metavar="TASK")] = None,
    text: Annotated[
        str | None,
        typer.Option(help="Text to predict: files (a wildcard in quotes), or documents/name[@version].", metavar="FILES"),
    ] = None,
    baseline: Annotated[str | None, typer.Option(help="Another model that stands among the baselines of --text.", metavar="MODEL")] = None,
    lm_eval: Annotated[list[str] | None, typer.Option(help="Task of lm-evaluation-harness; may be repeated.", metavar="TASK")] = None,
    lm_eval_path: Annotated[Path | None, typer.Option(help="Folder of its task files; default: its own tasks.", metavar="DIR")] = None,
    subset: Annotated[Subset, typer.Option(help="What is asked; others are learned from.")] = Subset.test,
    shots: Annotated[int, typer.Option(min=0, help="Examples before each question, for models that are asked in words.")] = 0,
    limit: Annotated[int | None, typer.Option(min=1, help="Items of a task at the most.")] = None,
    max_bytes: Annotated[int, typer.Option(min=1, help="Of --text, over all languages.")] = 200_000,
    seed: Annotated[int, typer.Option(help="Of draws and intervals.")] = 0,
    name: Annotated[str | None, typer.Option(help="Name of the evaluation; default: MODEL-tasks.")] = None,
    threads: Annotated[int, typer.Option(min=1, help="Threads to compute with.")] = 1,
    as_json: AsJson = False,
    store: StoreOption = None,
) -> None:
    """Ask a model tasks and held-out text, and say whether it beats simple baselines."""
    from flows.evaluated import results_of
    from flows.evaluating import beside_baselines, evaluate_model, lines_of, model_named
    from model.metrics.verdicts import verdict
    from schemas.errors import RequestError
    from schemas.recipe import Run

    opened = open_store(store)
    found = model_named(opened, model)
    if (baseline is not None and text is None) or (lm_eval_path is not None and not lm_eval):
        raise RequestError("--baseline is of --text, and --lm-eval-path of --lm-eval: give these too, or leave them out")
    base: dict[str, Any] = {"subset": subset.value, "shots": shots, "limit": limit, "seed": seed}
    asked = _asked(opened, tasks or [], text, baseline, lm_eval or [], lm_eval_path, max_bytes, base)
    run = Run(store=str(opened.root), threads_per_rank=threads)
    outcome = evaluate_model(
        opened, found, asked, name or f"{found.name}-tasks", run, lambda line: print(line, file=sys.stderr, flush=True)
    )
    results = results_of(outcome.artifact)
    beside = beside_baselines(outcome.artifact, results)
    if as_json:
        verdicts = [
            {**asdict(one.comparison), "baseline": one.baseline, "beaten": one.comparison.winner == "a",
             "verdict": verdict(one.comparison, found.name, one.baseline)}
            for one in beside
        ]  # fmt: skip
        told = {"artifact": outcome.artifact.reference, "path": str(outcome.artifact.path), "action": outcome.action}
        print_json({**told, "tasks": [result.as_json() for result in results], "beside_baselines": verdicts})
        return
    print("\n".join([*lines_of(found.name, results, beside), "", f"{outcome.artifact.reference}  {outcome.artifact.path}"]))


def _asked(
    store: Store,
    tasks: list[Path],
    text: str | None,
    baseline: str | None,
    lm_eval: list[str],
    folder: Path | None,
    max_bytes: int,
    base: dict[str, Any],
) -> Asked:
    """What options ask for. Raises `RequestError`."""
    from pydantic import ValidationError

    from flows.evaluating import Asked, model_named
    from schemas.errors import RequestError
    from schemas.recipe import Evaluation, Harness, HeldOutText
    from schemas.recipe_file import load_task

    documents = store.find(text) if text is not None and text.startswith("documents/") else None
    other = model_named(store, baseline, "--baseline") if baseline is not None else None
    held_out = None
    if text is not None:
        called = "text" if documents is None else documents.name
        held_out = HeldOutText(name=called, documents=documents is not None, max_bytes=max_bytes, baseline=other.name if other else None)
    harness = Harness(tasks=tuple(lm_eval), folder=folder is not None) if lm_eval else None
    try:
        settings = Evaluation(tasks=tuple(load_task(path) for path in tasks), text=held_out, harness=harness, **base)
    except ValidationError as error:
        raise RequestError(error.errors()[0]["msg"].removeprefix("Value error, ")) from error
    return Asked(settings, documents, text if documents is None else None, other, folder)
