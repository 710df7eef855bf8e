"""The model: commands that make one thing by themselves: token shards, a page, a diagnosis."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from flows.commands.options import AsJson, Reference, StoreOption, Tongue, TongueOption, Workers, open_store, print_json

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


@app.command(epilog="Example: gristmill report evaluation/demo --out report.html")
def report(
    artifact: Reference,
    out: Annotated[Path | None, typer.Option(help="HTML file; default: reports/NAME.html beside the store.")] = None,
    lang: TongueOption = Tongue.en,
    as_json: AsJson = False,
    store: StoreOption = None,
) -> None:
    """Write the HTML page about an artifact and all that it was made from."""
    from flows.report_file import write_run_report

    opened = open_store(store)
    found = opened.find(artifact)
    target = write_run_report(opened, found, out, lang.value)
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
