"""The model: `gristmill examples` looks at a task's labelled data as fine-tuning and evaluation will read it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.commands.options import AsJson, print_json
from flows.rejects import visible

if TYPE_CHECKING:
    from model.examples import Example, Report, Subsets

app = typer.Typer(rich_markup_mode=None)

_SHOWN = 3
"""Rejects of a reason, leaks, and longest inputs, that are shown."""
_LABELS = 20
_WIDTH = 100
"""Characters of a text that are shown."""


@app.command(epilog="Example: gristmill examples sentiment.yaml")
def examples(
    file: Annotated[Path, typer.Argument(help="File of a task (YAML).", metavar="TASKFILE")],
    as_json: AsJson = False,
) -> None:
    """Check labelled data: what is in each subset, what was rejected and why, copies, leaks, and the longest inputs."""
    from model.examples import read_task
    from schemas.recipe_file import load_task

    task = load_task(file)
    subsets = read_task(task)
    if as_json:
        about = {name: _about(found) for name, found in subsets.by_name.items()}
        print_json({"task": task.name, "kind": task.kind, "subsets": about, **subsets.report.as_json()})
        return
    for line in _lines(subsets):
        print(line)


def _about(found: Sequence[Example]) -> dict[str, Any]:
    from model.examples import data_digest

    longest = [{"id": example.id, "characters": _length(example)} for example in _longest(found)]
    return {"examples": len(found), "labels": dict(_labels(found)), "digest": data_digest(found), "longest": longest}


def _lines(subsets: Subsets) -> Iterator[str]:
    for name, found in subsets.by_name.items():
        yield f"{name:<12} {len(found):>9,} examples" + (f", longest {_length(_longest(found)[0]):,} characters" if found else "")
    yield from _label_lines(subsets)
    yield from _account_lines(subsets.report)
    yield from _reject_lines(subsets.report)
    yield from _leak_lines(subsets.report)
    yield from ("", *(f"note: {visible(note)}" for note in subsets.report.notes)) if subsets.report.notes else ()
    yield from ("", "longest inputs, in characters")
    for name, found in subsets.by_name.items():
        yield from (f"  {_length(example):>9,}  {name} {visible(example.id)}" for example in _longest(found))


def _label_lines(subsets: Subsets) -> Iterator[str]:
    counts = {name: Counter(dict(_labels(found))) for name, found in subsets.by_name.items()}
    total = sum(counts.values(), Counter[str]())
    if not total:
        return
    width = max(len("label"), *(len(visible(label)) for label in total))
    yield from ("", f"{'label':<{width}} " + "".join(f"{name:>12}" for name in counts))
    for label, _ in total.most_common(_LABELS):
        yield f"{visible(label):<{width}} " + "".join(f"{of[label]:>12,}" for of in counts.values())
    if len(total) > _LABELS:
        yield f"and {len(total) - _LABELS:,} more labels"


def _account_lines(report: Report) -> Iterator[str]:
    yield ""
    for name, account in report.files.items():
        kept = sum(account.kept.values())
        rejected = "".join(f" + {count:,} {reason}" for reason, count in account.rejected.items())
        yield f"{visible(name)}: {account.read:,} rows read = {kept:,} kept{rejected}"
        yield from (f"  mended: {count:,} {what}" for what, count in account.mended.items())


def _reject_lines(report: Report) -> Iterator[str]:
    for reason, count in report.rejected.items():
        yield from ("", f"{reason}: {count:,}")
        of_reason = (reject for reject in report.rejects if reject.reason == reason)
        for reject, _ in zip(of_reason, range(_SHOWN), strict=False):
            yield f"  {visible(reject.file)}, {visible(reject.place)}: {visible(reject.detail)}"


def _leak_lines(report: Report) -> Iterator[str]:
    """Both texts of the near ones that are least alike: there it shows whether they are leaks at all."""
    near = sorted((leak for leak in report.leaks if leak.text != leak.of_text), key=lambda leak: leak.similarity)
    if near:
        yield from ("", "near leaks, the least alike first")
    for leak in near[:_SHOWN]:
        yield f"  {leak.similarity:.2f}  {leak.subset} {visible(leak.id)}: {visible(leak.text[:_WIDTH])}"
        yield f"        {leak.of_subset} {visible(leak.of_id)}: {visible(leak.of_text[:_WIDTH])}"


def _labels(found: Sequence[Example]) -> list[tuple[str, int]]:
    from model.examples import labels_of

    return Counter(label for example in found for label in labels_of(example)).most_common()


def _longest(found: Sequence[Example]) -> list[Example]:
    return sorted(found, key=_length, reverse=True)[:_SHOWN]


def _length(example: Example) -> int:
    from model.examples import input_of

    return sum(map(len, input_of(example)))
