"""The model: a board's *lines* in a terminal: what is asked, on what, then a table; baselines are marked, and notes stand below."""

from __future__ import annotations

from flows.leaderboard.boards import Board, Column, Row
from flows.rejects import visible
from flows.tables import aligned
from model.metrics.verdicts import told
from schemas.results import Measure


def lines_of(board: Board) -> list[str]:
    heads = ("", *map(visible, board.heads()), "evaluation")
    rows = [(_name(row), *(cell(row, column) for column in board.columns), row.evaluation or "") for row in board.rows]
    notes = [f"  {visible(row.name)}: {visible(note)}" for row in board.rows for note in row.notes]
    return [visible(f"{board.task}: {about(board)}"), *aligned(heads, rows, left={0, len(heads) - 1}), *notes]


def about(board: Board) -> str:
    """What was asked, and on what."""
    shots = f", {board.shots} shots" if board.shots else ""
    return f"{board.kind}, version {board.version}{shots}, {board.n:,} items, data {board.data[:8]}"


def _name(row: Row) -> str:
    return f"  {visible(row.name)}{' (baseline)' if row.baseline else ''}"


def cell(row: Row, column: Column) -> str:
    """A figure with its standard error."""
    measure = row.measures.get(column)
    return "" if measure is None else figure(column[0], measure)


def figure(metric: str, measure: Measure) -> str:
    error = measure.standard_error
    return told(metric, measure.value) + ("" if error is None else f" ± {told(metric, error)}")
