"""The model: `gristmill language`, `encoding` and `mojibake` hold the commands that say how right the parts that guess are, on anybody's
own texts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from flows.commands.options import AsJson, print_json

language = typer.Typer(help="Judge how well languages are identified.", no_args_is_help=True, rich_markup_mode=None)
encoding = typer.Typer(help="Judge how well encodings are detected.", no_args_is_help=True, rich_markup_mode=None)
mojibake = typer.Typer(help="Judge how well wrongly decoded text is repaired.", no_args_is_help=True, rich_markup_mode=None)

Texts = Annotated[list[Path], typer.Argument(help="UTF-8 files, plain or .gz, a text a line.", metavar="FILE...")]


@language.callback()
@encoding.callback()
@mojibake.callback()
def _group() -> None:
    """Keep `evaluate` a command of its own: a lone one would be the group."""


@language.command("evaluate", epilog="Example: gristmill language evaluate pairs.tsv.gz --columns en,zh")
def evaluate_language(
    files: Annotated[list[Path], typer.Argument(help=".jsonl of {text, lang}, or tab-separated; plain or .gz.", metavar="FILE...")],
    columns: Annotated[
        str, typer.Option(help="Of tab-separated files: lang and text, or the language of each column; - is passed over.", metavar="NAMES")
    ] = "lang,text",
    as_json: AsJson = False,
) -> None:
    """Score identification on labelled texts: by language and length, with what each was taken for."""
    from pipelines.accuracy import language as scored
    from pipelines.accuracy.texts import labelled_texts

    found = scored.evaluate(labelled_texts(files, columns.split(",")))
    if as_json:
        print_json({lang: score.as_json() for lang, score in found.items()})
        return
    print(_row("characters", ["all", *scored.LENGTH_CLASSES]))
    for lang, score in found.items():
        counts = [(score.texts, score.right), *(score.by_length.get(name, (0, 0)) for name in scored.LENGTH_CLASSES)]
        print(_row(f"{lang} texts", [f"{texts:,}" if texts else "-" for texts, _ in counts]))
        print(_row(f"{lang} right", [_share(right, texts) for texts, right in counts]))
    _tell_confusions({lang: score.taken_for for lang, score in found.items()})


@encoding.command("evaluate", epilog="Example: gristmill encoding evaluate --lang zh reviews.txt")
def evaluate_encoding(
    files: Texts,
    lang: Annotated[str, typer.Option(help="Language of the texts; decides the encodings.", metavar="LANG")],
    encodings: Annotated[
        list[str] | None, typer.Option("--encoding", help="Python codec to write in, instead of the language's.", metavar="NAME")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Score detection on real text written in each encoding and cut to each length in bytes."""
    from pipelines.accuracy import encoding as scored
    from pipelines.accuracy.texts import texts_of

    found = scored.evaluate(texts_of(files), encodings or scored.encodings_of(lang))
    if as_json:
        print_json({name: asdict(score) for name, score in found.items()})
        return
    print(_row("bytes", [f"{length:,}" for length in scored.LENGTHS] + ["lines"]))
    for name, score in found.items():
        shares = [_share(right, samples) for samples, right in (score.by_length.get(length, (0, 0)) for length in scored.LENGTHS)]
        print(_row(name, [*shares, f"{score.lines:.1%}"]))
    _tell_confusions({name: score.taken_for for name, score in found.items()})


@mojibake.command("evaluate", epilog="Example: gristmill mojibake evaluate sentences.txt")
def evaluate_mojibake(files: Texts, as_json: AsJson = False) -> None:
    """Damage sound texts by decoding them wrongly, in each way that is common, and count what is repaired."""
    from pipelines.accuracy import mojibake as scored
    from pipelines.accuracy.texts import texts_of

    found = scored.evaluate(texts_of(files))
    if as_json:
        print_json(asdict(found))
        return
    print(_row("written, read", ["texts", "repaired", "left", "worse"], 26))
    for name, score in found.damages.items():
        shares = [_share(count, score.damaged) for count in (score.repaired, score.left, score.worse)]
        print(_row(name, [f"{score.damaged:,}", *shares], 26))
    print(f"sound texts: {found.left_alone:,} of {found.sound:,} left alone ({found.left_alone / found.sound:.3%})")


def _row(name: str, cells: Iterable[str], width: int = 12) -> str:
    return f"{name:<{width}}" + "".join(f"{cell:>9}" for cell in cells)


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "-"


def _tell_confusions(taken_for: dict[str, dict[str, int]]) -> None:
    for name, others in taken_for.items():
        if others:
            print(f"{name} was taken for " + ", ".join(f"{other} {count:,}" for other, count in list(others.items())[:8]))
