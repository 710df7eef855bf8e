"""The model: the `gristmill` command is the groups of commands below it, and how a failure becomes a message.

Exit codes: 0 done, 1 the work failed or an audit found something, 2 the request was wrong (recipe, reference, option).
"""

from __future__ import annotations

import signal
import sys
from importlib.metadata import version
from typing import Annotated, NoReturn

import typer

from flows.commands import (
    accuracy,
    artifacts,
    cards,
    chatting,
    comparing,
    deployments,
    drifting,
    evaluating,
    finetuning,
    forgetting,
    labelled_data,
    learning_rate,
    making,
    models,
    pii,
    probing,
    retraining,
    running,
    serving,
    tagger,
    upkeep,
)

app = typer.Typer(
    epilog="Example: gristmill demo",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _show_version(asked: bool) -> None:
    if asked:
        print(f"gristmill {version('gristmill')}")
        raise typer.Exit


@app.callback()
def _options(
    show_version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Raw text in; clean, segmented, tagged, tokenized Arrow shards and an evaluated language model out."""


for group in (
    running,
    deployments,
    retraining,
    artifacts,
    making,
    models,
    cards,
    serving,
    chatting,
    finetuning,
    labelled_data,
    evaluating,
    comparing,
    drifting,
    learning_rate,
    upkeep,
    forgetting,
    probing,
):
    app.add_typer(group.app)
app.add_typer(tagger.app, name="tagger")
app.add_typer(pii.app, name="pii")
app.add_typer(probing.probe, name="probe")
app.add_typer(accuracy.language, name="language")
app.add_typer(accuracy.encoding, name="encoding")
app.add_typer(accuracy.mojibake, name="mojibake")


def _terminated(number: int, frame: object) -> NoReturn:
    """Leave as by an error, so that whatever runs below gets its time to write a checkpoint."""
    sys.exit(128 + number)


def main() -> NoReturn:
    """The `gristmill` command: errors that a person can act on are one message, not a traceback."""
    from flows.launch import ChildFailed
    from flows.server import ServerFailed
    from schemas.artifact import Damaged
    from schemas.errors import RequestError
    from schemas.faults import GO_ON, is_full
    from schemas.lease import LeaseLost

    signal.signal(signal.SIGTERM, _terminated)
    try:
        app()
    except RequestError as error:
        print(f"gristmill: {error}", file=sys.stderr)
        sys.exit(2)
    except (ChildFailed, ServerFailed, Damaged, LeaseLost, OSError) as error:
        hint = f". The disk is full: make room, then {GO_ON}" if is_full(error) else ""
        print(f"gristmill: {error}{hint}", file=sys.stderr)
        sys.exit(1)
    sys.exit(0)


if __name__ == "__main__":
    main()
