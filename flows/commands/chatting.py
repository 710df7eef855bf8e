"""The model: the command that talks with a model that was taught dialogues."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Annotated

import typer

from flows.commands.models import Model, printable
from flows.commands.options import AsJson, StoreOption, open_store, print_json

app = typer.Typer()


@app.command(epilog='Example: gristmill chat model/helper --once "Where is Peking?"')
def chat(
    model: Model,
    once: Annotated[str | None, typer.Option(help="Say this, print the answer, and end.", metavar="TEXT")] = None,
    system: Annotated[str | None, typer.Option(help="What stands before the dialogue.", metavar="TEXT")] = None,
    max_tokens: Annotated[int, typer.Option("--max-tokens", min=1, help="Tokens of an answer at the most.")] = 128,
    temperature: Annotated[float, typer.Option(min=0.0, help="0 is greedy.")] = 0.0,
    top_p: Annotated[float, typer.Option(min=0.0, max=1.0, help="Draw from the likeliest tokens that sum to this.")] = 0.95,
    seed: Annotated[int, typer.Option(help="The same one draws the same.")] = 0,
    as_json: AsJson = False,
    store: StoreOption = None,
) -> None:
    """Talk with a model that was fine-tuned on dialogues: a line is a turn; the end of the input ends it."""
    from model.examples.kinds import Message
    from model.generate import Asked, Drawing
    from model.generate.chat import Chat
    from schemas.errors import RequestError

    found = open_store(store).find(model if "/" in model else f"model/{model}")
    messages = [] if system is None else [Message("system", system)]
    asked_by_hand = once is None and sys.stdin.isatty()
    try:
        asked = Asked(max_tokens, drawing=Drawing(temperature, top_p=top_p), seed=seed)
        talk = Chat(found.path)
        for line in [once] if once is not None else _lines(asked_by_hand):
            messages.append(Message("user", line))
            written = talk.say(messages, asked, None if as_json else lambda piece: print(printable(piece), end="", flush=True))
            messages.append(Message("assistant", written.text))
            if not as_json:
                print()
    except ValueError as error:
        raise RequestError(str(error)) from error
    if as_json:
        print_json({"model": found.reference, "messages": [vars(message) for message in messages]})


def _lines(by_hand: bool) -> Iterator[str]:
    """Lines of the input that say something."""
    while True:
        print("> " if by_hand else "", end="", file=sys.stderr, flush=True)
        line = sys.stdin.readline()
        if not line:
            return
        if line.strip():
            yield line
