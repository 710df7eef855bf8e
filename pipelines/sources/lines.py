"""The model: a *line* starts after a line end (LF, in the file's encoding) and ends before the next. A range of a file
owns the lines that *start* in it: of a line that a cut goes through, the earlier range owns all.

A line longer than the limit is streamed past and never held. A CR before the LF, blank lines and line ends are framing.
"""

from __future__ import annotations

from collections.abc import Iterator

import xxhash

from pipelines.sources.records import Gathering, Record
from pipelines.sources.streams import BadStream, Stream


def read_lines(file: Stream, limit: int) -> Iterator[Record]:
    """The lines that start in the file's range, blank ones included (as records of size 0, which own nothing).

    All bytes of the range's lines are counted in `file.owned`. If a compressed stream ends badly, the last record is
    what is left of the line that the damage is in, with the fault.
    """
    newline = file.newline
    width = len(newline)
    carriage_return = newline.replace(b"\n", b"\r")
    at = file.start + -file.start % width
    pieces = _pieces(file.blocks(at - width if file.cut_before else at), newline)
    if file.cut_before:
        at += _skip_line(pieces, width)
    line = Gathering(at, limit)
    first = None if file.cut_before else at  # its line starts at 0, a byte order mark before it or not
    try:
        for piece, ends in pieces:
            if file.end is not None and line.offset >= file.end and line.offset != first:
                return
            if ends and not line.size and len(piece) <= limit:  # the usual case: a line in one piece
                raw = piece.removesuffix(carriage_return)
                yield Record(line.offset, len(raw), xxhash.xxh3_128_digest(raw), raw)
                line.offset += len(piece) + width
                file.owned += len(piece) + width
                continue
            line.add(piece)
            if ends:
                file.owned += line.size + width
                yield _without(carriage_return, line.record())
                line = Gathering(line.offset + line.size + width, limit)
    except BadStream as damage:
        file.owned += line.size
        yield line.record((damage.reason, damage.detail))
        return
    if line.size and (file.end is None or line.offset < file.end or line.offset == first):
        file.owned += line.size
        yield _without(carriage_return, line.record())


def _skip_line(pieces: Iterator[tuple[bytes, bool]], width: int) -> int:
    """Go past the line that the range before owns, from one code unit before the range; how far into the range it reaches."""
    size = -width
    for piece, ends in pieces:
        size += len(piece)
        if ends:
            return size + width
    return size


def _without(carriage_return: bytes, record: Record) -> Record:
    if not record.raw.endswith(carriage_return):
        return record
    raw = record.raw.removesuffix(carriage_return)
    return record._replace(size=len(raw), digest=xxhash.xxh3_128_digest(raw), raw=raw)


def _pieces(blocks: Iterator[bytes], newline: bytes) -> Iterator[tuple[bytes, bool]]:
    """The stream in pieces that a line end follows (True), or that a block of the stream cuts (False)."""
    width = len(newline)
    rest = b""
    for block in blocks:
        if width > 1:
            block = rest + block
            whole = len(block) - len(block) % width
            block, rest = block[:whole], block[whole:]
        parts = block.split(b"\n") if width == 1 else split_units(block, newline)
        for part in parts[:-1]:
            yield part, True
        if parts[-1]:
            yield parts[-1], False
    if rest:
        yield rest, False


def split_units(block: bytes, newline: bytes) -> list[bytes]:
    """Split at line ends that lie on the boundary of a code unit: in UTF-16, 0A 00 also stands inside U+0A00 U+000A."""
    width = len(newline)
    parts, start, found = [], 0, block.find(newline)
    while found >= 0:
        if found % width == 0:
            parts.append(block[start:found])
            start = found + width
            found = block.find(newline, start)
        else:
            found = block.find(newline, found + 1)
    return [*parts, block[start:]]
