"""The model: a *row* is what a file has for one example, values by key, not yet judged; a *fault* stands where a row can't be parsed. Each
format is one module with ``read(content, data) -> Iterator[Row | Fault]``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Row:
    """The values of one example."""

    place: str
    """Where in the file, for people: `line 12`, `question Q7`."""
    values: Mapping[str, Any]
    group: str | None = None
    """Rows of one group are of one document: no two subsets share it."""


@dataclass(frozen=True)
class Fault:
    """A row that can't be parsed."""

    place: str
    reason: str
    detail: str


class Unusable(ValueError):
    """Why a row can be no example: a reason as rejects are counted by, and what it is about."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail = reason, detail


def as_text(content: bytes) -> str:
    """The text of a UTF-8 file; bytes that are none become lone surrogates, by which their rows are rejected."""
    return content.decode("utf-8", "surrogateescape").removeprefix("\ufeff")


def lines_of(content: bytes) -> Iterator[tuple[int, str]]:
    """Lines with their numbers, from 1. Only a line feed ends a line: texts may hold other marks that Python takes for one."""
    for number, line in enumerate(as_text(content).split("\n"), 1):
        yield number, line.removesuffix("\r")
