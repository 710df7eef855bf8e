"""The model: a card in *Markdown* is what Hugging Face calls a model card: front matter in YAML, which a dumper writes, then sections.
Charts are left to the page, as their figures stand in tables. Text from outside is escaped, character by character, and code is fenced
by more backticks than it holds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

import yaml
from markupsafe import Markup

from flows.card.gather import CardFacts
from flows.card.loading import WRITTEN_HERE, auto_class
from flows.card.sections import sections
from flows.report.blocks import Block, Code, Excerpt, Grid, Heading, Note, Table
from flows.report.facts import Evaluation
from flows.report.tongues import ENGLISH, sayer, translated
from flows.report.wording import CODE, plain
from schemas.languages import is_language
from schemas.results import MODEL

_SPECIAL = re.compile(r"([\\`*_\[\]<>&|~$#@]|://|(?<=www)\.|^[-+=]|^\d+[.)](?=\s|$))")
"""What Markdown, or GitHub's, would make something of; the last ones at the beginning of a line."""


WRITTEN = "Written by Gristmill from the model's artifacts alone: what is not said here is not known there."


def render_markdown(facts: CardFacts, tongue: str = ENGLISH) -> str:
    """The card as Markdown. Equal facts give equal text."""
    head = yaml.safe_dump(front_matter(facts), sort_keys=False, allow_unicode=True, width=float("inf"))
    lines = [f"# {escaped(facts.name)}"]
    say = sayer(tongue)
    for section in translated(sections(facts), say):
        lines += [f"## {escaped(section.title)}", *([escaped(section.lead)] if section.lead else []), *_blocks(section.blocks)]
    lines.append(say(WRITTEN))
    return f"---\n{head}---\n\n" + "\n\n".join(lines) + "\n"


def one_line(text: str) -> str:
    return " ".join(plain(text).split())


def escaped(text: str) -> str:
    """Foreign text on one line, that stays text.

    >>> escaped("<b>1. *x*|y\\n- z</b>")
    '\\\\<b\\\\>1. \\\\*x\\\\*\\\\|y - z\\\\</b\\\\>'
    """
    return _SPECIAL.sub(lambda found: f"\\{found[0]}" if not found[0][0].isdigit() else f"{found[0][:-1]}\\{found[0][-1]}", one_line(text))


def _blocks(blocks: Sequence[Block]) -> Iterator[str]:
    """Notes that follow each other are a list."""
    for notes, together in groupby(blocks, lambda block: isinstance(block, Note)):
        group = list(together)
        if notes and len(group) > 1:
            yield "\n".join(f"- {escaped(block.text)}" for block in group if isinstance(block, Note))
        else:
            for block in group:
                yield from _block(block)


def _block(block: Block) -> Iterator[str]:
    """What is drawn, or opens on demand, is left to the page."""
    if isinstance(block, Table):
        yield f"**{escaped(block.caption)}**"
        yield _table(block)
        if block.note:
            yield escaped(block.note)
    elif isinstance(block, Grid):
        yield from _blocks(block.blocks)
    elif isinstance(block, Note):
        yield escaped(block.text)
    elif isinstance(block, Heading):
        yield f"### {escaped(block.text)}"
    elif isinstance(block, Code):
        yield fenced(block.text)
    elif isinstance(block, Excerpt) and block.text is not None:
        yield fenced(block.lead + block.text)


def fenced(text: str) -> str:
    """A block of code that nothing in the text ends."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}\n{plain(text)}\n{fence}"


def _table(table: Table) -> str:
    """Columns of drawings are left out."""
    drawn = {n for row in table.rows for n, cell in enumerate(row.cells, 1) if isinstance(cell, Markup)}
    kept = [n for n in range(len(table.heads)) if n not in drawn]
    heads = [escaped(table.heads[n][0]) for n in kept]
    rules = ["---" if n == 0 or table.heads[n][1] else "---:" for n in kept]
    rows = []
    for row in table.rows:
        cells = [row.name, *map(str, row.cells), *[""] * (len(table.heads) - 1 - len(row.cells))]
        rows.append([escaped(cells[n]) for n in kept])
    return "\n".join("| " + " | ".join(line) + " |" for line in [heads, rules, *rows])


def front_matter(facts: CardFacts) -> dict[str, Any]:
    """What Hugging Face's pages and tools read. No licence is made up: the hub's word for one that is not told is `unknown`."""
    languages = sorted({lang for lang in _languages(facts) if lang != CODE and is_language(lang)})
    pipeline = auto_class(facts)[1]
    found: dict[str, Any] = {"language": languages} if languages else {}
    found["license"] = "unknown"
    if facts.model_type == WRITTEN_HERE:
        found["library_name"] = "gristmill"
    else:
        found |= {"library_name": "transformers", **({"pipeline_tag": pipeline} if pipeline else {})}
    found["tags"] = ["gristmill", one_line(facts.model_type), *(["code"] if CODE in _languages(facts) else [])]
    results = [*_results(facts), *(_before(facts.run.evaluation) if facts.run.evaluation else ())]
    if results:
        found["metrics"] = sorted({metric["type"] for result in results for metric in result["metrics"]})
        found["model-index"] = [{"name": one_line(facts.name), "results": results}]
    return found


def _languages(facts: CardFacts) -> set[str]:
    return {count.lang for count in facts.run.tokens if count.subset == "train"}


def _results(facts: CardFacts) -> Iterator[dict[str, Any]]:
    pipeline = auto_class(facts)[1]
    for one in (*facts.found, *facts.probes):
        result = one.result
        name, kind = one_line(result.task), pipeline or one_line(result.kind)
        metrics = [
            {"type": one_line(metric), "value": round(measure.value, 6), "name": one_line(f"{metric} ({measure.signature})")}
            for metric, measure in result.systems[MODEL].items()
        ]
        yield _result(kind, one_line(result.kind), name, metrics, f"version {result.version}, data {result.data[:12]}, {result.n} items")


def _before(evaluation: Evaluation) -> Iterator[dict[str, Any]]:
    for group in evaluation.groups:
        metrics = [{"type": "bits_per_byte", "value": round(group.ours.bits_per_byte, 6), "name": "bits per byte"}]
        yield _result("text-generation", "language modelling", one_line(f"{group.by} {group.name}"), metrics, f"{evaluation.subset} subset")
    if evaluation.classification:
        ours = evaluation.classification.classifiers[0]
        metrics = [
            {"type": "accuracy", "value": round(ours.accuracy, 6), "name": "accuracy"},
            {"type": "f1", "value": round(ours.macro_f1, 6), "name": "macro F1"},
        ]
        yield _result("text-classification", "classification", "labelled documents", metrics, f"{evaluation.subset} subset")


def _result(kind: str, task: str, data: str, metrics: Sequence[Mapping[str, Any]], told: str) -> dict[str, Any]:
    return {
        "task": {"type": kind, "name": task},
        "dataset": {"type": "local", "name": f"{data} ({told})"},
        "metrics": [dict(metric) for metric in metrics],
    }
