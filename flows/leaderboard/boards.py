"""The model: a *board* is a task on some data; its *rows* are the models that were judged there, and their *baselines*, best first. Only
what compares stands on one board: equal version, data and shots. A column is a metric under one signature.

A baseline that several models were evaluated beside, with equal figures, is one row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from flows.evaluated import Evaluated, evaluated
from schemas.errors import RequestError
from schemas.results import MODEL, Measure
from schemas.store import Store

Column = tuple[str, str]
"""A metric's name and signature."""


@dataclass(frozen=True)
class Row:
    """A system's figures."""

    name: str
    """With the version, where the board has several of that name."""
    model: str | None
    """The name of the artifact; null for a baseline."""
    measures: Mapping[Column, Measure]
    evaluation: str | None
    """Reference of the artifact; null for a baseline."""
    notes: tuple[str, ...] = ()

    @property
    def baseline(self) -> bool:
        return self.model is None


@dataclass(frozen=True)
class Board:
    """A task's table."""

    task: str
    kind: str
    version: int
    shots: int
    data: str
    n: int
    columns: tuple[Column, ...]
    sorted_by: Column
    rows: tuple[Row, ...]

    def heads(self, say: Callable[[str], str] = str) -> list[str]:
        """The columns' names, with the signature where a name alone would say too little."""
        names = [name for name, _ in self.columns]
        return [say(name) if names.count(name) == 1 else f"{say(name)} ({signature})" for name, signature in self.columns]

    def as_json(self) -> dict[str, Any]:
        head = {key: getattr(self, key) for key in ("task", "kind", "version", "shots", "data", "n")}
        rows = [
            {
                **{key: getattr(row, key) for key in ("name", "baseline", "evaluation")},
                "notes": list(row.notes),
                "measures": {name: asdict(measure) for (name, _), measure in row.measures.items()},
            }
            for row in self.rows
        ]
        return {**head, "sorted_by": self.sorted_by[0], "rows": rows}


def boards(store: Store, task: str | None = None, sort: str | None = None) -> list[Board]:
    """Boards by task, sorted by the metric asked for where they have it, else by the one that decides.

    Raises `RequestError` if nothing was evaluated, or no task or metric has that name; `Damaged` naming a file.
    """
    every = evaluated(store)
    found = [one for one in every if task in (None, one.result.task)]
    if not found:
        there = ", ".join(sorted({one.result.task for one in every}))
        raise RequestError(
            f"no model was evaluated on task {task!r}; there is {there}" if every else f"no model in {store.root} was evaluated on a task"
        )
    metrics = sorted({metric for one in found for measures in one.result.systems.values() for metric in measures})
    if sort is not None and sort not in metrics:
        raise RequestError(f"--sort: nothing was judged by {sort!r}; there is {', '.join(metrics)}")
    groups: dict[tuple[str, int, int, str], list[Evaluated]] = {}
    for one in found:
        result = one.result
        groups.setdefault((result.task, result.version, result.shots, result.data), []).append(one)
    return [_board(group, sort) for _, group in sorted(groups.items())]


def _board(group: list[Evaluated], sort: str | None) -> Board:
    first = group[0].result
    names = [one.model for one in group]
    rows = [row for one in group for row in _rows(one, several=names.count(one.model) > 1)]
    unique = [row for n, row in enumerate(rows) if not (row.baseline and row in rows[:n])]
    columns = tuple(dict.fromkeys(column for row in rows for column in row.measures))
    by = next((column for column in columns if column[0] == sort), None) or next(c for c in columns if c[0] == first.headline)
    decided = sorted(columns, key=lambda column: column != by)
    return Board(
        first.task, first.kind, first.version, first.shots, first.data, first.n, tuple(decided), by, tuple(_best_first(unique, by))
    )


def _rows(one: Evaluated, several: bool) -> Iterable[Row]:
    for system, measures in one.result.systems.items():
        figures = {(metric, measure.signature): measure for metric, measure in measures.items()}
        if system == MODEL:
            name = f"{one.model}@{one.version}" if several and one.version else one.model
            yield Row(name, one.model, figures, one.evaluation.reference, one.result.notes)
        else:
            yield Row(system, None, figures, None)


def _best_first(rows: list[Row], by: Column) -> list[Row]:
    """Rows that lack the figure come last."""

    def key(row: Row) -> tuple[bool, float, str]:
        measure = row.measures.get(by)
        if measure is None:
            return True, 0.0, row.name
        return False, -measure.value if measure.better == "higher" else measure.value, row.name

    return sorted(rows, key=key)
