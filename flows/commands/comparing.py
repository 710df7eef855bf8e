"""The model: commands that look at what evaluations found: two models beside each other, and all of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows.commands.options import AsJson, StoreOption, Tongue, TongueOption, open_store, print_json

app = typer.Typer()

TaskOption = Annotated[str | None, typer.Option(help="Only this task.")]


@app.command(epilog="Example: gristmill compare demo-sentiment demo-sentiment-lora")
def compare(
    a: Annotated[str, typer.Argument(help="model/name[@version], or an evaluation/name[@version].", metavar="MODEL_A")],
    b: Annotated[str, typer.Argument(help="Another.", metavar="MODEL_B")],
    task: TaskOption = None,
    as_json: AsJson = False,
    store: StoreOption = None,
) -> None:
    """Say whether one model is better than another on the tasks that both were evaluated on, or why that can't be told."""
    from flows.comparing import compare_models, lines_of

    compared = compare_models(open_store(store), a, b, task)
    if as_json:
        print_json(compared.as_json())
    else:
        for line in lines_of(compared):
            print(line)


@app.command(epilog="Example: gristmill leaderboard --task sentiment --page leaderboard.html")
def leaderboard(
    task: TaskOption = None,
    sort: Annotated[str | None, typer.Option(help="Metric to sort by, where a task has it; default: the one that decides.")] = None,
    page: Annotated[Path | None, typer.Option(help="HTML file to write as well.", metavar="FILE")] = None,
    lang: TongueOption = Tongue.en,
    as_json: AsJson = False,
    store: StoreOption = None,
) -> None:
    """Show every evaluated model by task, best first, beside its baselines."""
    from flows.leaderboard import boards, lines_of, write_page

    opened = open_store(store)
    found = boards(opened, task, sort)
    if page is not None:
        write_page(page, found, opened, lang.value)
    if as_json:
        print_json({"boards": [board.as_json() for board in found], "page": None if page is None else str(page)})
        return
    for number, board in enumerate(found):
        print("\n".join([*([""] if number else []), *lines_of(board)]))
    if page is not None:
        print(f"\n{page}")
