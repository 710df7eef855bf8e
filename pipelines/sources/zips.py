"""The model: a zip archive lists its members at its end, and each can be read by itself: damage in one leaves the others.

What all members give is counted against the size of the archive: members that share their stored bytes are a bomb, too.
"""

from __future__ import annotations

import codecs
import errno
import lzma
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import BinaryIO

from pipelines.clean.decode import detect_encoding
from pipelines.places import BLOCK
from pipelines.sources.compression import BadStream, Inflation
from pipelines.sources.entries import Entry, damage
from pipelines.sources.records import Record
from pipelines.sources.streams import Stream

_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
_UTF8_NAME, _ENCRYPTED = 0x800, 0x1
"""Flags of a member (APPNOTE.TXT 4.4.4)."""


def zip_entries(file: Stream) -> Iterator[Entry | Record]:
    """The members in the order of the list, folders left out."""
    with file.seekable() as handle, opened_zip(handle) as entries:
        yield from [entries] if isinstance(entries, Record) else entries


@contextmanager
def opened_zip(handle: BinaryIO) -> Iterator[list[Entry] | Record]:
    """All members of an archive, to be read in any order while it is open; or why it can't be opened."""
    size = handle.seek(0, 2)
    try:
        archive = zipfile.ZipFile(handle)
    except (zipfile.BadZipFile, NotImplementedError, EOFError, OverflowError, ValueError, struct.error, OSError) as error:
        if isinstance(error, OSError) and error.errno != errno.EINVAL:  # else it points to before its start
            raise
        yield damage(0, size, "corrupt_input", f"zip: {error}")
        return
    with archive:
        total = Inflation(size)
        named = zip(archive.infolist(), _names(archive.infolist()), strict=True)
        yield [
            Entry(name, _fault(info), partial(_blocks, archive, info, total), again=True) for info, name in named if not name.endswith("/")
        ]


def _names(infos: list[zipfile.ZipInfo]) -> list[str]:
    """Names as they were meant: those that aren't marked as UTF-8 are in whatever their maker's machine used."""
    unmarked = b"\n".join(_bytes(info) for info in infos if not info.flag_bits & _UTF8_NAME)
    encoding = detect_encoding(unmarked, None)
    try:
        unmarked.decode(encoding)
    except UnicodeDecodeError:
        encoding = "cp437"  # what the format says
    return [
        info.orig_filename if info.flag_bits & _UTF8_NAME else codecs.decode(_bytes(info), encoding, "backslashreplace") for info in infos
    ]


def _bytes(info: zipfile.ZipInfo) -> bytes:
    return info.orig_filename.encode("cp437")


def _fault(info: zipfile.ZipInfo) -> tuple[str, str] | None:
    if info.flag_bits & _ENCRYPTED:
        return "encrypted", "a password is needed to read it"
    mode = info.external_attr >> 16
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        return "not_a_file", f"a link or a device (mode {mode:o})"
    if info.compress_type not in _METHODS:
        return "unsupported_compression", f"method {info.compress_type}; deflate, bzip2 and LZMA are read"
    return None


def _blocks(archive: zipfile.ZipFile, info: zipfile.ZipInfo, total: Inflation) -> Iterator[bytes]:
    alone = Inflation(info.compress_size)
    try:
        with archive.open(info) as member:
            while not (bomb := alone.add(0) or total.add(0)):
                if not (block := member.read(BLOCK)):
                    return
                bomb = alone.add(len(block)) or total.add(len(block))
                if bomb:
                    break
                yield block
            total.decoded -= alone.decoded  # a bomb that was found out isn't counted against its neighbours
            raise bomb
    except OSError as error:
        if error.errno not in (None, errno.EINVAL):  # the disk's or the network's; bzip2 raises one without
            raise
        raise BadStream("corrupt_input", f"zip: {error}") from error
    except EOFError as error:
        raise BadStream("truncated_input", "zip: the stream ends inside this member") from error
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, NotImplementedError, RuntimeError, ValueError, struct.error) as error:
        raise BadStream("corrupt_input", f"zip: {error}") from error
