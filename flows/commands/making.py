"""The model: commands that make one thing by themselves: token shards, text, a page, a diagnosis."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from flows.commands.options import AsJson, Reference, StoreOption, Workers, open_store, print_json

app = typer.Typer()


@app.command(epilog="Example: gristmill tokenize texts/*.jsonl --tokenizer demo --name mine")
def tokenize(
    path: Annotated[
        str, typer.Argument(help="File, folder, (quoted) glob or URL of files, compressed or in archives too.", metavar="PATH")
    ],
    tokenizer: Annotated[str, typer.Option(help="A tokenizer.json, or NAME[@version] of a tokenizer in the store.")],
    name: Annotated[str, typer.Option(help="Name of the tokens artifact.")],
    format: Annotated[
        str, typer.Option(help="jsonl, txt, csv, tsv, parquet, arrow, html, warc, mediawiki, epub or tree (source code).")
    ] = "jsonl",
    text_field: Annotated[str, typer.Option(help="The JSON key or the column that holds the text.")] = "text",
    lang: Annotated[str, typer.Option(help="Language of all documents; und: not declared.")] = "und",
    engine: Annotated[str, typer.Option(help="auto, tokenizers or gigatoken; ids are the same.")] = "auto",
    workers: Workers = 2,
    as_json: AsJson = False,
    store: StoreOption = None,
) -> None:
    """Make token shards straight from raw files: a document a record, nothing cleaned, judged, compared or annotated."""
    from flows.tokenize import tokenize as make
    from flows.tokenize import validated

    source, tokens = validated(name=name, path=path, format=format, text_field=text_field, lang=lang, engine=engine)
    outcome = make(open_store(store), name, source, tokenizer, tokens, workers or 1, lambda line: print(line, file=sys.stderr, flush=True))
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
    from schemas.errors import RequestError

    found = open_store(store).find(model if "/" in model else f"model/{model}")
    if found.manifest.identity.step != "pretrain":
        raise RequestError(f"{found.reference} was made by step {found.manifest.identity.step}: only pretrained models generate text")
    text = continue_text(found.path, prompt, max_new=max_new, temperature=temperature, top_k=top_k, top_p=top_p, seed=seed)
    if as_json:
        print_json({"model": found.reference, "prompt": prompt, "text": text, "seed": seed})
    else:
        print(prompt + text)


@app.command(epilog="Example: gristmill report evaluation/demo --out report.html")
def report(
    artifact: Reference,
    out: Annotated[Path | None, typer.Option(help="HTML file; default: reports/NAME.html beside the store.")] = None,
    as_json: AsJson = False,
    store: StoreOption = None,
) -> None:
    """Write the HTML page about an artifact and all that it was made from."""
    from flows.report_file import write_run_report

    opened = open_store(store)
    found = opened.find(artifact)
    target = write_run_report(opened, found, out)
    if as_json:
        print_json({"artifact": found.reference, "path": str(target)})
    else:
        print(target)


@app.command(epilog="Example: gristmill doctor")
def doctor(as_json: AsJson = False, store: StoreOption = None) -> None:
    """Check this machine: versions, compiler, memory, disk; say in a line what is missing and what follows."""
    from flows.doctor import examine

    findings = examine(open_store(store).root)
    if as_json:
        print_json([f.as_json() for f in findings])
    else:
        for f in findings:
            print(f"{f.level:<5} {f.what:<12} {f.detail}")
    if any(f.level == "error" for f in findings):
        raise typer.Exit(1)
