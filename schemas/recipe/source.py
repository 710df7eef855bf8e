"""The model: a *source* is a named place that text comes from; see docs/sources.md for what each format takes."""

from __future__ import annotations

import codecs
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from schemas.languages import is_language
from schemas.recipe.rules import Rules
from schemas.recipe.section import Name, Section


def _is_encoding(value: str) -> str:
    try:
        codecs.lookup(value)
    except LookupError:
        raise ValueError("Python knows no encoding of this name") from None
    return value


class Source(Section):
    """A named place that text comes from."""

    name: Name
    path: str
    """File, folder or glob, relative to the folder that the command runs in, or a URL that fsspec reads (s3://, https://, ...).
    Where it lies is not part of the identity."""
    format: Literal["txt", "jsonl", "csv", "tsv", "parquet", "arrow", "html", "warc", "mediawiki", "epub", "tree"]
    """txt: text files; jsonl: one JSON object a line; csv: RFC 4180, quotes and all; tsv: tabs and no quotes; parquet, arrow (IPC):
    a row; html: a page; warc: a record of a web archive, WET too; mediawiki: a page of an XML dump; epub: a book; tree: source code,
    one document a file. All may be compressed (.gz, .bz2, .xz, .zst) or lie in archives (.zip, .tar, .tar.gz, ...)."""
    unit: Literal["file", "line", "paragraph"] = "file"
    """What one document is in a txt file."""
    text_field: str = "text"
    """The JSON key or the column that holds the text; others go to `extra`."""
    extra_fields: tuple[str, ...] | None = None
    """The other keys or columns that `extra` takes; null: all of them."""
    columns: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """Names of the columns of csv and tsv files that don't begin with a line of names; null: they do."""
    delimiter: Annotated[str, Field(pattern=r"^[^\"\r\n]$")] = ","
    """What stands between the fields of a csv file."""
    main_text: Literal["resiliparse", "trafilatura", "all"] = "resiliparse"
    """Who tells the main text of a web page from what surrounds it; all: nobody does, all visible text is taken.
    trafilatura has to be installed: it is the extra of that name."""
    namespaces: tuple[int, ...] = (0,)
    """Namespaces of a wiki whose pages are documents; 0: articles."""
    generated: Literal["reject", "keep"] = "reject"
    """What happens to generated and to minified files of a tree."""
    members: tuple[str, ...] = ("*",)
    """Globs that names of members of archives must match."""
    lang: Annotated[str, AfterValidator(is_language)] | None = None
    """Declared language (`code` for source code); null: identified for each document."""
    encoding: Annotated[str, AfterValidator(_is_encoding)] | None = None
    """Declared encoding; null: byte order mark, then detection."""
    include: tuple[str, ...] = ("*",)
    """Globs that file names below a folder must match."""
    exclude: tuple[str, ...] = ()
    """Globs of relative paths to leave out."""
    origin: Annotated[str, Field(pattern=r"^(text|uri|extra\..+)$")] = "uri"
    """What is kept together when subsets are drawn: `text` (normalised), `uri`, or `extra.KEY`."""

    license: Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\r\n]*$")] | None = None
    """What its publisher lets others do with it, such as `CC-BY-SA-4.0`: it is told in model cards, and decides nothing. null: not told."""
    url: Annotated[str, Field(max_length=500, pattern=r"^https?://[^\s<>\"`]+$")] | None = None
    """Where it was published, for the same."""

    rules: dict[str, Rules] = {}
    """By language, `default` for the others: what is said here holds for this source in place of what `corpus.rules` says."""

    @model_validator(mode="after")
    def _keys_fit_the_format(self) -> Source:
        for key, formats in _FORMATS_OF.items():
            if self.format not in formats and getattr(self, key) != type(self).model_fields[key].default:
                raise ValueError(f"{key} is for {' and '.join(formats)}, not for {self.format}")
        return self

    @model_serializer(mode="wrap")
    def _tell_what_is_said(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Keys that came after the first version are told where they say something, so that older artifacts stay valid.

        `generated` is always told of a tree: its default rejects what was kept before there was such a key.
        """
        told = handler(self)
        for key in _LATER_KEYS:
            if getattr(self, key) == type(self).model_fields[key].default and (key, self.format) != ("generated", "tree"):
                told.pop(key, None)
        return dict(told)


TERMS = ("license", "url")
"""Keys that are told to people, and are part of no identity: see `schemas.terms`."""

_OF_FIELDS = ("jsonl", "csv", "tsv", "parquet", "arrow")
_FORMATS_OF = {
    "unit": ("txt",),
    "text_field": _OF_FIELDS,
    "extra_fields": _OF_FIELDS,
    "columns": ("csv", "tsv"),
    "delimiter": ("csv",),
    "main_text": ("html", "warc"),
    "namespaces": ("mediawiki",),
    "generated": ("tree",),
}
_LATER_KEYS = ("extra_fields", "columns", "delimiter", "main_text", "namespaces", "generated", "members", *TERMS, "rules")
