"""The model: the command that serves a model to other programs."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from flows.commands.models import WRITERS, Model
from flows.commands.options import AsJson, StoreOption, open_store, print_json

if TYPE_CHECKING:
    from schemas.artifact import Artifact

app = typer.Typer()


@app.command("api", epilog="Example: gristmill api demo --port 8010")
def serve_api(
    model: Model,
    host: Annotated[str, typer.Option(help="Address to listen at; beyond this machine only with GRISTMILL_API_TOKEN.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any that is free; it is printed.")] = 8010,
    threads: Annotated[int, typer.Option(min=0, help="Threads that compute; 0: one a core.")] = 0,
    slots: Annotated[int, typer.Option(min=1, help="Texts written at a time.")] = 32,
    waiting: Annotated[int, typer.Option(min=1, help="Texts that may wait; more are refused (429).")] = 256,
    max_tokens: Annotated[int, typer.Option("--max-tokens", min=1, help="Tokens of a text at the most.")] = 2048,
    context: Annotated[
        int, typer.Option(min=2, help="Tokens of prompt and text at the most, of a T5 of each; the model's own limit counts too.")
    ] = 4096,
    max_prompts: Annotated[int, typer.Option("--max-prompts", min=1, help="Prompts, or texts to embed, of a request.")] = 256,
    max_body: Annotated[int, typer.Option("--max-body", min=1024, help="Bytes of a request.")] = 1 << 20,
    seconds: Annotated[float, typer.Option(min=0.1, help="Until a request that is not answered is given up.")] = 300.0,
    follow: Annotated[float, typer.Option(min=0.0, help="Seconds between looks for a newer version; 0: never.")] = 5.0,
    as_json: AsJson = False,
    store: StoreOption = None,
) -> None:
    """Serve a model as OpenAI's API does: completions, chat, embeddings. A newer version takes its place without a restart; of
    NAME@champion the next champion."""
    from schemas.champion import ALIAS
    from schemas.errors import RequestError

    token = os.environ.get("GRISTMILL_API_TOKEN")
    token = None if token is None else token.strip()
    if token is not None and (not token or not token.isascii()):
        raise RequestError("GRISTMILL_API_TOKEN is empty, or not ASCII: set it to a token that clients must know, or unset it")

    import torch

    from flows.steps import FINETUNE
    from model.serving.house import House, Limits
    from model.serving.listen import bind, serve, url_of

    torch.set_num_threads(threads or len(os.sched_getaffinity(0)))
    opened, reference = open_store(store), model if "/" in model else f"model/{model}"

    def resolve() -> Artifact:
        found = opened.find(reference)
        if (made := found.manifest.identity.step) not in (*WRITERS, FINETUNE):
            raise RequestError(f"{found.reference} was made by step {made}: only pretrained, imported and fine-tuned models are served")
        return found

    def say(line: str) -> None:
        print(f"gristmill api: {line}", file=sys.stderr, flush=True)

    listening = bind(host, port, token)
    champion = reference.removeprefix("model/") if reference.endswith(f"@{ALIAS}") else None
    house = House(resolve, Limits(slots, waiting, max_tokens, context, max_prompts, max_body, seconds), say, champion)

    def ready() -> None:
        url, served = url_of(listening), house.current.artifact.reference
        if as_json:
            print_json({"model": served, "url": url})
        else:
            print(f"{served} at {url}")
        sys.stdout.flush()

    pinned = "@" in model and champion is None
    serve(house, listening, token, follow if follow and not pinned else None, ready)
