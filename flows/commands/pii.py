"""The model: `gristmill pii` holds the commands for those who judge redaction before they turn it on in a recipe."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.commands.options import AsJson, print_json

if TYPE_CHECKING:
    from pipelines.redact.evaluation import Score

app = typer.Typer(help="Judge how well personal data and secrets are found.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def pii() -> None:
    """Keep `evaluate` a command of its own: a lone one would be the group."""


@app.command(epilog="Example: gristmill pii evaluate examples.json --json")
def evaluate(
    file: Annotated[Path, typer.Argument(help="JSON array or lines of {text, spans: [{start, end, kind}]}.", metavar="FILE")],
    as_json: AsJson = False,
) -> None:
    """Score redaction on texts with marked spans: precision and recall by kind."""
    from pipelines.redact import evaluation

    scores = evaluation.evaluate(file)
    if as_json:
        print_json(scores.as_json())
        return
    print(f"{'kind':<8} {'marked':>7} {'found':>7} {'precision':>10} {'recall':>8} {'exact':>8}")
    for kind, score in scores.kinds.items():
        shares = " ".join(f"{'-' if share is None else f'{share:.1%}':>{width}}" for share, width in _columns(score))
        print(f"{kind:<8} {score.marked:>7,} {score.found:>7,} {shares}")
    print(f"{scores.examples:,} examples")
    if scores.left_out:
        print("marks of kinds that are not looked for: " + ", ".join(f"{name} {count:,}" for name, count in scores.left_out.items()))


def _columns(score: Score) -> list[tuple[float | None, int]]:
    return [(score.precision, 10), (score.recall, 8), (score.exact, 8)]
