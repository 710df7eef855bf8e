"""The model: commands that work through a recipe's steps, or say what they or its rules would do."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from flows.commands.options import AsJson, RecipeFile, StoreOption, Until, Workers, load, open_store, print_json
from schemas.recipe import Recipe

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


def _run(recipe: Recipe, until: str | None, as_json: bool) -> None:
    from flows.planning import plan as make_plan
    from flows.server import embedded_server
    from schemas.store import Store

    store = Store(recipe.run.store)
    decisions = make_plan(recipe, store, until)  # finds a missing input before anything is spent
    steps = ", ".join(f"{d.step} ({d.action})" for d in decisions)
    print(f"run {recipe.name}: {steps}", file=sys.stderr)
    print(f"  {'tracking':<10} starting the embedded Prefect server", file=sys.stderr, flush=True)
    try:
        with embedded_server(store.root.parent / "prefect"):
            from flows.run import run as run_steps

            outcomes = run_steps(recipe, store, until)
    except KeyboardInterrupt:
        print("\nstopped; the same command goes on from here", file=sys.stderr)
        raise
    if as_json:
        print_json(outcomes)
    else:
        from flows.summary import print_summary

        print_summary(outcomes)


@app.command(epilog="Example: gristmill plan my.yaml")
def plan(recipe: RecipeFile, until: Until = None, as_json: AsJson = False, store: StoreOption = None) -> None:
    """Say of each step whether it would be reused, resumed or run, and why; nothing is run."""
    from flows.planning import plan as make_plan

    loaded = load(recipe, store, None)
    decisions = make_plan(loaded, open_store(loaded.run.store), until)
    if as_json:
        print_json([d.as_json() for d in decisions])
    else:
        for d in decisions:
            print(f"{d.step:<10} {d.action:<7} {'; '.join(d.why)}")


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
