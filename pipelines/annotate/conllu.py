"""The model: a *CoNLL-U file* (universaldependencies.org/format.html) holds *sentences* of *tokens*; a token is a stretch of the
text and stands for one *word* (`house`) or several (`don't`: `do`, `n't`; then it is a multiword token). A *gold text* is what
annotators are given: one document, its sentences joined as the file says.

Read here are words, tags, spaces, paragraphs and documents. Empty nodes (`8.1`) are no part of the text and are skipped.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from schemas.arrow import UPOS_CODE
from schemas.errors import RequestError

UNSPACED = frozenset({"zh", "ja", "th", "lo", "km", "my"})
"""Languages that put no space between sentences."""

_COLUMNS = 10


class Word(NamedTuple):
    """A syntactic word."""

    form: str
    upos: str | None
    """One of `schemas.arrow.UPOS`; null where the file has `_`."""


class Token(NamedTuple):
    """What stands in the text, and the words that it stands for."""

    form: str
    words: tuple[Word, ...]
    space_after: bool


class Sentence(NamedTuple):
    """One sentence of a file."""

    text: str | None
    """As the file gives it in `# text`."""
    tokens: tuple[Token, ...]
    begins_document: bool
    begins_paragraph: bool


def read(path: Path) -> Iterator[Sentence]:
    """Sentences of a file, plain or `.gz`. Raises `RequestError` naming file and line where it is not CoNLL-U."""
    tokens: list[Token] = []
    comments: dict[str, str] = {}
    inside = 0
    """Words of the last token that are still to come."""
    number = 0
    for number, line in enumerate(_lines(path), 1):
        if line.startswith("#") and not tokens:
            key, _, value = line[1:].partition("=")
            key = key.strip()
            comments[key.split(" ")[0] if key.startswith(("newdoc", "newpar")) else key] = value.strip()
            continue
        if line:
            columns = line.split("\t")
            if len(columns) != _COLUMNS:
                raise _wrong(path, number, f"{len(columns)} columns separated by tabs instead of {_COLUMNS}")
            name, form, upos, misc = columns[0], columns[1], columns[3], columns[9]
            if "." in name:
                continue
            first, dash, last = name.partition("-")
            if not (first.isdecimal() and (last.isdecimal() if dash else True)):
                raise _wrong(path, number, f"{name!r} is no word number")
            space_after = "SpaceAfter=No" not in misc.split("|")
            if dash:
                inside = int(last) - int(first) + 1
                if inside < 1:
                    raise _wrong(path, number, f"{name!r} holds no words")
                tokens.append(Token(form, (), space_after))
                continue
            if upos != "_" and upos not in UPOS_CODE:
                raise _wrong(path, number, f"{upos!r} is no universal part of speech")
            word = Word(form, None if upos == "_" else upos)
            if inside:
                tokens[-1] = tokens[-1]._replace(words=(*tokens[-1].words, word))
                inside -= 1
            else:
                tokens.append(Token(form, (word,), space_after))
        elif tokens:
            if inside:
                raise _wrong(path, number, f"the sentence ends inside of the token {tokens[-1].form!r}")
            yield _sentence(tokens, comments)
            tokens, comments = [], {}
    if inside:
        raise _wrong(path, number, f"the file ends inside of the token {tokens[-1].form!r}")
    if tokens:
        yield _sentence(tokens, comments)


def gold_texts(sentences: Sequence[Sentence], lang: str) -> list[tuple[str, list[Sentence]]]:
    """Each document's text and sentences; all are one document if the file marks none.

    Between sentences stands a space, or nothing after `SpaceAfter=No` or in languages without spaces; between paragraphs a blank line.
    """
    documents: list[list[Sentence]] = []
    for sentence in sentences:
        if sentence.begins_document or not documents:
            documents.append([])
        documents[-1].append(sentence)
    return [(_joined(document, lang), document) for document in documents]


def sentence_text(sentence: Sentence, lang: str) -> str:
    """The file's own text of a sentence, else its tokens joined by spaces where they belong."""
    if sentence.text is not None:
        return sentence.text
    gap = "" if lang in UNSPACED else " "
    return "".join(token.form + gap * token.space_after for token in sentence.tokens).strip()


def _joined(document: Sequence[Sentence], lang: str) -> str:
    parts: list[str] = []
    for number, sentence in enumerate(document):
        if number and sentence.begins_paragraph:
            parts.append("\n\n")
        elif number and document[number - 1].tokens[-1].space_after and lang not in UNSPACED:
            parts.append(" ")
        parts.append(sentence_text(sentence, lang))
    return "".join(parts)


def _sentence(tokens: list[Token], comments: dict[str, str]) -> Sentence:
    document = "newdoc" in comments
    return Sentence(comments.get("text"), tuple(tokens), document, document or "newpar" in comments)


def _lines(path: Path) -> Iterator[str]:
    try:
        with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as file:
            for line in file:
                yield line.rstrip("\r\n")
    except OSError as error:
        raise RequestError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (UnicodeDecodeError, EOFError) as error:
        raise RequestError(f"{path}: not a CoNLL-U file: {error}") from error


def _wrong(path: Path, line: int, what: str) -> RequestError:
    return RequestError(f"{path}:{line}: not CoNLL-U: {what}")
