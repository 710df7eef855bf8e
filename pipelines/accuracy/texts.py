"""The model: a *text* is a line of a UTF-8 file, plain or .gz; blank ones are none. A *labelled* text comes with its language: as
a field of a JSON object (`text`, `lang`), or by the *columns* of a tab-separated line, each of which is named `lang`, `text`, or by
the language that its texts are in; `-` is passed over.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Sequence
from pathlib import Path

import orjson

from schemas.errors import RequestError
from schemas.languages import is_language

PASSED_OVER = "-"


def texts_of(paths: Sequence[Path]) -> list[str]:
    """The texts of all files. Raises `RequestError` naming file and line for what is not UTF-8, and for files without a text."""
    found = [line for path in paths for _, line in _lines(path)]
    if not found:
        raise RequestError(f"{', '.join(map(str, paths))}: there is no text in it; want a text a line")
    return found


def labelled_texts(paths: Sequence[Path], columns: Sequence[str]) -> list[tuple[str, str]]:
    """(Language, text) of all files: JSON lines where the name says so, else lines of tab-separated columns."""
    found = []
    for path in paths:
        of_json = ".jsonl" in path.suffixes
        for number, line in _lines(path):
            try:
                of_line = [_of_json(line)] if of_json else _of_columns(line, columns)
                found += [(is_language(lang), text) for lang, text in of_line]
            except (ValueError, KeyError, TypeError) as error:
                wanted = (
                    "a JSON object with text and lang" if of_json else f"the columns {', '.join(columns)} with tabs between (--columns)"
                )
                raise RequestError(f"{path}, line {number}: {error}; want {wanted}") from error
    if not found:
        raise RequestError(f"{', '.join(map(str, paths))}: there is no labelled text in it")
    return found


def _of_json(line: str) -> tuple[str, str]:
    record = orjson.loads(line)
    return str(record["lang"]), str(record["text"])


def _of_columns(line: str, columns: Sequence[str]) -> list[tuple[str, str]]:
    fields = line.split("\t")
    if len(fields) != len(columns):
        raise ValueError(f"it has {len(fields)} fields")
    named = dict(zip(columns, fields, strict=True))
    if "text" in named:
        return [(named["lang"], named["text"])]
    return [(lang, text) for lang, text in named.items() if lang != PASSED_OVER and text.strip()]


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    try:
        with gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as file:
            for number, line in enumerate(file, 1):
                try:
                    text = line.decode().strip("\r\n")
                except UnicodeDecodeError as error:
                    raise RequestError(f"{path}, line {number}: not UTF-8: {error}") from error
                if text.strip():
                    yield number, text
    except (OSError, EOFError) as error:
        raise RequestError(f"{path}: can't be read: {getattr(error, 'strerror', None) or error}") from error
