"""The model: one JSON object a line (jsonlines.org). One key holds the text; the others are *extra*, as canonical JSON.

A record owns its line. What it hands on as raw bytes is the text alone, in UTF-8.
"""

from __future__ import annotations

from collections.abc import Iterator

import orjson

from pipelines.clean.decode import Undecodable, decode
from pipelines.sources.lines import read_lines
from pipelines.sources.records import Record
from pipelines.sources.streams import Stream
from pipelines.sources.txt import is_blank
from schemas.recipe import Source

_JSON_TYPES = {
    dict: "an object",
    list: "an array",
    str: "a string",
    int: "a number",
    float: "a number",
    bool: "true or false",
    type(None): "null",
}


def read(file: Stream, source: Source, limit: int) -> Iterator[Record]:
    """One record a line; a line without a text has a fault: `undecodable`, `invalid_json` or `missing_text`."""
    wanted, narrow = source.extra_fields, len(file.newline) == 1
    for line in read_lines(file, limit):
        if line.fault:
            yield line
        elif line.raw.strip() if narrow else not is_blank(line.raw, file):
            yield _parsed(line, file.encoding, source.text_field, wanted)


def _parsed(line: Record, encoding: str, text_field: str, wanted: tuple[str, ...] | None) -> Record:
    try:
        value = orjson.loads(line.raw if encoding == "utf-8" else decode(line.raw, encoding))
    except orjson.JSONDecodeError as error:
        try:
            decode(line.raw, encoding)
        except Undecodable as undecodable:
            return line._replace(fault=("undecodable", undecodable.detail))
        return line._replace(fault=("invalid_json", f"{error.msg} at column {error.colno}"))
    except Undecodable as error:
        return line._replace(fault=("undecodable", error.detail))
    if not isinstance(value, dict):
        return line._replace(fault=("invalid_json", f"{_JSON_TYPES[type(value)]}, not an object"))
    text = value.pop(text_field, None)
    if wanted is not None:
        value = {key: value[key] for key in wanted if key in value}
    try:
        extra = orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode() if value else None
    except TypeError as error:  # nested deeper than it writes; it reads deeper
        return line._replace(fault=("invalid_json", str(error)))
    if not isinstance(text, str):
        what = "is missing or null" if text is None else f"is {_JSON_TYPES[type(text)]}, not a string"
        return line._replace(extra=extra, fault=("missing_text", f"{text_field!r} {what}"))
    return Record(line.offset, line.size, line.digest, text.encode(), extra)  # a third of the time of `_replace`
