"""The model: in RFC 4180 a field that begins with a *quote* ends with the next one that isn't doubled, and a delimiter, a line
end or the end of the file must follow. A quote elsewhere is a character like any other.

A *quoted record* is as many lines as it takes to close its quotes. A quote that is never closed, or closed where no field
ends, costs its first line alone, and reading goes on with the next: the rest of the file is not lost in one field.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator

import xxhash

from pipelines.sources.lines import read_lines
from pipelines.sources.records import Record
from pipelines.sources.streams import Stream
from pipelines.sources.txt import is_blank

_UP_TO_CLOSING = re.compile(r'[^"]*(?:""[^"]*)*"(?!")')


class BadQuotes(ValueError):
    """Quotes that make no fields; the message says why."""


class Quotes:
    """Fields of a record, and whether a quote is open at the end of one of its lines."""

    def __init__(self, delimiter: str) -> None:
        self._delimiter = delimiter

    def split(self, text: str) -> list[str]:
        """The fields of a whole record. Raises `BadQuotes`."""
        if '"' not in text:
            return text.split(self._delimiter)
        fields: list[str] = []
        if self._scan(text, 0, False, fields):
            raise BadQuotes("a quote is never closed")
        return fields

    def is_open(self, line: str, was_open: bool) -> bool:
        """Whether a quote is open behind a line, if one was or wasn't before it. Raises `BadQuotes`."""
        return self._scan(line, 0, was_open, []) if '"' in line else was_open

    def _scan(self, text: str, at: int, is_open: bool, fields: list[str]) -> bool:
        while True:
            if is_open or text.startswith('"', at):
                start = at if is_open else at + 1
                if (closing := _UP_TO_CLOSING.match(text, start)) is None:
                    return True
                is_open, at = False, closing.end()
                fields.append(text[start : at - 1].replace('""', '"'))
                if at < len(text) and text[at] != self._delimiter:
                    raise BadQuotes(f"behind the closing quote of a field stands {text[at]!r}")
            else:
                end = text.find(self._delimiter, at)
                end = len(text) if end < 0 else end
                fields.append(text[at:end])
                at = end
            if at >= len(text):
                return False
            at += 1  # the delimiter


def quoted_records(file: Stream, delimiter: str, limit: int) -> Iterator[Record]:
    """Records of one line or more; those that aren't have the fault `invalid_csv`. Blank lines between them are framing."""
    quotes = Quotes(delimiter)
    narrow = len(file.newline) == 1
    lines, again = read_lines(file, limit), deque[Record]()
    while (line := again.popleft() if again else next(lines, None)) is not None:
        if not line.fault and is_blank(line.raw, file):
            continue
        if line.fault or (narrow and b'"' not in line.raw):
            yield line
            continue
        record, more, fault = line, list[Record](), ""
        try:
            is_open = quotes.is_open(_text(line, file), False)
            while is_open and not fault:
                following = again.popleft() if again else next(lines, None)
                if following is None:
                    fault = "a quote that opens here is never closed"
                    break
                more.append(following)
                if following.fault:
                    fault = f"a quote that opens here is open where the file can't be read on: {following.fault[1]}"
                elif following.offset + following.size - line.offset > limit:
                    fault = f"a quote that opens here isn't closed within {limit:,} bytes"
                else:
                    is_open = quotes.is_open(_text(following, file), True)
            if more and not fault:
                record = _joined([line, *more], file)
        except BadQuotes as error:
            fault = str(error)
        if fault:
            again.extendleft(reversed(more))
            record = line._replace(fault=("invalid_csv", fault))
        yield record


def _text(line: Record, file: Stream) -> str:
    return line.raw.decode(file.encoding, "replace")  # what isn't text is found when the record is whole


def _joined(lines: list[Record], file: Stream) -> Record:
    """One record of lines, with the line ends between them."""
    carriage_return = file.newline.replace(b"\n", b"\r")
    raw = bytearray(lines[0].raw)
    for line in lines[1:]:
        between = line.offset - lines[0].offset - len(raw)
        raw += file.newline if between == len(file.newline) else carriage_return + file.newline
        raw += line.raw
    return Record(lines[0].offset, len(raw), xxhash.xxh3_128_digest(raw), bytes(raw))
