"""The model: tags of entities say which words belong to one, by a *scheme*. In IOB2 a `B-` begins each; IOB1 writes `B-` only where an
entity follows another of its type; IOBES, BILOU and BMES mark the last word and lone ones, too. All become IOB2, which metrics score. Tags
without such prefixes, as parts of speech, stay as they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Literal

from model.examples.rows import Unusable

Scheme = Literal["none", "iob1", "iob2", "iobes"]

_TAG = re.compile(r"([BIESLUM])-(.+)", re.DOTALL)
_ALIAS = {"L": "E", "U": "S", "M": "I"}
_AFTER = {"B": "IE", "I": "IE", "E": "BSO", "S": "BSO", "O": "BSO"}
"""In IOBES, what may stand after a tag."""


def scheme_of(sentences: Iterable[Sequence[str]]) -> Scheme:
    """By what scheme the sentences of a file are tagged; by none if most tags have no prefix. A few slips don't change that."""
    marks: set[str] = set()
    orphans, needless, prefixed, others = False, False, 0, 0
    for tags in sentences:
        for before, tag in pairwise(("O", *tags)):
            mark, kind = _parted(tag)
            if kind is None:
                others += mark is None
                continue
            prefixed += 1
            marks.add(mark or "")
            follows = _parted(before)[1] == kind
            orphans |= mark == "I" and not follows
            needless |= mark == "B" and not follows
    if others > prefixed:
        return "none"
    if marks & set("ES"):
        return "iobes"
    return "iob1" if orphans and not needless else "iob2"


def as_iob2(tags: Sequence[str], scheme: Scheme) -> tuple[str, ...]:
    """The tags of a sentence in IOB2. Raises `Unusable` if they break their scheme."""
    if scheme == "none":
        return tuple(tags)
    written = []
    last = "O"
    kind: str | None = None
    for number, tag in enumerate(tags, 1):
        mark, now = _parted(tag)
        if mark is None:
            raise Unusable("invalid_tags", f"word {number} has {tag!r}, where tags are O, or B-, I- (E-, S-) and a type")
        follows = now is not None and now == kind
        if scheme == "iobes":
            _check(number, tag, mark, last, follows)
            begins = mark in ("B", "S")
        elif scheme == "iob2":
            if mark == "I" and not follows:
                raise Unusable("invalid_tags", f"word {number} has {tag}, and no entity of that type goes before it")
            begins = mark == "B"
        else:
            begins = mark == "B" or not follows
        written.append("O" if now is None else f"{'B' if begins else 'I'}-{now}")
        last, kind = mark, now
    if scheme == "iobes" and last in "BI":
        raise Unusable("invalid_tags", f"the last word has {tags[-1]}, and its entity does not end")
    return tuple(written)


def _check(number: int, tag: str, mark: str, last: str, follows: bool) -> None:
    if mark not in _AFTER[last] or (mark in "IE" and not follows):
        raise Unusable("invalid_tags", f"word {number} has {tag} after a tag that begins with {last}")


def _parted(tag: str) -> tuple[str | None, str | None]:
    """Mark and type of a tag: ("B", "PER"), ("O", None), or (None, None) if it is none of an entity."""
    if tag == "O":
        return "O", None
    found = _TAG.fullmatch(tag)
    return (_ALIAS.get(found[1], found[1]), found[2]) if found else (None, None)
