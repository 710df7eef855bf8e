"""The model: a *page* is an HTML document; its *main text* is what stays when navigation, advertisements and footers are left
out, as one of two libraries sees it.

Its encoding: what the recipe declares, a byte order mark, what HTTP said, what the page says of itself (WHATWG's order and
labels), then UTF-8, then detection; the first that decodes all of it strictly. A last character that is cut is dropped.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.encoding import map_encoding_to_html5
from resiliparse.parse.html import HTMLTree

from pipelines.clean.decode import Undecodable, detect_encoding

_META = re.compile(rb"<meta[^>]{0,512}?charset\s*=\s*[\"']?\s*([A-Za-z0-9_:.-]+)", re.IGNORECASE)
_META_BYTES = 4096
"""Where WHATWG looks at 1024 bytes; many pages say it later."""
_WIDER = {"euc-kr": "cp949", "shift-jis": "cp932", "gbk": "gb18030", "iso-8859-8-i": "iso-8859-8", "x-mac-cyrillic": "mac-cyrillic"}
"""What Python calls the encodings that WHATWG means by these labels."""
_DATES = ('meta[property="article:published_time"]', 'meta[itemprop="datePublished"]', 'meta[name="date"]')


class Page(NamedTuple):
    """What is read of an HTML document."""

    text: str
    encoding: str
    about: dict[str, Any]
    """Title, canonical address, language and date, as far as the page says them."""


def page_of(raw: bytes, main_text: str, declared: str | None = None, charset: str | None = None) -> Page:
    """Read an HTML document; `charset` is what HTTP said of it. Raises `Undecodable`."""
    said = _META.search(raw[:_META_BYTES])
    html, encoding = _decoded(raw, declared, charset, said[1].decode("ascii") if said else None)
    tree = HTMLTree.parse(html)
    about = _about(tree)
    if main_text == "trafilatura":
        import trafilatura

        text = trafilatura.extract(html, include_comments=False) or ""
    else:
        text = extract_plain_text(tree, main_content=main_text == "resiliparse", alt_texts=False, list_bullets=False)
    return Page(text, encoding, about)


def text_of(raw: bytes, declared: str | None = None, charset: str | None = None) -> tuple[str, str]:
    """Plain text and the encoding that it was read in. Raises `Undecodable`."""
    return _decoded(raw, declared, charset, None)


def _decoded(raw: bytes, declared: str | None, charset: str | None, said: str | None) -> tuple[str, str]:
    first: str | None = None
    for name in _candidates(raw, declared, charset, said):
        try:
            decoder = codecs.getincrementaldecoder(name)()
            return decoder.decode(raw).removeprefix("\ufeff"), name
        except UnicodeDecodeError as error:
            first = first or f"not {name} at byte {error.start} ({raw[error.start : error.start + 4].hex(' ')}): {error.reason}"
        if declared is not None:
            break
    raise Undecodable(first or "no encoding fits")


def _candidates(raw: bytes, declared: str | None, charset: str | None, said: str | None) -> Iterator[str]:
    if declared is not None:
        yield detect_encoding(raw, declared)
        return
    for mark, name in ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be")):
        if raw.startswith(mark):
            yield name
    for label in (charset, said):
        if label and (known := _codec(label)) and not (label is said and known.startswith("utf-16")):
            yield known  # a page whose bytes say "utf-16" in ASCII is not UTF-16
    yield "utf-8"
    yield detect_encoding(raw, None)


def _codec(label: str) -> str | None:
    name = map_encoding_to_html5(label, fallback_utf8=False) or label
    try:
        return codecs.lookup(_WIDER.get(name.lower().replace("_", "-"), name)).name
    except LookupError:
        return None


def _about(tree: HTMLTree) -> dict[str, Any]:
    document = tree.document
    about: dict[str, Any] = {"title": " ".join((tree.title or "").split())}
    if document is None:
        return about
    if (root := document.query_selector("html")) is not None:
        about["lang"] = root.getattr("lang")
    if (link := document.query_selector('link[rel="canonical"]')) is not None:
        about["canonical"] = link.getattr("href")
    for selector in _DATES:
        if "published" not in about and (meta := document.query_selector(selector)) is not None:
            about["published"] = meta.getattr("content")
    return {key: value for key, value in about.items() if value}
