"""The model: a JSON file of examples has an object a line, or is one list of objects."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from model.examples.rows import Fault, Row, as_text, lines_of
from schemas.errors import RequestError
from schemas.recipe.task import TaskData


def read(content: bytes, data: TaskData) -> Iterator[Row | Fault]:
    """The objects; blank lines are none. Raises `RequestError` if a list is no JSON: nothing tells where its items begin."""
    text = as_text(content)
    if text.lstrip().startswith("["):
        try:
            items = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise RequestError(f"is a list that is not valid JSON: {error}") from error
        for number, item in enumerate(items, 1):
            yield _row(f"item {number}", item)
        return
    for number, line in lines_of(content):
        if line.strip():
            try:
                yield _row(f"line {number}", json.loads(line))
            except (ValueError, RecursionError) as error:
                yield Fault(f"line {number}", "invalid_json", str(error))


def _row(place: str, value: Any) -> Row | Fault:
    if isinstance(value, dict):
        return Row(place, value)
    return Fault(place, "not_an_object", f"is a {type(value).__name__}, where an object with the fields of an example belongs")
