"""The model: `gristmill tagger` holds the commands for those who make and judge annotators; the rest of the house only uses them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from schemas.recipe import Annotator

app = typer.Typer(help="Judge the engines that find sentences, words and parts of speech.", no_args_is_help=True, rich_markup_mode=None)

_LABELS = {
    "sentence_f1": "sentences, F1 from raw text",
    "word_f1": "words, F1 from raw text",
    "upos_f1": "words and tags, F1 from raw text",
    "upos_accuracy": "tags of gold's words, accuracy",
}


@app.command(epilog="Example: gristmill tagger evaluate --lang en en_ewt-ud-test.conllu --json")
def evaluate(
    gold: Annotated[list[Path], typer.Argument(help="CoNLL-U files, plain or .gz.", metavar="GOLD...")],
    lang: Annotated[str, typer.Option(help="Language of the files.", metavar="LANG")],
    engine: Annotated[str, typer.Option(help="fast, spacy, rjieba or plain.", metavar="ENGINE")] = "fast",
    model: Annotated[
        str | None, typer.Option(help="Installed spaCy pipeline, for the spacy engine; needless if there is one.", metavar="PIPELINE")
    ] = None,
    standard: Annotated[str, typer.Option(help="Chinese words of the fast engine: ud or dictionary.", metavar="STANDARD")] = "ud",
    weights: Annotated[Path | None, typer.Option(help="Weights for the fast engine, instead of those that ship.", metavar="FILE")] = None,
    processes: Annotated[int | None, typer.Option(min=1, help="Processes whose speed is measured; one a core.", metavar="N")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON value.")] = False,
) -> None:
    """Score an engine on gold files: sentences, words and tags from raw text, tags of given words, words a second."""
    import json

    from pydantic import ValidationError

    from pipelines.annotate import evaluation
    from schemas.errors import RequestError

    if engine == "spacy" and model is None:
        from pipelines.annotate.spacy_engine import installed_for

        installed = installed_for(lang)
        if len(installed) > 1:
            raise RequestError(f"--model: several spaCy pipelines for {lang!r} are installed: {', '.join(installed)}: name one")
        model = installed[0] if installed else None
    try:
        chosen = {"engine": engine, "model": model, "standard": standard, "weights": str(weights) if weights else None}
        settings = Annotator.model_validate(chosen)
    except ValidationError as error:
        details = ((" ".join(f"--{key}: " for key in detail["loc"]), detail["msg"]) for detail in error.errors())
        raise RequestError("; ".join(where + what.removeprefix("Value error, ") for where, what in details)) from error
    found = evaluation.evaluate(gold, lang, settings, processes or len(os.sched_getaffinity(0)))
    if as_json:
        print(json.dumps({"lang": lang, **evaluation.as_json(found)}, ensure_ascii=False, indent=1))
        return
    print(f"{found.engine} on {found.words:,} words in {found.sentences:,} sentences")
    for key, label in _LABELS.items():
        value = getattr(found, key)
        print(f"{label:<34} {'-' if value is None else f'{value:.2%}'}")
    print(f"{'words a second':<34} {found.words_per_second:,.0f} on {found.processes} {'process' if found.processes == 1 else 'processes'}")


@app.command(epilog="Example: gristmill tagger train --lang de de_gsd-ud-train.conllu --dev de_gsd-ud-dev.conllu --out de.safetensors")
def train(
    treebanks: Annotated[
        list[Path], typer.Argument(help="CoNLL-U files; the weights follow the first one's style.", metavar="TREEBANK...")
    ],
    lang: Annotated[str, typer.Option(help="Language of the files.", metavar="LANG")],
    out: Annotated[Path, typer.Option(help="File of weights to write.", metavar="FILE")],
    text: Annotated[list[Path] | None, typer.Option(help="Plain text, a paragraph a line, for teachers to label.", metavar="FILE")] = None,
    encoder: Annotated[Path | None, typer.Option(help="Folder of a pretrained BERT-like encoder, to teach tags.", metavar="DIR")] = None,
    teachers: Annotated[int, typer.Option(min=1, help="Recurrent teachers, where there is no encoder.")] = 3,
    passes: Annotated[int, typer.Option(min=1, help="How often the student sees everything.")] = 6,
    words: Annotated[Path | None, typer.Option(help="Dictionary for Chinese, a word a line.", metavar="FILE")] = None,
    dev: Annotated[Path | None, typer.Option(help="CoNLL-U file to measure on, never trained on.", metavar="FILE")] = None,
    seed: int = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON value.")] = False,
) -> None:
    """Train the fast engine's weights for a language; a recipe uses them by `annotate.LANG.weights`."""
    import json
    import sys

    from pipelines.annotate.training.train import Plan, train_language

    plan = Plan(lang, tuple(treebanks), tuple(text or ()), encoder, teachers, passes, words, dev, seed)
    made = train_language(plan, out, lambda line: print(line, file=sys.stderr, flush=True))
    if as_json:
        print(json.dumps(made, ensure_ascii=False, indent=1))
    else:
        for key, value in made.items():
            print(f"{key:<14} {value:,}" if isinstance(value, int) else f"{key:<14} {value}")
