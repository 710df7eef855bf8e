"""The model: CoNLL files have a word a line, in columns between tabs or spaces, and a blank line after each *sentence*. `-DOCSTART-` begins
a document; its first sentence names the group of all of its sentences.

CoNLL-U has ten columns of known names. Ranges of words (1-2) and empty nodes (1.1) are no words there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from model.examples.rows import Fault, Row, lines_of
from schemas.errors import RequestError
from schemas.recipe.task import TaskData

_U = ("ID", "FORM", "LEMMA", "UPOS", "XPOS", "FEATS", "HEAD", "DEPREL", "DEPS", "MISC")
_DOCUMENT = "-DOCSTART-"
_COMMENT = re.compile(r"#\s*(?:[\w.:-]+\s*=|id\b|newdoc\b|newpar\b)")
"""A word may be a `#`: a comment is what gives a value, or begins a document or a paragraph. In CoNLL-U, all that begins with one."""


@dataclass
class _Sentence:
    """The lines of a sentence so far."""

    begin: int
    comments: list[str] = field(default_factory=list)
    words: list[tuple[int, list[str]]] = field(default_factory=list)
    """Columns, with the line."""


def read(content: bytes, data: TaskData) -> Iterator[Row | Fault]:
    """Sentences; of the columns, the first holds words and the last tags, unless `data.fields` says otherwise."""
    names: Sequence[str] | None = None
    group = None
    document_begins = False
    for sentence in _sentences(content, _COMMENT):
        for comment in sentence.comments:
            if comment.startswith("# global.columns"):
                names = comment.partition("=")[2].split()
            document_begins |= comment.startswith("# newdoc")
        if sentence.words and sentence.words[0][1][0] == _DOCUMENT:
            document_begins = True
            sentence.words.pop(0)
        if not sentence.words:
            continue
        if document_begins:
            group, document_begins = " ".join(cells[0] for _, cells in sentence.words), False
        yield _row(sentence, _column("words", data, 0, names), _column("tags", data, -1, names), group)


def read_u(content: bytes, data: TaskData) -> Iterator[Row | Fault]:
    """Sentences of CoNLL-U: FORM and UPOS, unless `data.fields` says otherwise."""
    words, tags = _column("words", data, 1, _U), _column("tags", data, 3, _U)
    group = None
    document_begins = False
    for sentence in _sentences(content, re.compile("#")):
        document_begins |= any(comment.startswith("# newdoc") for comment in sentence.comments)
        sentence.words = [(line, cells) for line, cells in sentence.words if not re.fullmatch(r"\d+[-.]\d+", cells[0])]
        if not sentence.words:
            continue
        wrong = next((line for line, cells in sentence.words if len(cells) != len(_U)), None)
        if wrong is not None:
            yield Fault(f"line {sentence.begin}", "wrong_columns", f"line {wrong} has not the {len(_U)} columns of CoNLL-U, between tabs")
            continue
        untagged = next((line for line, cells in sentence.words if cells[tags] == "_"), None)
        if untagged is not None:
            yield Fault(f"line {sentence.begin}", "missing_field", f"line {untagged} has no {_U[tags]}")
            continue
        if document_begins:
            group, document_begins = " ".join(cells[1] for _, cells in sentence.words), False
        yield _row(sentence, words, tags, group)


def _sentences(content: bytes, comment: re.Pattern[str]) -> Iterator[_Sentence]:
    sentence: _Sentence | None = None
    for number, line in lines_of(content):
        if not line.strip():
            if sentence:
                yield sentence
            sentence = None
            continue
        sentence = sentence or _Sentence(number)
        if not sentence.words and comment.match(line):
            sentence.comments.append(line)
        else:
            sentence.words.append((number, line.split("\t") if "\t" in line else line.split()))
    if sentence:
        yield sentence


def _row(sentence: _Sentence, words: int, tags: int, group: str | None) -> Row | Fault:
    place = f"line {sentence.begin}"
    width = len(sentence.words[0][1])
    for line, cells in sentence.words:
        if len(cells) != width:
            return Fault(place, "wrong_columns", f"line {line} has {len(cells)} columns, and the sentence begins with {width}")
        if not max(words, tags) < width:
            return Fault(place, "missing_field", f"line {line} has {width} columns, so none is number {max(words, tags)}")
    if width == 1 and words != tags:
        return Fault(place, "missing_field", f"line {sentence.words[0][0]} has one column, so no tag")
    named = next((comment.partition("=")[2].strip() for comment in sentence.comments if comment.startswith("# sent_id")), None)
    values = {"words": [cells[words] for _, cells in sentence.words], "tags": [cells[tags] for _, cells in sentence.words]}
    return Row(place, {**values, "id": named} if named else values, group)


def _column(what: str, data: TaskData, default: int, names: Sequence[str] | None) -> int:
    """Number of the column that holds words or tags."""
    asked = data.fields.get(what)
    if asked is None:
        return default
    if asked.isdecimal():
        return int(asked)
    if names is None:
        raise RequestError(
            f"data.fields.{what}: {asked!r} is the name of a column, and the file has no `# global.columns` line: give its number"
        )
    if asked not in names:
        raise RequestError(f"data.fields.{what}: there is no column {asked!r}: they are {', '.join(names)}")
    return names.index(asked)
