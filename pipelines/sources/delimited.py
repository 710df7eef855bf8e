"""The model: a table of text: the first line names the *columns* (or the recipe does), every other record has a *field* for
each. One column holds the text, the others are *extra*.

    tsv    tabs, no quotes (text/tab-separated-values of IANA): a record is a line, so a file can be cut anywhere
    csv    RFC 4180: a field in quotes may hold delimiters, quotes (doubled) and line ends, so a record may be many lines

A record owns its lines; the line of names is framing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import orjson

from pipelines.clean.decode import HEAD_BYTES, Undecodable, decode
from pipelines.sources.lines import read_lines, split_units
from pipelines.sources.quotes import BadQuotes, Quotes, quoted_records
from pipelines.sources.records import Record
from pipelines.sources.streams import Stream
from pipelines.sources.txt import is_blank
from schemas.recipe import Source

Split = Callable[[str], list[str]]


def read(file: Stream, source: Source, limit: int) -> Iterator[Record]:
    """One record a row; rows have the faults `undecodable`, `invalid_csv` (quotes, number of fields) and `missing_text`."""
    columns = list(source.columns) if source.columns else None
    if source.format == "csv":
        split = Quotes(source.delimiter).split
        records = quoted_records(file, source.delimiter, limit)
        if columns is None and (names := next(records, None)) is not None:
            columns, told = _names(names, file.encoding, split)
            yield from told
    else:
        split = _split_at_tabs
        records = (line for line in read_lines(file, limit) if line.fault or not is_blank(line.raw, file))
        if columns is None:
            names = _first_line(file)
            columns, told = _names(names, file.encoding, split)
            records = _without(names.offset, told, records)
    for record in records:
        yield record if record.fault else _parsed(record, file.encoding, columns or [], split, source)


def _split_at_tabs(text: str) -> list[str]:
    return text.split("\t")


def _first_line(file: Stream) -> Record:
    """The line of names of a file that may be cut: every range looks it up, so it must lie in the head."""
    head, mark = file.head(), "\ufeff".encode(file.encoding, "ignore")
    offset = len(mark) if mark and head.startswith(mark) else 0
    whole = len(head) - len(head) % len(file.newline)
    for line in split_units(head[offset:whole], file.newline):
        if not is_blank(line, file):
            cut = len(head) >= HEAD_BYTES and offset + len(line) == whole
            return Record(offset, 0, b"", line, fault=("invalid_csv", "the line of names is too long") if cut else None)
        offset += len(line) + len(file.newline)
    return Record(-1, 0, b"", b"", fault=("invalid_csv", "the line of names is too far from the start"))


def _names(line: Record, encoding: str, split: Split) -> tuple[list[str], list[Record]]:
    """Names of columns, each once (a second `a` is `a#2`); if they can't be read there are none, and the line is a reject."""
    fault = line.fault
    try:
        names = [] if fault else split(decode(line.raw, encoding).removesuffix("\r"))
    except (Undecodable, BadQuotes) as error:
        names, fault = [], ("invalid_csv", f"the names of the columns can't be read: {error}")
    times: dict[str, int] = {}
    for index, name in enumerate(names):
        times[name] = times.get(name, 0) + 1
        names[index] = name if times[name] == 1 else f"{name}#{times[name]}"
    return names, [line._replace(fault=fault)] if fault else []


def _without(offset: int, told: list[Record], records: Iterator[Record]) -> Iterator[Record]:
    """The records but for the line of names, which is a reject if something is to be told of it."""
    for record in records:
        if record.offset != offset:
            yield record
        elif told:
            yield record._replace(fault=record.fault or told[0].fault)


def _parsed(record: Record, encoding: str, columns: list[str], split: Split, source: Source) -> Record:
    try:
        fields = split(decode(record.raw, encoding))
    except Undecodable as error:
        return record._replace(fault=("undecodable", error.detail))
    except BadQuotes as error:
        return record._replace(fault=("invalid_csv", str(error)))
    if len(fields) != len(columns):
        return record._replace(fault=("invalid_csv", f"{len(fields)} fields, and the table has {len(columns)} columns"))
    row = dict(zip(columns, fields, strict=True))
    text = row.pop(source.text_field, None)
    if source.extra_fields is not None:
        row = {name: row[name] for name in source.extra_fields if name in row}
    extra = orjson.dumps(row, option=orjson.OPT_SORT_KEYS).decode() if row else None
    if text is None:
        return record._replace(extra=extra, fault=("missing_text", f"there is no column {source.text_field!r}"))
    return Record(record.offset, record.size, record.digest, text.encode(), extra)
