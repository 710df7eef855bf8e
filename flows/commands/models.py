"""The model: commands that use a model, hand it on to Hugging Face `transformers`, or take one from there."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.commands.options import AsJson, StoreOption, open_store, print_json

if TYPE_CHECKING:
    from schemas.artifact import Artifact

app = typer.Typer()

Model = Annotated[str, typer.Argument(help="model/name[@version]", metavar="MODEL")]

WRITERS = ("pretrain", "import")
"""Steps whose models generate text, or fill in masks."""


def _find(model: str, store: str | None, what: str, steps: tuple[str, ...] = WRITERS) -> Artifact:
    """A model that one of these steps made. Raises `RequestError` if it is another."""
    from schemas.errors import RequestError

    found = open_store(store).find(model if "/" in model else f"model/{model}")
    if found.manifest.identity.step not in steps:
        raise RequestError(f"{found.reference} was made by step {found.manifest.identity.step}: only pretrained and imported models {what}")
    return found


@app.command("export", epilog="Example: gristmill export model/demo demo-hf")
def export_model(
    model: Model,
    folder: Annotated[Path, typer.Argument(help="A new folder.", metavar="DIR")],
    as_json: AsJson = False,
    store: StoreOption = None,
) -> None:
    """Write a model and its tokenizer as a folder that Hugging Face transformers loads, with its card."""
    from flows.card_file import README, write_card
    from model.hf.export import export_model as export

    found = _find(model, store, "and fine-tuned ones can be exported", (*WRITERS, "finetune"))
    names = [*export(found.path, folder), README]
    write_card(open_store(store), found, folder / README)
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
    """Make a model artifact of a Hugging Face model (Llama, Qwen3, GPT-2, BERT, ModernBERT, T5); what can't be exact is refused."""
    from flows.hugging_face import import_model as make

    outcome = make(open_store(store), folder, name, lambda line: print(line, file=sys.stderr, flush=True))
    if as_json:
        reference = outcome.artifact.reference
        print_json({"artifact": reference, "path": str(outcome.artifact.path), "action": outcome.action, "seconds": outcome.seconds})
    else:
        from flows.summary import describe

        print(describe(outcome.artifact))


@app.command(epilog='Example: gristmill generate demo "def main(" --samples 3 --seed 7')
def generate(
    model: Model,
    prompts: Annotated[list[str] | None, typer.Argument(help="Texts to go on from.", metavar="PROMPT")] = None,
    prompt: Annotated[list[str] | None, typer.Option(help="One more of them.")] = None,
    max_tokens: Annotated[int, typer.Option("--max-tokens", "--max-new", min=1, help="Tokens to make at the most.")] = 64,
    temperature: Annotated[float, typer.Option(min=0.0, help="0 is greedy.")] = 0.8,
    top_k: Annotated[int, typer.Option(min=0, help="Draw from so many of the likeliest tokens; 0: all.")] = 0,
    top_p: Annotated[float, typer.Option(min=0.0, max=1.0, help="Draw from the likeliest tokens that sum to this.")] = 0.95,
    min_p: Annotated[float, typer.Option(min=0.0, max=1.0, help="Draw from tokens so likely, times the likeliest one.")] = 0.0,
    repetition_penalty: Annotated[float, typer.Option(min=0.01, help="Above 1: tokens that were there become less likely.")] = 1.0,
    beams: Annotated[int, typer.Option(min=1, help="Above 1: look for the likeliest texts; nothing is drawn.")] = 1,
    samples: Annotated[int, typer.Option(min=1, help="Texts for each prompt.")] = 1,
    stop: Annotated[list[str] | None, typer.Option(help="End before this text; may be given several times.")] = None,
    seed: Annotated[int, typer.Option(help="Of the first text, each other has the next; the same one draws the same.")] = 0,
    stream: Annotated[bool, typer.Option("--stream", help="Print the text while it grows.")] = False,
    as_json: AsJson = False,
    store: StoreOption = None,
) -> None:
    """Let a model go on from prompts."""
    from model.generate import Asked, Drawing, Writer
    from schemas.errors import RequestError

    read = [*(prompts or []), *(prompt or [])]
    if not read:
        raise RequestError("there is no prompt: give a text to go on from, or '' to begin one")
    if stream and (as_json or len(read) * samples > 1 or beams > 1):
        raise RequestError("--stream prints one text while it grows: leave out --json, --samples, --beams and further prompts")
    found = _find(model, store, "and fine-tuned ones generate text", (*WRITERS, "finetune"))
    try:
        drawing = Drawing(temperature, top_k or None, top_p, min_p or None, repetition_penalty)
        asked = Asked(max_tokens, samples, drawing, seed, tuple(stop or ()), beams)
        writer = Writer(found.path)
        if stream:
            print("" if writer.answers else printable(read[0]), end="", flush=True)
            writer.write(read, asked, lambda row, piece: print(printable(piece), end="", flush=True))
            print()
            return
        texts = writer.write(read, asked)
    except ValueError as error:
        raise RequestError(str(error)) from error
    if as_json:
        first = {"prompt": texts[0].prompt, "text": texts[0].text}
        print_json({"model": found.reference, **first, "seed": seed, "texts": [asdict(text) for text in texts]})
        return
    for number, text in enumerate(texts):
        if len(texts) > 1:
            print(f"{chr(10) if number else ''}[{number // samples + 1}.{number % samples + 1}]")
        print(printable(text.text if writer.answers else text.prompt + text.text))


@app.command(epilog='Example: gristmill fill bert "Paris is the [MASK] of France."')
def fill(
    model: Model,
    texts: Annotated[list[str], typer.Argument(help="Texts with masks, as the model's tokenizer spells them.", metavar="TEXT")],
    count: Annotated[int, typer.Option("--count", "-k", min=1, help="Tokens to name for each mask.")] = 5,
    as_json: AsJson = False,
    store: StoreOption = None,
) -> None:
    """Let an encoder say which tokens stand at a text's masks."""
    from model.fill import Filler
    from schemas.errors import RequestError

    found = _find(model, store, "fill in masks")
    filler = Filler(found.path)
    try:
        filled = [filler.fill(text, count) for text in texts]
    except ValueError as error:
        raise RequestError(str(error)) from error
    if as_json:
        rows = [
            {"text": text, "masks": [[asdict(one) for one in mask] for mask in masks]} for text, masks in zip(texts, filled, strict=True)
        ]
        print_json({"model": found.reference, "mask": filler.mask, "texts": rows})
        return
    several = sum(map(len, filled)) > 1
    for number, masks in enumerate(filled, 1):
        for place, candidates in enumerate(masks, 1):
            if several:
                print(f"[{number}.{place}]")
            for one in candidates:
                print(f"{one.probability:.4f}  {printable(one.token)}")


def printable(text: str) -> str:
    """Text for a terminal: a model that knows bytes can write control characters, which are escaped; lines and tabs stay."""
    from flows.rejects import visible

    return "".join(c if c in "\n\t" else visible(c) for c in text)
