"""The model: the command that teaches a model of the store a task."""

from __future__ import annotations

import sys

import typer

from flows.commands.options import AsJson, RecipeFile, StoreOption, open_store, print_json

app = typer.Typer()


@app.command(epilog="Example: gristmill finetune sentiment.yaml")
def finetune(
    recipe: RecipeFile,
    as_json: AsJson = False,
    store: StoreOption = None,
) -> None:
    """Teach a pretrained or imported model a task, from files of labelled examples."""
    from flows.finetuning import finetune_model
    from flows.summary import describe
    from schemas.recipe_file import load_finetune_recipe

    read = load_finetune_recipe(recipe)
    outcome = finetune_model(open_store(store or read.run.store), read, lambda line: print(line, file=sys.stderr, flush=True))
    artifact = outcome.artifact
    if as_json:
        told = {"artifact": artifact.reference, "path": str(artifact.path), "action": outcome.action, "why": list(outcome.why)}
        print_json({**told, **artifact.facts("finetune")})
    else:
        print(describe(artifact))
