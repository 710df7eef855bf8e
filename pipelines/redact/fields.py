"""The model: the *fields* of a record beside its text ride along as a JSON object (`extra`). Its strings are texts like any
other: keys and values at every depth are redacted, and so are numbers that are a value when they are written out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.redact.redactor import redact


def redact_json(objects: pa.StringArray, placeholders: Mapping[str, str]) -> pa.StringArray:
    """JSON objects without the values of the kinds that have a placeholder; nulls stay null.

    An object with nothing to redact keeps its bytes. Of keys that become equal the last one's value stays.
    """
    rows = [row for row, value in enumerate(objects.is_valid().to_pylist()) if value]
    parsed = [orjson.loads(objects[row].as_py()) for row in rows]
    strings: list[str] = []
    for value in parsed:
        _collect(value, strings)
    clean = redact(pa.array(strings, pa.string()), placeholders)
    if not any(counts.any() for counts in clean.counts.values()):
        return objects
    replacements = dict(zip(strings, clean.texts.to_pylist(), strict=True))
    mask, changed = [False] * len(objects), []
    for row, value in zip(rows, parsed, strict=True):
        redacted = _replace(value, replacements)
        if redacted != value:
            mask[row] = True
            changed.append(orjson.dumps(redacted).decode())
    return pc.replace_with_mask(objects, pa.array(mask), pa.array(changed, pa.string()))


def _collect(value: Any, strings: list[str]) -> None:
    if isinstance(value, dict):
        for key, inner in value.items():
            strings.append(key)
            _collect(inner, strings)
    elif isinstance(value, list):
        for inner in value:
            _collect(inner, strings)
    elif isinstance(value, str):
        strings.append(value)
    elif _is_number(value):
        strings.append(str(value))


def _replace(value: Any, replacements: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {replacements[key]: _replace(inner, replacements) for key, inner in value.items()}
    if isinstance(value, list):
        return [_replace(inner, replacements) for inner in value]
    if isinstance(value, str):
        return replacements[value]
    if _is_number(value) and (written := replacements[str(value)]) != str(value):
        return written
    return value


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
