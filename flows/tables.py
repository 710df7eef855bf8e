"""The model: a *table* for a terminal is rows of text under heads, each column as wide as its widest cell; text reads from the
left, numbers stand at the right."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Sequence


def aligned(heads: Sequence[str], rows: Sequence[Sequence[str]], left: Collection[int]) -> list[str]:
    """Lines; the columns in `left` are flush left.

    >>> aligned(("task", "n"), [("汉字", "1,000"), ("ner", "7")], left={0})
    ['task      n', '汉字  1,000', 'ner       7']
    """
    every = [heads, *rows]
    widths = [max(_width(row[column]) for row in every) for column in range(len(heads))]
    lines = ([_padded(cell, widths[column], column in left) for column, cell in enumerate(row)] for row in every)
    return ["  ".join(line).rstrip() for line in lines]


def _padded(text: str, width: int, flush_left: bool) -> str:
    spaces = " " * (width - _width(text))
    return text + spaces if flush_left else spaces + text


def _width(text: str) -> int:
    """Columns of a terminal: Chinese characters take two."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)
