"""The model: commands that work through a recipe's steps, or say what they or its rules would do."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.commands.options import AsJson, RecipeFile, StoreOption, Until, Workers, load, open_store, print_json
from schemas.recipe import Recipe

if TYPE_CHECKING:
    from flows.planning import Decision
    from schemas.store import Store

app = typer.Typer()


@app.command(epilog="Example: gristmill demo")
def demo(as_json: AsJson = False, store: StoreOption = None, workers: Workers = None, until: Until = None) -> None:
    """Run the whole main job on text that is already on this machine: the standard library and Chinese reviews."""
    from flows.demo import write_inputs
    from flows.progress import quantity

    recipe_path = Path(__file__).parents[1] / "recipes" / "demo.yaml"
    recipe = load(recipe_path, store, workers)
    print("inputs of the demo, from what is installed here:", file=sys.stderr, flush=True)
    for name, found in write_inputs(Path(".gristmill/demo")).items():
        size = quantity(found["bytes"], "bytes")
        line = f"  {name:<10} {found['documents']:,} records in {found['files']} files, {size}: {found['path']}"
        print(line, file=sys.stderr, flush=True)
    _run(recipe, until, as_json)


@app.command(epilog="Example: gristmill run my.yaml --until documents")
def run(recipe: RecipeFile, until: Until = None, as_json: AsJson = False, store: StoreOption = None, workers: Workers = None) -> None:
    """Run a recipe: reuse what is there, resume what was left unfinished, make the rest."""
    _run(load(recipe, store, workers), until, as_json)


@app.command(epilog="Example: gristmill join /shared/store/model/mine/20261127T101500Z-0a1b2c3d")
def join(
    what: Annotated[
        Path, typer.Argument(help="Folder that `gristmill run` on the first machine named, or the recipe that it runs.", metavar="DRAFT")
    ],
    store: StoreOption = None,
) -> None:
    """Be another machine of a training that `gristmill run` has begun, or will begin, on the first (run.machines, run.meet)."""
    from flows.joining import draft_of
    from flows.torchrun import join as join_training

    def say(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    draft = what if what.is_dir() else draft_of(load(what, store, None), say)
    if draft is None:
        say(f"{what}: is trained")
    else:
        join_training(draft, say)


def _run(recipe: Recipe, until: str | None, as_json: bool, *, report: bool = True) -> None:
    from flows.planning import plan as make_plan
    from flows.server import embedded_server
    from schemas.store import Store

    store = Store(recipe.run.store)
    decisions = make_plan(recipe, store, until)  # finds a missing input before anything is spent
    steps = ", ".join(f"{d.step} ({d.action})" for d in decisions)
    print(f"run {recipe.name}: {steps}", file=sys.stderr)
    for line in _forecast_lines(recipe, store, decisions):
        print(f"  {'pretrain':<10} {line}", file=sys.stderr, flush=True)
    print(f"  {'tracking':<10} starting the embedded Prefect server", file=sys.stderr, flush=True)
    try:
        with embedded_server(store.root.parent / "prefect"):
            from flows.run import run as run_steps

            outcomes = run_steps(recipe, store, until, report)
    except KeyboardInterrupt:
        print("\nstopped; the same command goes on from here", file=sys.stderr)
        raise
    if as_json:
        print_json(outcomes)
    else:
        from flows.summary import print_summary

        print_summary(outcomes)


def _forecast_lines(recipe: Recipe, store: Store, decisions: Sequence[Decision]) -> list[str]:
    from flows.forecast import forecast

    found = forecast(recipe, store, decisions)
    return found["lines"] if found is not None else []


def _room_lines(decision: Decision, recipe: Recipe, store: Store) -> list[str]:
    """What a step needs of the disk, where that is worth a word: more than any step does."""
    from flows.progress import quantity
    from flows.room import LEAST, free_bytes, kept_free

    if decision.room is None or decision.room <= LEAST:
        return []
    free = free_bytes(store.root) - kept_free(recipe, store.root)
    lacking = ": there is no room for it" if decision.room > free else ""
    return [f"may take {quantity(decision.room, 'bytes')} of the disk while it works; {quantity(max(free, 0), 'bytes')} are free{lacking}"]


@app.command(epilog="Example: gristmill ingest my.yaml --settle 30")
def ingest(
    recipe: RecipeFile,
    settle: Annotated[
        float | None, typer.Option(min=0, help="Seconds for which a file must have been unchanged; default: the recipe's run.settle.")
    ] = None,
    marker: Annotated[
        str | None, typer.Option(help="Read only files that have a marker: an ending of a file beside it (.done), or a name (_SUCCESS).")
    ] = None,
    watch: Annotated[float | None, typer.Option(min=0.1, help="Look again each time after so many.", metavar="SECONDS")] = None,
    until: Until = "tokens",
    as_json: AsJson = False,
    store: StoreOption = None,
    workers: Workers = None,
) -> None:
    """Extend documents and tokens by the files that came since; what isn't settled waits. Without new files nothing is made."""
    loaded = load(recipe, store, workers)
    changes = {key: value for key, value in {"settle": settle, "marker": marker}.items() if value is not None}
    run = loaded.run.model_copy(update=changes)
    loaded = loaded.model_copy(update={"corpus": loaded.corpus.model_copy(update={"incremental": True}), "run": run})
    while True:
        _ingest(loaded, until, as_json)
        if watch is None:
            return
        time.sleep(watch)


def _ingest(recipe: Recipe, until: str | None, as_json: bool) -> None:
    from flows.incremental import NothingYet
    from flows.planning import plan as make_plan
    from schemas.store import Store

    try:
        decisions = make_plan(recipe, Store(recipe.run.store), until)
    except NothingYet as nothing:
        if as_json:
            row = {"step": "documents", "action": "wait", "why": [str(nothing)], "artifact": None, "arrivals": nothing.arrivals.as_json()}
            print_json([row])
        else:
            print(nothing)
        return
    if any(decision.action != "reuse" for decision in decisions):
        _run(recipe, until, as_json, report=False)  # which reads all text
    elif as_json:  # a look costs no server
        print_json([decision.as_json() for decision in decisions])
    else:
        for line in (*decisions[0].why, *decisions[0].notes):
            print(line)


@app.command(epilog="Example: gristmill plan my.yaml")
def plan(recipe: RecipeFile, until: Until = None, as_json: AsJson = False, store: StoreOption = None) -> None:
    """Say of each step whether it would be reused, resumed or run, and why, and what a pretraining would take; nothing is run."""
    from flows.forecast import forecast
    from flows.planning import plan as make_plan

    loaded = load(recipe, store, None)
    opened = open_store(loaded.run.store)
    decisions = make_plan(loaded, opened, until)
    if as_json:
        found = forecast(loaded, opened, decisions)
        print_json([d.as_json() | ({"estimate": found} if d.step == "pretrain" and found else {}) for d in decisions])
        return
    for d in decisions:
        print(f"{d.step:<10} {d.action:<7} {'; '.join(d.why)}")
        notes = [*d.notes, *(_forecast_lines(loaded, opened, decisions) if d.step == "pretrain" else ()), *_room_lines(d, loaded, opened)]
        for note in notes:
            print(f"{'':<18} {note}")


@app.command(epilog="Example: gristmill rules my.yaml --sample 10000")
def rules(
    recipe: RecipeFile,
    sample: Annotated[int | None, typer.Option(min=1, help="Read this many records of each source, instead of all.")] = None,
    seed: Annotated[int, typer.Option(help="Of the sample; the same seed reads the same records.")] = 0,
    examples: Annotated[int, typer.Option(min=0, max=3, help="Documents to show on either side of each threshold.")] = 1,
    as_json: AsJson = False,
    store: StoreOption = None,
    workers: Workers = None,
) -> None:
    """Say what each rule of a recipe would drop, by source and language, with examples; nothing is run or stored."""
    from flows.rules import as_json as told
    from flows.rules import lines_of, rules_of

    loaded = load(recipe, store, workers)
    outcome = rules_of(loaded, open_store(loaded.run.store), sample, seed)
    if as_json:
        print_json(told(outcome))
    else:
        for line in lines_of(outcome, examples):
            print(line)
