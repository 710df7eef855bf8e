"""The model: a tar archive is a stream of headers, each with a member's bytes behind it. It is read once, from front to
back, compressed or not.

A header that is damaged is passed by, block by block, up to the next good one; the blocks between are one reject. Where a
compressed archive is damaged, it ends.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from functools import partial
from typing import IO, cast

from pipelines.places import BLOCK
from pipelines.sources.compression import BadStream
from pipelines.sources.entries import Entry, damage
from pipelines.sources.records import Record
from pipelines.sources.streams import StoredFile

_MAX_HEADER = 16 << 20
"""Bytes that a long name or a block of attributes may have; both are held in memory."""


def tar_entries(file: StoredFile) -> Iterator[Entry | Record]:
    """The members as they follow each other, folders left out. The bytes of one must be read before the next is asked for."""
    stream, tar = _Forward(file.blocks(0)), None
    try:
        tar = _Tar(fileobj=cast("IO[bytes]", stream), ignore_zeros=True, encoding="utf-8", errors="surrogateescape")
        while (info := tar.next()) is not None:
            tar.forget()
            yield from tar.told()
            if not info.isdir():
                yield Entry(_shown(info.name), _fault(info), partial(stream.member, info), again=False)
            if stream.damaged:
                return
        yield from tar.told()
        if tar.cut or not tar.ended:
            yield damage(stream.tell(), 0, "truncated_input", "tar: it ends without an end mark")
    except BadStream as bad:
        yield damage(stream.tell(), 0, *bad.fault)
    except (tarfile.TarError, ValueError, IndexError, OverflowError) as error:
        cut = "unexpected end" in str(error)
        yield from tar.told() if tar else ()
        yield damage(stream.tell(), 0, "truncated_input" if cut else "corrupt_input", f"tar: {error}")
    stream.exhaust()  # whether it is the file that was planned shows at its end


def _shown(name: str) -> str:
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _fault(info: tarfile.TarInfo) -> tuple[str, str] | None:
    if info.isreg() and not info.issparse():
        return None
    return "not_a_file", f"a sparse file, a link or a device (type {info.type.decode('latin-1')!r})"


class _Tar(tarfile.TarFile):
    """An archive that keeps account of what can't be read."""

    def __init__(self, **options: object) -> None:
        self.bad: list[int] = []
        self.ended = self.cut = False
        super().__init__(tarinfo=_Header, **options)  # type: ignore[arg-type]

    def forget(self) -> None:
        """The members that were read: a stream may have more than memory holds."""
        self.members: list[tarfile.TarInfo]
        self.members.clear()

    def told(self) -> Iterator[Record]:
        """The reject of the blocks that were passed by since the last time, if there were any."""
        if self.bad:
            yield damage(self.bad[0], len(self.bad) * tarfile.BLOCKSIZE, "corrupt_input", f"tar: {len(self.bad)} blocks are no header")
            self.bad = []


class _Header(tarfile.TarInfo):
    @classmethod
    def fromtarfile(cls, tar: tarfile.TarFile) -> tarfile.TarInfo:  # type: ignore[override]
        assert isinstance(tar, _Tar)
        try:
            info = super().fromtarfile(tar)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
            tar.ended = True
            raise
        except tarfile.InvalidHeaderError:  # type: ignore[attr-defined]
            tar.bad.append(tar.offset)
            raise
        except tarfile.TruncatedHeaderError:  # type: ignore[attr-defined]
            tar.cut = True
            raise
        tar.ended = False
        return info


class _Forward:
    """A stream as a file that only goes forward."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks, self._rest, self._at = blocks, b"", 0
        self.damaged = False

    def tell(self) -> int:
        return self._at

    def read(self, size: int) -> bytes:
        if size > _MAX_HEADER:
            raise BadStream("corrupt_input", f"tar: a header of {size:,} bytes")
        return b"".join(self._some(size))

    def seek(self, position: int) -> int:
        if position < self._at:
            raise BadStream("corrupt_input", "tar: a header whose member has less than no bytes")
        for _ in self._some(position - self._at):
            pass
        return self._at

    def member(self, info: tarfile.TarInfo) -> Iterator[bytes]:
        self.seek(info.offset_data)
        left = info.size
        for block in self._some(left):
            left -= len(block)
            yield block
        if left > 0:
            self.damaged = True
            raise BadStream("truncated_input", "tar: the archive ends inside this member")

    def exhaust(self) -> None:
        for _ in self._blocks:
            pass

    def _some(self, size: int) -> Iterator[bytes]:
        while size > 0:
            if not self._rest:
                try:
                    self._rest = next(self._blocks, b"")
                except BadStream:
                    self.damaged = True
                    raise
                if not self._rest:
                    return
            part = self._rest[: min(size, BLOCK)]
            self._rest = self._rest[len(part) :]
            size -= len(part)
            self._at += len(part)
            yield part
