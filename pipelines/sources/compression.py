"""The model: a *codec* turns what is stored into the decoded stream, block by block: gzip, bzip2, xz or zstd, by the
ending of the name. A stream that ends badly gives all the bytes before the damage, then a `BadStream`.

A *bomb* gives far more bytes than any text that was compressed would: it is stopped, with a reason, before it costs much.
"""

from __future__ import annotations

import bz2
import lzma
import re
import zlib
from collections.abc import Callable, Generator, Iterator, Mapping

import zstandard

from pipelines.places import BLOCK

_GROWTH = 16 * BLOCK
"""Most bytes that one step of a codec may give: a bomb is met in pieces."""
_ZSTD_STEP = 1 << 10
"""Compressed bytes for one step of zstd, whose output can't be bounded otherwise: four bytes can stand for 128 KiB."""
_XZ_MEMORY = 256 << 20
"""Bytes for xz's dictionary; `xz -9` needs 65 MiB, a hostile header could ask for 4 GiB."""
_MEMBER = re.compile(rb"\x1f\x8b\x08[\x00-\x1f]")
"""How a member of gzip begins (RFC 1952): deflate, and no reserved flag."""

_BOMB_RATIO = 200
"""Decoded bytes for a stored one. Text compresses 3 to 20 times, server logs 100 times; gzip can reach 1,032, others 30,000."""
_BOMB_BYTES = 64 << 20
"""What may be decoded before the ratio counts: a short file of one repeated line is no bomb."""


class BadStream(Exception):
    """A stream ended badly, after `reason`: `truncated_input`, `corrupt_input` or `decompression_bomb`."""

    def __init__(self, reason: str, detail: str, block: int | None = None) -> None:
        super().__init__(detail)
        self.reason, self.detail = reason, detail
        self.block = block
        """Number of the stored block in which damage was met, if another try could tell more; else None."""

    @property
    def fault(self) -> tuple[str, str]:
        return self.reason, self.detail


Item = bytes | BadStream
"""A block, or the damage that stands where others would be. Only gzip can go on behind it."""


class Inflation:
    """What was stored and what was made of it, added up over a stream, or over all members of an archive."""

    def __init__(self, stored: int = 0) -> None:
        self.stored, self.decoded = stored, 0

    def feed(self, blocks: Iterator[bytes]) -> Iterator[bytes]:
        for block in blocks:
            self.stored += len(block)
            yield block

    def add(self, size: int) -> BadStream | None:
        """Count decoded bytes; the fault if they are too many by now."""
        self.decoded += size
        if self.decoded <= _BOMB_BYTES + _BOMB_RATIO * self.stored:
            return None
        detail = f"{self.decoded:,} bytes and more from {self.stored:,} stored ones: unpack it yourself if that is right"
        return BadStream("decompression_bomb", detail)


def decompressed(name: str, stored: Iterator[bytes], again: Callable[[], Iterator[bytes]] | None = None) -> Iterator[Item]:
    """The decoded stream of what `stored` gives; `again` gives it from its start once more, if it can be had.

    A `BadStream` that `stored` raises becomes the last item.
    """
    codec = _codec(name)
    inflation, given = Inflation(), 0
    try:
        for item in codec(inflation.feed(stored)) if codec else stored:
            if not isinstance(item, BadStream):
                given += len(item)
                if codec and (bomb := inflation.add(len(item))):
                    yield bomb
                    return
            elif codec and again and item.block is not None:
                # Most codecs forget what they made of a block when they meet damage in it: once more, byte by byte there.
                for rest in codec(_in_steps(again(), item.block)):
                    if isinstance(rest, BadStream):
                        break
                    given, rest = max(0, given - len(rest)), rest[given:]
                    yield rest
            yield item
    except BadStream as damage:
        yield damage


def is_compressed(name: str) -> bool:
    """Whether a codec reads what has this name."""
    return _codec(name) is not None


def _codec(name: str) -> Callable[[Iterator[bytes]], Iterator[Item]] | None:
    return next((codec for suffix, codec in _CODECS.items() if name.lower().endswith(suffix)), None)


def _in_steps(stored: Iterator[bytes], number: int) -> Iterator[bytes]:
    for index, block in enumerate(stored):
        if index < number:
            yield block
        else:
            yield from (block[i : i + 1] for i in range(len(block)))


def _gunzip(stored: Iterator[bytes]) -> Iterator[Item]:
    """RFC 1952: members follow each other; zero bytes after the last one are padding. Behind damage it goes on with the next member."""
    member, begun = zlib.decompressobj(zlib.MAX_WBITS | 16), False
    lost: bytes | None = None
    for block in stored:
        if lost is not None:
            block = lost + block
            lost = block[-3:]
            if (found := _MEMBER.search(block)) is None:
                continue
            block, lost = block[found.start() :], None
        while block := block if begun else block.lstrip(b"\0"):
            begun, before = True, member.copy()
            try:
                yield member.decompress(block, _GROWTH)
            except zlib.error as error:
                intact = yield from _up_to_damage(before, block)
                yield BadStream("corrupt_input", f"gzip: {error}")
                member, begun = zlib.decompressobj(zlib.MAX_WBITS | 16), False
                found = _MEMBER.search(block, intact + 1)
                if found is None:
                    lost = block[-3:]
                    break
                block = block[found.start() :]
                continue
            block = member.unconsumed_tail
            if member.eof:
                block, begun = member.unused_data, False
                member = zlib.decompressobj(zlib.MAX_WBITS | 16)
    if begun:
        while out := member.decompress(b"", _GROWTH):
            yield out
        if not member.eof:
            yield BadStream("truncated_input", "gzip: the stream ends inside a member")


def _up_to_damage(member: zlib._Decompress, block: bytes) -> Generator[bytes, None, int]:
    """What of a block can be decoded; returns where the damage is met."""
    for at in range(len(block)):
        try:
            yield member.decompress(block[at : at + 1])
        except zlib.error:
            return at
    return len(block)


def _unzstd(stored: Iterator[bytes]) -> Iterator[Item]:
    """RFC 8878: frames follow each other."""
    frame, begun = zstandard.ZstdDecompressor().decompressobj(), False
    for number, block in enumerate(stored):
        for start in range(0, len(block), _ZSTD_STEP):
            step = block[start : start + _ZSTD_STEP]
            while step:
                begun = True
                try:
                    yield frame.decompress(step)
                except zstandard.ZstdError as error:
                    yield BadStream("corrupt_input", f"zstd: {error}", number)
                    return
                step = b""
                if frame.eof:
                    step, begun = frame.unused_data, False
                    frame = zstandard.ZstdDecompressor().decompressobj()
    if begun:
        yield BadStream("truncated_input", "zstd: the stream ends inside a frame")


def _bunzip2(stored: Iterator[bytes]) -> Iterator[Item]:
    return _streams("bzip2", bz2.BZ2Decompressor, stored)


def _unxz(stored: Iterator[bytes]) -> Iterator[Item]:
    return _streams("xz", lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, _XZ_MEMORY), stored)


def _streams(name: str, decompressor: Callable[[], bz2.BZ2Decompressor | lzma.LZMADecompressor], stored: Iterator[bytes]) -> Iterator[Item]:
    """Streams follow each other; between those of xz there may be zero bytes, which nothing else begins with."""
    stream, begun = decompressor(), False
    for number, block in enumerate(stored):
        while block := block if begun else block.lstrip(b"\0"):
            begun = True
            try:
                yield stream.decompress(block, _GROWTH)
                while not stream.eof and not stream.needs_input:
                    yield stream.decompress(b"", _GROWTH)
            except (OSError, lzma.LZMAError) as error:
                yield BadStream("corrupt_input", f"{name}: {error}", number)
                return
            block = b""
            if stream.eof:
                block, begun = stream.unused_data, False
                stream = decompressor()
    if begun:
        yield BadStream("truncated_input", f"{name}: it ends inside a stream")


_CODECS: Mapping[str, Callable[[Iterator[bytes]], Iterator[Item]]] = {
    ".gz": _gunzip, ".tgz": _gunzip, ".zst": _unzstd, ".tzst": _unzstd,
    ".bz2": _bunzip2, ".tbz2": _bunzip2, ".xz": _unxz, ".txz": _unxz,
}  # fmt: skip
