"""The model: the command that says how far new text is from what the champion learned."""

from __future__ import annotations

import sys

import typer

from flows.commands.options import AsJson, RecipeFile, StoreOption, load, open_store, print_json

app = typer.Typer()


@app.command(epilog="Example: gristmill drift mine.yaml")
def drift(recipe: RecipeFile, as_json: AsJson = False, store: StoreOption = None) -> None:
    """Say how far the documents that came since are from what the champion learned, by measure and language."""
    from flows.drift import drift_of
    from flows.drift.lines import lines_of
    from schemas.recipe import Drift

    loaded = load(recipe, store, None)
    limits = loaded.retrain.drift if loaded.retrain is not None else None
    found = drift_of(loaded, open_store(loaded.run.store), limits or Drift(), lambda line: print(line, file=sys.stderr, flush=True))
    if as_json:
        print_json(found.as_json())
    else:
        print("\n".join(lines_of(found, is_trigger=limits is not None)))
