"""The model: the command that writes a model's card."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows.commands.models import Model
from flows.commands.options import AsJson, StoreOption, Tongue, TongueOption, open_store, print_json

app = typer.Typer()


@app.command(epilog="Example: gristmill card demo --out README.md")
def card(
    model: Model,
    out: Annotated[Path | None, typer.Option(help="File.md or File.html; default: cards/NAME.html beside the store.")] = None,
    probe: Annotated[
        list[Path] | None, typer.Option(help="What `gristmill probe ... --json` printed about it; may be given several times.")
    ] = None,
    lang: TongueOption = Tongue.en,
    as_json: AsJson = False,
    store: StoreOption = None,
) -> None:
    """Write a model's card: what it is, what it was made from, what was found about it, and what nobody knows."""
    from flows.card_file import write_card

    opened = open_store(store)
    found = opened.find(model if "/" in model else f"model/{model}")
    target = write_card(opened, found, out, probe or (), lang.value)
    if as_json:
        print_json({"model": found.reference, "path": str(target)})
    else:
        print(target)
