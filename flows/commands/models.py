"""The model: commands that use a model, hand it on to Hugging Face `transformers`, or take one from there."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.commands.options import AsJson, StoreOption, open_store, print_json

if TYPE_CHECKING:
    from schemas.artifact import Artifact

app = typer.Typer()

Model = Annotated[str, typer.Argument(help="model/name[@version]", metavar="MODEL")]

WRITERS = ("pretrain", "import")
"""Steps whose models generate text."""


def _find(model: str, store: str | None, what: str) -> Artifact:
    """A model that generates text. Raises `RequestError` if it is another."""
    from schemas.errors import RequestError

    found = open_store(store).find(model if "/" in model else f"model/{model}")
    if found.manifest.identity.step not in WRITERS:
        raise RequestError(f"{found.reference} was made by step {found.manifest.identity.step}: only pretrained and imported models {what}")
    return found


@app.command("export", epilog="Example: gristmill export model/demo demo-hf")
def export_model(
    model: Model, folder: Annotated[Path, typer.Argument(help="A new folder.", metavar="DIR")], as_json: AsJson = False, store: StoreOption = None
) -> None:
    """Write a model and its tokenizer as a folder that Hugging Face transformers loads."""
    from model.hf.export import export_model as export

    found = _find(model, store, "can be exported")
    names = export(found.path, folder)
    if as_json:
        print_json({"model": found.reference, "path": str(folder), "files": names})
    else:
        for name in names:
            print(folder / name)


@app.command("import", epilog="Example: gristmill import ./gpt2 --name gpt2")
def import_model(
    folder: Annotated[Path, typer.Argument(help="Folder with config.json, model.safetensors and tokenizer.json.", metavar="DIR")],
    name: Annotated[str, typer.Option(help="Name of the model artifact.")],
    as_json: AsJson = False,
    store: StoreOption = None,
) -> None:
    """Make a model artifact of a Hugging Face decoder (Llama, Qwen3, GPT-2); what can't be represented exactly is refused."""
    from flows.hugging_face import import_model as make

    outcome = make(open_store(store), folder, name, lambda line: print(line, file=sys.stderr, flush=True))
    if as_json:
        reference = outcome.artifact.reference
        print_json({"artifact": reference, "path": str(outcome.artifact.path), "action": outcome.action, "seconds": outcome.seconds})
    else:
        from flows.summary import describe

        print(describe(outcome.artifact))


@app.command(epilog='Example: gristmill generate model/demo "def main("')
def generate(
    model: Annotated[str, typer.Argument(help="model/name[@version]")],
    prompt: Annotated[str, typer.Argument(help="Text to go on from.")],
    max_new: Annotated[int, typer.Option(min=1, help="Tokens to make at the most.")] = 64,
    temperature: Annotated[float, typer.Option(min=0.0, help="0 is greedy.")] = 0.8,
    top_k: Annotated[int, typer.Option(min=0, help="0: all.")] = 0,
    top_p: Annotated[float, typer.Option(min=0.0, max=1.0)] = 0.95,
    seed: int = 0,
    as_json: AsJson = False,
    store: StoreOption = None,
) -> None:
    """Let a model continue a prompt."""
    from model.generate import continue_text

    found = _find(model, store, "generate text")
    text = continue_text(found.path, prompt, max_new=max_new, temperature=temperature, top_k=top_k, top_p=top_p, seed=seed)
    if as_json:
        print_json({"model": found.reference, "prompt": prompt, "text": text, "seed": seed})
    else:
        print(prompt + text)
