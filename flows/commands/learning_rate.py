"""The model: `gristmill lr`: a learning-rate range test on a recipe's own tokens and model (`model.lr_range`), as a table with bars."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from flows.commands.options import AsJson, RecipeFile, StoreOption, load, open_store, print_json

if TYPE_CHECKING:
    from model.lr_range import Point, Suggestion
    from schemas.artifact import Artifact
    from schemas.recipe import Recipe

app = typer.Typer()

BELOW, ABOVE = 1e-3, 100.0
"""The range unless it is given, times the recipe's rate."""
LINES, BAR = 25, 40


@app.command(epilog="Example: gristmill lr my.yaml --steps 100")
def lr(
    recipe: RecipeFile,
    steps: Annotated[int, typer.Option(min=10, help="Of the test, at the most.")] = 100,
    low: Annotated[float | None, typer.Option(min=0.0, help="Rate to begin at; default: a thousandth of the recipe's.")] = None,
    high: Annotated[float | None, typer.Option(min=0.0, help="Rate to end at; default: a hundred times the recipe's.")] = None,
    as_json: AsJson = False,
    store: StoreOption = None,
) -> None:
    """Train a little while the learning rate grows, and suggest one for pretrain.optimizer; nothing is stored."""
    from model.device import device_of_rank
    from model.lr_range import range_test, suggestion
    from schemas.errors import RequestError

    loaded = load(recipe, store, None)
    tokens, tokenizer = _tokens(loaded, store)
    settings = loaded.pretrain
    if settings is None:
        raise RequestError(f"{recipe}: has no pretrain section, so there is no learning rate to find")
    peak, run = settings.optimizer.lr, loaded.run
    lowest, highest = low or peak * BELOW, high or peak * ABOVE
    if lowest >= highest:
        raise RequestError(f"--low {lowest:g} is not below --high {highest:g}")

    def tell(point: Point) -> None:
        print(f"\rlr {point.lr:.2e}  loss {point.loss:.3f}", end="", file=sys.stderr, flush=True)

    points = range_test(
        tokens,
        tokenizer,
        settings,
        lowest=lowest,
        highest=highest,
        steps=steps,
        ranks_=run.readers,
        threads=run.ranks * run.threads_per_rank,
        device=device_of_rank(run.device),
        tell=tell,
    )
    print(file=sys.stderr)
    found = suggestion(points)
    muon = settings.optimizer.name == "muon"
    keys = {"lr": found.lr} | ({"muon_lr": float(f"{found.lr * settings.optimizer.muon_lr / peak:.2g}")} if muon else {})
    if as_json:
        print_json({"points": [asdict(point) for point in points], **asdict(found), "optimizer": {"name": settings.optimizer.name, **keys}})
        return
    for line in lines(points, found):
        print(line)
    said = ", ".join(f"{key}: {value:g}" for key, value in keys.items())
    print(f"\nsuggested: optimizer: {{name: {settings.optimizer.name}, {said}}}, a fifth of the rate at which the loss was lowest")


def _tokens(recipe: Recipe, store: str | None) -> tuple[Artifact, Artifact]:
    """The recipe's tokens and tokenizer. Raises RequestError if they are not there."""
    from flows.planning import plan
    from schemas.errors import RequestError

    decisions = {decision.step: decision for decision in plan(recipe, open_store(recipe.run.store), "tokens")}
    tokens, tokenizer = decisions["tokens"].artifact, decisions["tokenizer"].artifact
    if tokens is None or tokenizer is None:
        raise RequestError(f"tokens/{recipe.name} is not made, or not as the recipe says now: run it with --until tokens first")
    return tokens, tokenizer


def lines(points: Sequence[Point], found: Suggestion) -> list[str]:
    """The curve as a table: each line the mean of some steps, its bar the smoothed loss from the lowest to the highest."""
    each = -(-len(points) // LINES)
    smoothed = [point.smoothed for point in points]
    floor, range_ = min(smoothed), max(max(smoothed) - min(smoothed), 1e-9)
    told = [f"{'lr':>9}  {'loss':>7}  {'smoothed':>8}"]
    for start in range(0, len(points), each):
        group = points[start : start + each]
        marks = {"falls fastest": found.steepest, "lowest": found.lowest}
        mark = ", ".join(name for name, rate in marks.items() if any(point.lr == rate for point in group))
        bar = "#" * round((group[-1].smoothed - floor) / range_ * BAR)
        loss = sum(point.loss for point in group) / len(group)
        told.append(f"{group[-1].lr:>9.2e}  {loss:>7.3f}  {group[-1].smoothed:>8.3f}  {bar:<{BAR}}  {mark}".rstrip())
    if not found.diverged:
        told.append("the loss did not rise again in this range: a larger rate may do as well (--high)")
    return told
