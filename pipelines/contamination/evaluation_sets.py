"""The model: an *evaluation set* is a file of *rows*; an *item* is one text in a row, under one of the set's fields. Its
*label* names it wherever it is found: ``cmrc TRIAL_800 paragraphs[0].context`` is set, id and place in the row.

A field is a path of keys; lists on the way are gone through. A row that lacks a field, or holds something else than text
there, is an error: an item that nobody looks for would be worse. Null and empty texts are no items.
"""

from __future__ import annotations

import csv
import gzip
import io
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import zstandard

from schemas.errors import RequestError
from schemas.fingerprint import digest_file
from schemas.recipe import Decontaminate, EvaluationSet

_LONGEST_ID = 60
"""Characters of an id that are shown: a label must stay readable."""

_INFLATION = 8
"""Bytes that Python takes for a byte of JSON, about: a JSON file is read as a whole."""

_CSV_FIELD = 1 << 24
"""Characters that one cell of a CSV file may have; Python's own limit is 131,072."""

Row = tuple[int, Any]
"""Its number from 1 (that of the line, in files of lines), and its value."""


class Item(NamedTuple):
    """One text of an evaluation set."""

    label: str
    text: str


def input_role(name: str) -> str:
    """What a set's file is called among the inputs of the step and among its roots; no source has such a name."""
    return f"evaluation {name}"


def file_digest(chosen: EvaluationSet, path: str) -> str:
    """Digest of a set's file. Raises `RequestError` naming the set and the file if it can't be read."""
    try:
        return digest_file(path)
    except OSError as error:
        raise RequestError(
            f"evaluation set {chosen.name!r}: {path}: {error.strerror}. "
            "Correct corpus.decontaminate.sets[].path in the recipe, or put the file there"
        ) from error


def read_items(chosen: EvaluationSet, path: Path, settings: Decontaminate) -> Iterator[Item]:
    """All items of a set, in order. Raises `RequestError` naming file, row and key of what can't be read."""
    paths = [(field, field.split(".")) for field in chosen.fields]
    found = 0
    with _opened(chosen, path) as file:
        for number, value in _rows(chosen, path, file, settings.memory):
            if isinstance(value, str):
                found += 1
                yield Item(f"{chosen.name} row {number}", value)
                continue
            where = f"{path}: row {number}"
            for field, keys in paths:
                for name, place, text in _texts(value, keys, chosen.id_field, None, "", where, field):
                    if text:
                        found += 1
                        named = f"row {number}" if name is None else name
                        yield Item(f"{chosen.name} {named} {place}", text)
    if not found:
        raise RequestError(f"{path}: holds no text at all; correct path, format or fields of evaluation set {chosen.name!r}")


def _texts(value: Any, keys: list[str], id_field: str, name: str | None, place: str, where: str, field: str) -> Iterator[tuple[Any, ...]]:
    """(id or None, place in the row, text) of all texts under a path of keys."""
    if isinstance(value, list):
        for number, element in enumerate(value):
            yield from _texts(element, keys, id_field, name, f"{place}[{number}]", where, field)
    elif keys and isinstance(value, dict):
        own = value.get(id_field)
        if isinstance(own, (str, int)) and not isinstance(own, bool):
            name = str(own)[:_LONGEST_ID]
        inner = f"{place}.{keys[0]}".lstrip(".")
        if keys[0] not in value:
            raise RequestError(f"{where}: has no key {inner!r}; there is {_some(value)}. {_correct(field)}")
        yield from _texts(value[keys[0]], keys[1:], id_field, name, inner, where, field)
    elif value is None or (isinstance(value, str) and not keys):
        yield name, place, value
    else:
        wanted = "an object" if keys else "text"
        raise RequestError(f"{where}: key {place or field!r} holds {_kind(value)}, not {wanted}. {_correct(field)}")


def _correct(field: str) -> str:
    return f"Correct corpus.decontaminate.sets[].fields ({field!r}) or the file"


def _rows(chosen: EvaluationSet, path: Path, file: io.BufferedReader, memory: int) -> Iterator[Row]:
    readers: Mapping[str, Callable[[], Iterator[Row]]] = {
        "txt": lambda: _text_lines(path, file),
        "jsonl": lambda: _json_lines(path, file),
        "csv": lambda: _csv_rows(path, file, chosen),
        "json": lambda: _json_rows(path, file, memory),
    }
    return readers[chosen.format]()


def _text_lines(path: Path, file: io.BufferedReader) -> Iterator[Row]:
    for number, line in enumerate(file, 1):
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8").strip()
        except UnicodeDecodeError as error:
            raise RequestError(f"{path}: row {number}: is not UTF-8 (at byte {error.start}). Write the file in UTF-8") from error
        if text:
            yield number, text


def _json_lines(path: Path, file: io.BufferedReader) -> Iterator[Row]:
    for number, line in enumerate(file, 1):
        if not line.strip():
            continue
        try:
            value = orjson.loads(line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line)
        except orjson.JSONDecodeError as error:
            raise RequestError(f"{path}: row {number}: not valid JSON: {error.msg} at column {error.colno}. Correct the line") from error
        yield number, _an_object(path, number, value)


def _json_rows(path: Path, file: io.BufferedReader, memory: int) -> Iterator[Row]:
    content = file.read(memory // _INFLATION + 1)
    if len(content) > memory // _INFLATION:
        raise RequestError(
            f"{path}: more than {memory // _INFLATION:,} bytes of JSON, which is read as a whole. "
            "Write it as JSON lines (format: jsonl), or raise corpus.decontaminate.memory"
        )
    try:
        value = orjson.loads(content.removeprefix(b"\xef\xbb\xbf"))
    except orjson.JSONDecodeError as error:
        raise RequestError(f"{path}: line {error.lineno}: not valid JSON: {error.msg} at column {error.colno}") from error
    rows = value.get("data") if isinstance(value, dict) else value
    if not isinstance(rows, list):
        raise RequestError(f"{path}: is {_kind(value)}; want a list of objects, or an object with such a list under 'data'")
    for number, row in enumerate(rows, 1):
        yield number, _an_object(path, number, row)


def _csv_rows(path: Path, file: io.BufferedReader, chosen: EvaluationSet) -> Iterator[Row]:
    csv.field_size_limit(_CSV_FIELD)
    try:
        reader = csv.DictReader(io.TextIOWrapper(file, "utf-8-sig", newline=""), strict=True)
        if twins := [name for name, times in Counter(reader.fieldnames or ()).items() if times > 1]:
            raise RequestError(f"{path}: row 1: two columns have one name, {twins[0]!r}: rename one of them")
        for row in reader:
            if None in row or None in row.values():
                raise RequestError(f"{path}: row {reader.line_num}: has other columns than the header ({_some(reader.fieldnames)})")
            yield reader.line_num, row
    except csv.Error as error:
        raise RequestError(f"{path}: row {reader.reader.line_num}: not valid CSV: {error}. Correct the line") from error
    except UnicodeDecodeError as error:
        raise RequestError(f"{path}: row {reader.line_num + 1} or later: is not UTF-8 ({error.reason}). Write the file in UTF-8") from error


def _an_object(path: Path, number: int, value: Any) -> Any:
    if isinstance(value, dict):
        return value
    raise RequestError(f"{path}: row {number}: is {_kind(value)}, not an object with keys. Correct the file")


@contextmanager
def _opened(chosen: EvaluationSet, path: Path) -> Iterator[Any]:
    """The decompressed bytes of a file."""
    try:
        with open(path, "rb") as stored:
            if path.suffix == ".gz":
                with gzip.open(stored) as file:
                    yield file
            elif path.suffix == ".zst":
                with zstandard.ZstdDecompressor().stream_reader(stored, read_across_frames=True) as stream:
                    yield io.BufferedReader(stream)
            else:
                yield stored
    except (OSError, EOFError, zstandard.ZstdError) as error:
        raise RequestError(f"evaluation set {chosen.name!r}: {path}: cannot be read: {error}") from error


def _some(names: Any) -> str:
    listed = [repr(name) for name in names or ()]
    return ", ".join(listed[:8]) + (", ..." if len(listed) > 8 else "") or "none"


def _kind(value: Any) -> str:
    kinds = {dict: "an object", list: "a list", str: "a string", bool: "true or false", type(None): "null"}
    return kinds.get(type(value), "a number")
