"""The model: CSV has fields in quotes where they need them (RFC 4180); in TSV a quote is a character as any other, since parallel corpora
are full of lone ones. A row's keys are the names of the first row, or numbers from 0.

A quote that nobody closes costs the line where it stands: reading goes on with the next one.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from itertools import islice

from model.examples.rows import Fault, Row, lines_of
from schemas.errors import RequestError
from schemas.recipe.task import TaskData


def read_csv(content: bytes, data: TaskData) -> Iterator[Row | Fault]:
    yield from _read(_quoted(content), data)


def read_tsv(content: bytes, data: TaskData) -> Iterator[Row | Fault]:
    yield from _read(((number, line.split("\t")) for number, line in lines_of(content) if line), data)


def _read(rows: Iterator[tuple[int, list[str] | csv.Error]], data: TaskData) -> Iterator[Row | Fault]:
    names: list[str] | None = None
    for number, cells in rows:
        if isinstance(cells, csv.Error):
            yield Fault(f"line {number}", "invalid_csv", str(cells))
            continue
        if names is None:
            names = cells if data.header else [str(column) for column in range(len(cells))]
            if data.header:
                _refuse_twins(number, names)
                continue
        if len(cells) != len(names):
            told = "the header" if data.header else "the first row"
            yield Fault(f"line {number}", "wrong_columns", f"has {len(cells)} columns, and {told} has {len(names)}")
        else:
            yield Row(f"line {number}", dict(zip(names, cells, strict=True)))


def _refuse_twins(number: int, names: list[str]) -> None:
    """Raises `RequestError` if two columns have one name: a row could keep the last one's value alone."""
    if twin := next((name for at, name in enumerate(names) if name in names[:at]), None):
        raise RequestError(f"line {number}: two columns have one name, {twin!r}: rename one of them, or set data.header: false")


def _quoted(content: bytes) -> Iterator[tuple[int, list[str] | csv.Error]]:
    """Rows of CSV with the line that they begin at; blank lines are none."""
    lines = [line + "\n" for _, line in lines_of(content)]
    first = 0
    while first < len(lines):
        reader, at = csv.reader(islice(lines, first, None), strict=True), first
        try:
            for cells in reader:
                if cells:
                    yield at + 1, cells
                at = first + reader.line_num
            return
        except csv.Error as error:
            yield at + 1, error
            first = at + 1
