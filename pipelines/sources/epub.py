"""The model: an EPUB book is a zip archive: a *container* names the *package*, which holds the book's data and its *spine*, the
order of its chapters; each chapter is XHTML. A book is one record that owns the file; its text is that of all chapters.

A book that lacks a chapter is a reject, `invalid_epub`, and so is one whose chapters are `encrypted`: half of a book is none.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote
from xml.etree import ElementTree

import xxhash
from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.html import HTMLTree

from pipelines.clean.decode import Undecodable
from pipelines.places import BLOCK
from pipelines.sources.compression import BadStream
from pipelines.sources.entries import Entry, damage
from pipelines.sources.pages import text_of
from pipelines.sources.records import Record, too_long
from pipelines.sources.streams import Stream
from pipelines.sources.zips import opened_zip
from schemas.fingerprint import canonical_json
from schemas.recipe import Source

_CONTAINER, _ENCRYPTION = "META-INF/container.xml", "META-INF/encryption.xml"
_EMPTY_ELEMENT = re.compile(r"<(?!(?:area|base|br|col|embed|hr|img|input|link|meta|source|track|wbr)\b)([A-Za-z][\w:.-]*)(\s[^<>]*)?/>")
"""XHTML closes any element in one tag; HTML would leave it open, up to the end."""
_DATA = {"title": "title", "creator": "creators", "language": "lang", "identifier": "identifier", "publisher": "publisher", "date": "date"}


class _Bad(Exception):
    """Why a book can't be read: reason and detail."""


def read(file: Stream, source: Source, limit: int) -> Iterator[Record]:
    """The book, with title, creators, lang, identifier, publisher and date as extra, as far as it says them."""
    try:
        with file.seekable() as handle, opened_zip(handle) as entries:
            handle.seek(0)
            size, hasher = 0, xxhash.xxh3_128()
            while block := handle.read(BLOCK):
                size += len(block)
                hasher.update(block)
            file.owned = size
            record = Record(0, size, hasher.digest(), b"")
            if isinstance(entries, Record):
                yield record._replace(fault=entries.fault)
            else:
                yield _book(record, {entry.name: entry for entry in entries}, limit)
    except BadStream as bad:
        yield damage(0, 0, *bad.fault)


def _book(record: Record, members: Mapping[str, Entry], limit: int) -> Record:
    extra: str | None = None
    try:
        path = _package_path(members, limit)
        package = _xml(members, path, limit)
        extra = _about(package)
        texts, size = [], 0
        for chapter in _spine(package, path, _encrypted(members, limit)):
            texts.append(_chapter(_bytes(members, chapter, limit)))
            size += len(texts[-1])
            if size > limit:
                return too_long(record.offset, record.size, record.digest, limit)._replace(extra=extra)
    except _Bad as bad:
        return record._replace(extra=extra, fault=(bad.args[0], bad.args[1]))
    return record._replace(raw="\n\n".join(text for text in texts if text).encode("utf-8", "replace"), extra=extra)


def _bytes(members: Mapping[str, Entry], name: str, limit: int) -> bytes:
    entry = members.get(name)
    if entry is None:
        raise _Bad("invalid_epub", f"{name} is not in the book")
    if entry.fault:
        raise _Bad(*entry.fault)
    held, size = [], 0
    try:
        for block in entry.blocks():
            held.append(block)
            size += len(block)
            if size > limit:
                raise _Bad("too_long", f"{name} has more than {limit:,} bytes")
    except BadStream as bad:
        raise _Bad(bad.reason, f"{name}: {bad.detail}") from bad
    return b"".join(held)


def _xml(members: Mapping[str, Entry], name: str, limit: int) -> ElementTree.Element:
    raw = _bytes(members, name, limit)
    if b"<!ENTITY" in raw:
        raise _Bad("invalid_epub", f"{name} defines entities, which are not expanded")
    try:
        return ElementTree.fromstring(raw)
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise _Bad("invalid_epub", f"{name}: {error}") from error


def _package_path(members: Mapping[str, Entry], limit: int) -> str:
    root = _xml(members, _CONTAINER, limit).find(".//{*}rootfile")
    path = root.get("full-path") if root is not None else None
    if not path:
        raise _Bad("invalid_epub", "its container names no package")
    return path


def _about(package: ElementTree.Element) -> str | None:
    found: dict[str, Any] = {}
    for element in package.iterfind("{*}metadata/{http://purl.org/dc/elements/1.1/}*"):
        key = _DATA.get(element.tag.rpartition("}")[2])
        text = " ".join((element.text or "").split())
        if key == "creators" and text:
            found.setdefault(key, []).append(text)
        elif key and text:
            found.setdefault(key, text)
    return canonical_json(found).decode() if found else None


def _spine(package: ElementTree.Element, path: str, encrypted: frozenset[str]) -> Iterator[str]:
    """Names of the chapters, in order; a table of contents is none."""
    folder = posixpath.dirname(path)
    items = {item.get("id"): item for item in package.iterfind("{*}manifest/{*}item")}
    for reference in package.iterfind("{*}spine/{*}itemref"):
        item = items.get(reference.get("idref"))
        if item is None:
            raise _Bad("invalid_epub", f"its spine names {reference.get('idref')!r}, which is not in its manifest")
        if "nav" in (item.get("properties") or "").split() or "html" not in (item.get("media-type") or "html"):
            continue
        name = posixpath.normpath(posixpath.join(folder, unquote(item.get("href") or "")))
        if name in encrypted:
            raise _Bad("encrypted", f"{name} needs a key to be read")
        yield name


def _encrypted(members: Mapping[str, Entry], limit: int) -> frozenset[str]:
    """Names of members that are encrypted; fonts often are, which hinders nobody."""
    if _ENCRYPTION not in members:
        return frozenset()
    references = _xml(members, _ENCRYPTION, limit).iterfind(".//{*}CipherReference")
    return frozenset(unquote(reference.get("URI") or "") for reference in references)


def _chapter(raw: bytes) -> str:
    said = re.match(rb"\s*<\?xml[^>]*encoding\s*=\s*[\"']([A-Za-z0-9._-]+)", raw)
    try:
        html, _ = text_of(raw, None, said[1].decode() if said else None)
    except Undecodable as error:
        raise _Bad("undecodable", error.detail) from error
    tree = HTMLTree.parse(_EMPTY_ELEMENT.sub(r"<\1\2></\1>", html))
    return extract_plain_text(tree, main_content=False, alt_texts=False, list_bullets=False).strip()
