"""The model: a text file holds one document, or one a line, or one a *paragraph*: lines without a blank one between."""

from __future__ import annotations

from collections.abc import Iterator

from pipelines.sources.lines import read_lines
from pipelines.sources.records import Gathering, Record
from pipelines.sources.streams import BadStream, Stream
from schemas.recipe import Source


def read(file: Stream, source: Source, limit: int) -> Iterator[Record]:
    """The records of a text file by the source's unit; `limit` is the most bytes of one."""
    if source.unit == "file":
        yield from read_whole(file, limit)
    elif source.unit == "line":
        yield from (line for line in read_lines(file, limit) if line.fault or not is_blank(line.raw, file))
    else:
        yield from _paragraphs(file, limit)


def is_blank(raw: bytes, file: Stream) -> bool:
    """Whether a line is white space; in UTF-16 a dagger is two bytes that are spaces in ASCII, so it is decoded there."""
    return not (raw.strip() if len(file.newline) == 1 else raw.decode(file.encoding, "replace").strip())


def read_whole(file: Stream, limit: int) -> Iterator[Record]:
    """The whole file as one record; none if nothing is in it. Beyond `limit` bytes it is streamed past."""
    whole = Gathering(file.start, limit)
    fault = None
    try:
        for block in file.blocks(file.start):
            whole.add(block)
    except BadStream as damage:
        fault = (damage.reason, damage.detail)
    file.owned += whole.size
    if whole.size or fault:
        yield whole.record(fault)


def _paragraphs(file: Stream, limit: int) -> Iterator[Record]:
    paragraph: Gathering | None = None
    for line in read_lines(file, limit):
        if not line.fault and is_blank(line.raw, file):
            if paragraph is not None:
                yield paragraph.record()
            paragraph = None
            continue
        if paragraph is None:
            paragraph = Gathering(line.offset, limit)
        else:
            between = line.offset - paragraph.offset - paragraph.size  # LF, or CR LF
            paragraph.add(file.newline if between == len(file.newline) else file.newline.replace(b"\n", b"\r") + file.newline)
        if line.fault and line.fault[0] == "too_long":
            paragraph.pass_by(line)
            continue
        paragraph.add(line.raw)
        if line.fault:
            yield paragraph.record(line.fault)
            return
    if paragraph is not None:
        yield paragraph.record()
