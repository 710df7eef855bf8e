"""The model: the *page* of the leaderboard is one HTML file with a table for each board, which sorts by the head that is pressed. It loads
nothing; its content security policy lets the one script run that has the digest of ours. Model *cards* are linked to where there are some.

Equal boards give equal bytes.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from markupsafe import Markup

from flows.leaderboard.boards import Board, Column
from flows.leaderboard.lines import about, figure
from flows.report.blocks import Foreign
from flows.report.page import own_text, policy, templates
from flows.report.probes import measure_name
from flows.report.tongues import ENGLISH, Say, filled, sayer
from flows.report.wording import as_sentence, words
from model.metrics.verdicts import told
from schemas.files import replace as replace_file
from schemas.results import Measure
from schemas.store import Store

_TEMPLATES = templates("flows.leaderboard")


WORDS = {
    "name": "Leaderboard",
    "skip": "Skip to the figures",
    "tasks": "Tasks",
    "model": "model",
    "baseline": "baseline",
    "alone": "This page holds all it shows: it loads nothing. Its one script sorts a table by the head that is pressed.",
}
"""What the template itself says."""
LEAD = (
    "Every evaluated model by task, best first, baselines among them. A figure stands with its standard error, and below it the "
    "interval that holds 95 % of a bootstrap over the items. Two models whose intervals overlap may still differ: {command} tests "
    "that, on the same items."
)


def render(boards: Sequence[Board], cards: Mapping[str, str], tongue: str = ENGLISH) -> str:
    """The page as HTML, in a tongue; `cards` leads from it to the card of each model that has one."""
    say = sayer(tongue)
    script = own_text("flows.report", "sort.js")
    return _TEMPLATES.get_template("page.html.j2").render(
        policy=policy(script),
        style=own_text("flows.report", "style.css") + own_text("flows.leaderboard", "style.css"),
        script=script,
        words={key: say(text) for key, text in WORDS.items()} | {"lang": tongue},
        lead=filled(say(LEAD), command=Markup("<code>gristmill compare</code>")),
        boards=[_shown(board, cards, say) for board in boards],
    )


def write_page(path: Path, boards: Sequence[Board], store: Store, tongue: str = ENGLISH) -> None:
    """Write the page, replacing what was there at once."""
    folder = store.root.parent / "cards"
    names = {row.model for board in boards for row in board.rows if row.model}
    found = {name: folder / f"{name}.html" for name in names if (folder / f"{name}.html").is_file()}
    cards = {name: quote(os.path.relpath(card.resolve(), path.parent.resolve())) for name, card in found.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, render(boards, cards, tongue).encode("utf-8"))


def _shown(board: Board, cards: Mapping[str, str], say: Say) -> dict[str, Any]:
    first = {"name": say(WORDS["model"]), "kind": "text", "best": "ascending", "sorted": False}
    heads = [_head(name, column, board) for name, column in zip(board.heads(partial(_words, say)), board.columns, strict=True)]
    rows = [
        {
            "name": row.name,
            "told": _words(say, row.name) if row.baseline else row.name,
            "baseline": row.baseline,
            "card": cards.get(row.model or ""),
            "cells": [_cell(column, row.measures.get(column), say) for column in board.columns],
        }
        for row in board.rows
    ]
    notes = [f"{row.name}: {_note(say, note)}" for row in board.rows for note in row.notes]
    asked = say(about(replace(board, kind=words(board.kind))))
    return {"task": board.task, "about": asked, "heads": [first, *heads], "rows": rows, "notes": notes}


def _words(say: Say, name: str) -> str:
    """A metric or a baseline, as words."""
    told = measure_name(name)
    return told if isinstance(told, Foreign) else say(told)


def _note(say: Say, note: str) -> str:
    """The table has sentences, and notes are without a stop."""
    sentence = as_sentence(note)
    return note if (told := say(sentence)) == sentence else told


def _head(name: str, column: Column, board: Board) -> dict[str, Any]:
    better = next(row.measures[column].better for row in board.rows if column in row.measures)
    best = "descending" if better == "higher" else "ascending"
    return {"name": name, "kind": "number", "best": best, "sorted": column == board.sorted_by}


def _cell(column: Column, measure: Measure | None, say: Say) -> dict[str, Any] | None:
    if measure is None:
        return None
    interval = say(f"{told(column[0], measure.interval[0])} to {told(column[0], measure.interval[1])}") if measure.interval else ""
    return {"value": measure.value, "told": figure(column[0], measure), "interval": interval}
