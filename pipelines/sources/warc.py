"""The model: a web archive is WARC records (ISO 28500): a version line, headers, and a *block* of as many bytes as the headers
say. Common Crawl compresses each record by itself. Documents are made of

    response        a page over HTTP: the main text of HTML (see `pages`), or plain text as it is
    resource        the same without HTTP
    conversion      the text that somebody made of a page: this is what WET files hold

All others are rejects: `record_type`, `http_status` (not 200), `media_type` (no text), `invalid_warc`, `invalid_http`. A
record whose length is wrong, or that is cut or damaged, ends where the next one begins, and costs itself alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import xxhash
from fastwarc.warc import WarcRecord, WarcRecordType

from pipelines.clean.decode import Undecodable
from pipelines.sources.pages import page_of, text_of
from pipelines.sources.records import Gathering, Record, too_long
from pipelines.sources.streams import Stream
from pipelines.sources.windows import Window
from schemas.fingerprint import canonical_json
from schemas.recipe import Source

_START = re.compile(rb"WARC/1\.\d\r?\n[A-Za-z][A-Za-z-]*:")
_NEXT = re.compile(rb"(?<=\n)" + _START.pattern)
_REACH = 128
"""More than a version line and the name of the first header have."""
_MOST_HEADERS = 1 << 18
_LENGTH = re.compile(rb"^content-length:[ \t]*(\d{1,18})[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)
_HTML = ("text/html", "application/xhtml+xml")


def read(file: Stream, source: Source, limit: int) -> Iterator[Record]:
    """One record a WARC record; what is between them is framing, as long as it is line ends."""
    window = Window(file.items(file.start), file.start)
    while True:
        if window.fill(1) and (blank := len(window.data) - len(window.data.lstrip(b"\r\n"))):
            window.take(blank)
            continue
        if not window.data:
            file.owned = window.at - file.start
            if (damage := window.told()) is None:
                return
            yield Record(window.at, 0, xxhash.xxh3_128_digest(b""), b"", fault=damage.fault)
            continue
        record = _next(window, file, source, limit)
        file.owned = window.at - file.start
        yield record


def _next(window: Window, file: Stream, source: Source, limit: int) -> Record:
    headers = _headers(window)
    if headers is None:
        return _unsound(window, 1, limit, "there are no headers of a record here")
    size = headers[1] + headers[0]
    if size > limit:
        return _passed_by(window, headers[0], size, limit)
    if not window.fill(size) or not _ends(window, size):
        return _unsound(window, headers[0], limit, f"the record isn't as long as its Content-Length says ({headers[1]:,})")
    offset, raw = window.at, window.take(size)
    record = Record(offset, size, xxhash.xxh3_128_digest(raw), b"")
    try:
        return _parsed(record, raw, file, source, limit)
    except (OSError, ValueError) as error:
        return record._replace(fault=("invalid_warc", str(error)))


def _headers(window: Window) -> tuple[int, int] | None:
    """Bytes of the headers and of the block that follows; None if they can't be told."""
    while (end := window.data.find(b"\r\n\r\n", 0, _MOST_HEADERS)) < 0:
        if len(window.data) >= _MOST_HEADERS or not window.more():
            return None
    if not _START.match(window.data):
        return None
    length = _LENGTH.search(window.data, 0, end + 2)
    return (end + 4, int(length[1])) if length else None


def _ends(window: Window, size: int) -> bool:
    """Whether there is an end of a record, or of the file: some writers are careless with line ends."""
    window.fill(size + _REACH)
    rest = bytes(window.data[size : size + _REACH])
    return rest.startswith(b"\r\n\r\n") or not rest.strip(b"\r\n") or (rest[:1] in b"\r\n" and rest.lstrip(b"\r\n").startswith(b"WARC/"))


def _unsound(window: Window, start: int, limit: int, why: str) -> Record:
    """All up to where the next record begins."""
    gathering = Gathering(window.at, limit)
    found = window.take_until(_NEXT, start, _REACH, gathering)
    if found is None and (damage := window.told()) is not None:
        fault = damage.fault
    else:
        fault = ("corrupt_input", why) if found else ("truncated_input", f"the file ends in a record, or behind it: {why}")
    return gathering.record()._replace(raw=b"", fault=fault)


def _passed_by(window: Window, start: int, size: int, limit: int) -> Record:
    """A record that is too long to hold; or what there is of it before another one begins, or the end."""
    gathering, end, damage = Gathering(window.at, 0), window.at + size, None
    while window.at < end and (window.data or window.more()):
        window.fill(min(end - window.at, 1 << 20))
        found = _NEXT.search(window.data, start)
        start = 0
        gathering.add(window.take(min(end - window.at, found.start() if found else max(1, len(window.data) - _REACH))))
        if found:
            break
    record = gathering.record()
    if record.size == size:
        return too_long(record.offset, size, record.digest, limit)
    if not window.data:
        damage = window.told()
    fault = (
        damage.fault if damage else ("corrupt_input", f"the record isn't as long as its Content-Length says ({size:,} with its headers)")
    )
    return record._replace(fault=fault)


def _parsed(record: Record, raw: bytes, file: Stream, source: Source, limit: int) -> Record:
    parsed = WarcRecord.from_bytes(raw)
    kind, headers = parsed.record_type, parsed.headers
    extra: dict[str, Any] = {"url": (headers.get("WARC-Target-URI") or "").strip("<>"), "date": headers.get("WARC-Date")}
    extra |= {"languages": headers.get("WARC-Identified-Content-Language"), "truncated": headers.get("WARC-Truncated")}

    def rejected(reason: str, detail: str) -> Record:
        return record._replace(extra=_json(extra), fault=(reason, detail))

    if kind not in (WarcRecordType.response, WarcRecordType.resource, WarcRecordType.conversion):
        return rejected("record_type", f"a record of type {headers.get('WARC-Type')}")
    media, charset = _media_type(headers.get("Content-Type") or "")
    if media == "application/http":
        try:
            parsed.parse_http(auto_decode="all")
            status = parsed.http_headers.status_code
        except (OSError, ValueError) as error:
            return rejected("invalid_http", str(error))
        if status != 200:
            return rejected("http_status", parsed.http_headers.status_line or "no status line")
        media, charset = _media_type(parsed.http_headers.get("Content-Type") or headers.get("WARC-Identified-Payload-Type") or "")
    extra["mime"] = media or None
    if media not in (*_HTML, "text/plain"):
        return rejected("media_type", f"{media or 'an unknown type'} is not text that is read")
    try:
        payload = parsed.reader.read(limit + 1)
    except (OSError, ValueError) as error:
        return rejected("invalid_http", f"its content can't be decoded: {error}")
    if len(payload) > limit:
        return rejected("too_long", f"more than {limit:,} bytes when its content is decoded")
    declared = source.encoding or ("utf-8" if kind == WarcRecordType.conversion else None)
    try:
        if media in _HTML:
            page = page_of(payload, source.main_text, declared, charset)
            text, encoding = page.text, page.encoding
            extra |= page.about
        else:
            text, encoding = text_of(payload, declared, charset)
    except Undecodable as error:
        return rejected("undecodable", error.detail)
    file.encodings[encoding] += 1
    return record._replace(raw=text.encode("utf-8", "replace"), extra=_json(extra))


def _media_type(header: str) -> tuple[str, str | None]:
    """Type and charset of a Content-Type."""
    media, _, parameters = header.partition(";")
    charset = re.search(r"charset\s*=\s*[\"']?([^\s\"';,]+)", parameters, re.IGNORECASE)
    return media.strip().lower(), charset[1] if charset else None


def _json(extra: dict[str, Any]) -> str:
    return canonical_json({key: value for key, value in extra.items() if value}).decode("utf-8", "replace")
