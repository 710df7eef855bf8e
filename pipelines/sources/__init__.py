"""The model: a *format* turns one stored file, a range of it, or a member of an archive into *records*. A record owns a byte
range of the decoded stream; bytes that no record owns (byte order mark, line ends, blank lines) are *framing*.

Each format is one module with ``read(file, source, limit) -> Iterator[Record]``. Every byte of a file is owned once:
``file.owned`` is the sum of the records' sizes plus the framing, whatever ranges a file was cut into.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple, cast

from pipelines.places import COMPRESSED, is_url, place_of, root_folder
from pipelines.sources.archives import is_archive, open_members
from pipelines.sources.records import Record
from pipelines.sources.streams import Characters, InputChanged, StoredFile, Stream, stated_bytes
from pipelines.splits import weighed_bytes
from schemas.errors import RequestError
from schemas.recipe import Source

__all__ = ["InputChanged", "Record", "StoredFile", "engines", "expected_bytes", "open_piece", "read_records"]

Read = Callable[[Stream, Source, int], Iterator[Record]]


class _Format(NamedTuple):
    module: str
    """Of this package; imported when it is used: libraries that few sources need are not loaded for all."""
    characters: Characters = Characters(None)
    engines: tuple[str, ...] = ()
    """Packages whose version decides what is read."""

    def read(self) -> Read:
        return cast(Read, import_module(f"pipelines.sources.{self.module}").read)


_BINARY = Characters(None, text=False, as_utf8=True)

_FORMATS: Mapping[str, _Format] = {
    "txt": _Format("txt"),
    "jsonl": _Format("jsonl", Characters(None, unicode=True, as_utf8=True)),
    "tree": _Format("tree"),
    "csv": _Format("delimited", Characters(None, as_utf8=True)),
    "tsv": _Format("delimited", Characters(None, as_utf8=True)),
    "parquet": _Format("parquet", _BINARY),
    "arrow": _Format("arrow", _BINARY),
    "html": _Format("html", _BINARY, ("resiliparse",)),
    "warc": _Format("warc", _BINARY, ("fastwarc", "resiliparse")),
    "mediawiki": _Format("mediawiki", _BINARY, ("mwparserfromhell",)),
    "epub": _Format("epub", _BINARY, ("resiliparse",)),
}


def open_piece(piece: Mapping[str, Any], source: Source, root: str) -> StoredFile:
    """Open a piece of a split; `root` is the path of its source. Raises `InputChanged` if it isn't as planned."""
    characters = _characters(source)
    if is_archive(piece["uri"]):
        characters = characters._replace(text=False)
    return StoredFile(place_of(root, piece["uri"]), piece, characters)


def expected_bytes(piece: Mapping[str, Any], root: str) -> int:
    """Bytes of text that a piece is expected to hold: what a compressed file says of itself, else by experience."""
    local = piece["uri"].endswith(COMPRESSED) and not is_url(root)
    stated = stated_bytes(root_folder(Path(root)) / piece["uri"]) if local else None
    return stated if stated is not None else weighed_bytes(piece)


def read_records(file: StoredFile, source: Source, limit: int) -> Iterator[Record]:
    """The records of an open piece, in order; `limit` is the most bytes that a record may have."""
    read = _FORMATS[source.format].read()
    if not is_archive(file.uri):
        yield from read(file, source, limit)
        return
    for member in open_members(file, source, _characters(source)):
        if isinstance(member, Record):
            file.owned += member.size
            yield member
            continue
        for record in read(member, source, limit):
            yield record._replace(member=member.path, encoding=record.encoding or member.raw_encoding)
        file.owned += member.owned
        file.encodings.update(member.encodings)


def engines(sources: Iterable[Source]) -> dict[str, str]:
    """Versions of the libraries that decide what these sources hold. Raises `RequestError` if one has to be installed first."""
    names = {name for source in sources for name in _FORMATS[source.format].engines}
    names |= {source.main_text for source in sources if source.main_text == "trafilatura"}
    try:
        return {name: version(name) for name in sorted(names)}
    except PackageNotFoundError as error:
        raise RequestError(f"main_text: trafilatura is not installed: pip install 'gristmill[{error.name}]'") from error


def _characters(source: Source) -> Characters:
    return _FORMATS[source.format].characters._replace(declared=source.encoding)
