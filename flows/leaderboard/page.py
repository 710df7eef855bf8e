"""The model: the *page* of the leaderboard is one HTML file with a table for each board, which sorts by the head that is pressed. It loads
nothing; its content security policy lets the one script run that has the digest of ours. Model *cards* are linked to where there are some.

Equal boards give equal bytes.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from flows.leaderboard.boards import Board, Column
from flows.leaderboard.lines import about, figure
from flows.report.page import POLICY, own_text, templates
from model.metrics.verdicts import told
from schemas.files import replace
from schemas.results import Measure
from schemas.store import Store

_TEMPLATES = templates("flows.leaderboard")


def render(boards: Sequence[Board], cards: Mapping[str, str]) -> str:
    """The page as HTML; `cards` leads from it to the card of each model that has one."""
    script = own_text("flows.leaderboard", "sort.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return _TEMPLATES.get_template("page.html.j2").render(
        policy=f"{POLICY}; script-src 'sha256-{digest}'",
        style=own_text("flows.report", "style.css") + own_text("flows.leaderboard", "style.css"),
        script=script,
        boards=[_shown(board, cards) for board in boards],
    )


def write_page(path: Path, boards: Sequence[Board], store: Store) -> None:
    """Write the page, replacing what was there at once."""
    folder = store.root.parent / "cards"
    names = {row.model for board in boards for row in board.rows if row.model}
    found = {name: folder / f"{name}.html" for name in names if (folder / f"{name}.html").is_file()}
    cards = {name: quote(os.path.relpath(card.resolve(), path.parent.resolve())) for name, card in found.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    replace(path, render(boards, cards).encode("utf-8"))


def _shown(board: Board, cards: Mapping[str, str]) -> dict[str, Any]:
    first = {"name": "model", "kind": "text", "best": "ascending", "sorted": False}
    heads = [_head(name, column, board) for name, column in zip(board.heads(), board.columns, strict=True)]
    rows = [
        {
            "name": row.name,
            "baseline": row.baseline,
            "card": cards.get(row.model or ""),
            "cells": [_cell(column, row.measures.get(column)) for column in board.columns],
        }
        for row in board.rows
    ]
    notes = [f"{row.name}: {note}" for row in board.rows for note in row.notes]
    return {"task": board.task, "about": about(board), "heads": [first, *heads], "rows": rows, "notes": notes}


def _head(name: str, column: Column, board: Board) -> dict[str, Any]:
    better = next(row.measures[column].better for row in board.rows if column in row.measures)
    best = "descending" if better == "higher" else "ascending"
    return {"name": name, "kind": "number", "best": best, "sorted": column == board.sorted_by}


def _cell(column: Column, measure: Measure | None) -> dict[str, Any] | None:
    if measure is None:
        return None
    interval = f"{told(column[0], measure.interval[0])} to {told(column[0], measure.interval[1])}" if measure.interval else ""
    return {"value": measure.value, "told": figure(column[0], measure), "interval": interval}
