"""The model: an HTML file is one *page* (see `pages`); the record is the file, and its text the main text of the page.

A page without any is a record that cleaning rejects as `empty`.
"""

from __future__ import annotations

from collections.abc import Iterator

from pipelines.clean.decode import Undecodable
from pipelines.sources.pages import page_of
from pipelines.sources.records import Record
from pipelines.sources.streams import Stream
from pipelines.sources.txt import read_whole
from schemas.fingerprint import canonical_json
from schemas.recipe import Source


def read(file: Stream, source: Source, limit: int) -> Iterator[Record]:
    """The page, with ``{"title", "canonical", "lang", "published"}`` as extra, as far as it says them."""
    for record in read_whole(file, limit):
        if record.fault:
            yield record
            continue
        try:
            page = page_of(record.raw, source.main_text, source.encoding)
        except Undecodable as error:
            yield record._replace(fault=("undecodable", error.detail))
            continue
        file.encodings[page.encoding] += 1
        about = canonical_json(page.about).decode("utf-8", "replace") if page.about else None
        yield record._replace(raw=page.text.encode("utf-8", "replace"), extra=about)
