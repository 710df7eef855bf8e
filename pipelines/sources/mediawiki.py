"""The model: a MediaWiki XML dump is *pages*, each between ``<page>`` and ``</page>`` and with one *revision* or its history, of
which the last one counts. Text in it is escaped, so these tags mark pages from anywhere: a dump can be cut.

Each page is parsed by itself: no document type can come with it, so no entity can expand, and a page that is no XML costs
itself alone. Rejects: `redirect`, `talk_page`, `namespace` (others that the source doesn't name), `content_model` (scripts,
style sheets, data), `missing_text`, `invalid_xml`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import quote
from xml.etree import ElementTree
from xml.sax.saxutils import unescape

from pipelines.sources.records import Gathering, Record
from pipelines.sources.streams import Stream
from pipelines.sources.wikitext import text_of
from pipelines.sources.windows import Window
from schemas.fingerprint import canonical_json
from schemas.recipe import Source

_OPEN, _CLOSE = b"<page>", b"</page>"
_BEGIN = re.compile(re.escape(_OPEN))
_END = re.compile(b"<page>|</page>")
_REDIRECT = re.compile(r"\s*#(?:redirect|重定向|重新導向)\s*:?\s*\[\[([^\]|]*)", re.IGNORECASE)
_HIDDEN = (6, 14)
"""Namespaces of files and of categories: links to them show a picture, or nothing."""


class _Site(NamedTuple):
    """What the head of a dump says of its wiki."""

    base: str
    """Address of a page, without its title."""
    lang: str | None
    hidden: frozenset[str]
    """Names, in lower case, of the namespaces whose links show no text."""


def read(file: Stream, source: Source, limit: int) -> Iterator[Record]:
    """The pages that start in the range."""
    site = _site(file.head().decode("utf-8", "replace"))
    window = Window(file.items(file.start), file.start)
    pages = 0
    first = None if file.cut_before else window.at
    nothing = Gathering(window.at, 0)
    while True:
        found = window.take_until(_BEGIN, 0, len(_OPEN), None if pages or file.cut_before else nothing)
        begin = window.at
        first = begin if first is None else first
        file.owned = begin - first
        if found is None:
            if (damage := window.told()) is not None:
                yield Gathering(begin, limit).record(damage.fault)
            elif not pages and file.end is None and not file.cut_before:
                yield nothing.record(("invalid_xml", "there is no <page> in this file"))
            return
        if file.end is not None and begin >= file.end:
            return
        page = Gathering(begin, limit)
        end = window.take_until(_END, len(_OPEN), len(_CLOSE), page)
        pages += 1
        if end is None:
            damage = window.told()
            fault = damage.fault if damage else ("truncated_input", "the file ends inside this page")
        elif end == _OPEN:
            fault = ("invalid_xml", "another page begins before this one ends")
        else:
            page.add(window.take(len(_CLOSE)))
            fault = None
        file.owned = window.at - first
        record = page.record(fault)
        yield record if record.fault else _parsed(record, source, site)


def _site(head: str) -> _Site:
    base = re.search(r"<base>([^<]*)/[^</]*</base>", head)
    lang = re.search(r'<mediawiki[^>]*\bxml:lang="([^"]*)"', head)
    names = re.findall(r'<namespace key="(-?\d+)"[^>]*>([^<]*)</namespace>', head)
    hidden = {unescape(name).lower() for key, name in names if int(key) in _HIDDEN}
    return _Site(unescape(base[1]) if base else "", lang[1] if lang else None, frozenset(hidden | {"file", "image", "category"}))


def _parsed(record: Record, source: Source, site: _Site) -> Record:
    try:
        page = ElementTree.fromstring(record.raw)
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        return record._replace(raw=b"", fault=("invalid_xml", str(error)))
    revisions = page.findall("revision")
    revision = revisions[-1] if revisions else ElementTree.Element("revision")
    title = page.findtext("title") or ""
    about = {
        "title": title,
        "id": page.findtext("id"),
        "revision": revision.findtext("id"),
        "date": revision.findtext("timestamp"),
        "lang": site.lang,
        "url": site.base and f"{site.base}/{quote(title.replace(' ', '_'), safe='/:()!,*')}",
    }
    extra = canonical_json({key: value for key, value in about.items() if value}).decode()
    text, namespace = revision.findtext("text"), page.findtext("ns") or "0"
    fault = _fault(page, revision, text, namespace, source)
    if fault:
        return record._replace(raw=b"", extra=extra, fault=fault)
    try:
        plain = text_of(text or "", site.hidden)
    except Exception as error:  # whatever a wiki may hold that the parser did not foresee
        return record._replace(raw=b"", extra=extra, fault=("invalid_wikitext", f"{type(error).__name__}: {error}"))
    return record._replace(raw=plain.encode(), extra=extra)


def _fault(
    page: ElementTree.Element, revision: ElementTree.Element, text: str | None, namespace: str, source: Source
) -> tuple[str, str] | None:
    if (redirect := page.find("redirect")) is not None:
        return "redirect", f"to {redirect.get('title')}"
    if not namespace.lstrip("-").isdigit() or int(namespace) not in source.namespaces:
        talk = namespace.isdigit() and int(namespace) % 2
        return ("talk_page" if talk else "namespace"), f"namespace {namespace}"
    model = revision.findtext("model") or "wikitext"
    if model != "wikitext":
        return "content_model", f"{model} is no wikitext"
    if not text:
        return "missing_text", "its text was deleted, or left out of the dump"
    if found := _REDIRECT.match(text):
        return "redirect", f"to {found[1]}"
    return None
