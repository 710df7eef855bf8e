"""The model: a *line of boilerplate* is what a page says about itself: a cookie banner, a button, a notice of rights. The terms of
lists tell such lines. A term is a whole line, whatever its case, white space and the punctuation at its ends; a `*` in it stands for
anything. Longer lines than the recipe says are prose that only sounds like one.

A *duplicate line* stood earlier in the same document, white space at its ends aside.

Lines go whole, with their line break. Boilerplate goes first; a document's language doesn't matter, for a Chinese page may ask for
cookies in English.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable
from functools import cache
from importlib.resources import files

from ahocorasick_rs import AhoCorasick, MatchKind

from pipelines.categories import having, text_of
from pipelines.word_lists import read_list, terms_of
from schemas.fingerprint import digest_json
from schemas.recipe import Boilerplate, Clean


def cut_lines(text: str, settings: Clean) -> tuple[str, dict[str, int]]:
    """The text without the lines that the settings name, and the UTF-8 bytes that went (`boilerplate_lines`, `duplicate_lines`).

    Kinds that took nothing are left out. Idempotent. Raises `RequestError` naming a list that can't be read.
    """
    changed: dict[str, int] = {}
    if settings.boilerplate_lines is not None:
        lines = text.split("\n")
        found = _open(settings.boilerplate_lines).found(text, settings.boilerplate_lines.max_characters)
        text = _without(text, lines, found, "boilerplate_lines", changed)
    if (at_least := settings.duplicate_lines) is not None and "\n" in text:
        lines = text.split("\n")
        text = _without(text, lines, _repeated(lines, at_least), "duplicate_lines", changed)
    return text, changed


def _without(text: str, lines: list[str], numbers: set[int], kind: str, changed: dict[str, int]) -> str:
    if not numbers:
        return text
    rest = "\n".join(line for number, line in enumerate(lines) if number not in numbers)
    changed[kind] = len(text.encode()) - len(rest.encode())
    return rest


def _repeated(lines: list[str], at_least: int) -> set[int]:
    """Numbers of the lines of so many characters that stood earlier."""
    seen: set[str] = set()
    found = set()
    for number, line in enumerate(lines):
        if len(line) >= at_least and len(stripped := line.strip()) >= at_least:
            if stripped in seen:
                found.add(number)
            seen.add(stripped)
    return found


class Terms:
    """See the module."""

    def __init__(self, terms: Iterable[str]) -> None:
        folded = sorted({_bare(_folded(term), _marks()) for term in terms} - {"", "*"})
        self._whole = frozenset(term for term in folded if "*" not in term)
        open_ended = [term for term in folded if "*" in term]
        self._pattern = re.compile("|".join(".*".join(map(re.escape, term.split("*"))) for term in open_ended) or "(?!)")
        pieces = {max(term.split("*"), key=len) for term in folded}
        self._pieces = AhoCorasick(sorted(pieces), matchkind=MatchKind.Standard) if pieces else None

    def found(self, text: str, max_characters: int) -> set[int]:
        """Numbers of the lines that are boilerplate: only lines that hold the longest piece of some term are looked at."""
        folded = _folded(text)
        if self._pieces is None or not (hits := self._pieces.find_matches_as_indexes(folded)):
            return set()
        lines = folded.split("\n")
        starts = [0]
        for line in lines:
            starts.append(starts[-1] + len(line) + 1)
        numbers = {bisect_right(starts, start) - 1 for _, start, _ in hits}
        return {number for number in numbers if self._is_one(lines[number], max_characters)}

    def _is_one(self, folded: str, max_characters: int) -> bool:
        bare = _bare(folded, _marks() + "*")
        return len(bare) <= max_characters and (bare in self._whole or self._pattern.fullmatch(bare) is not None)


def _folded(text: str) -> str:
    """In lower case, and with the colon that is written in either width as one."""
    return text.casefold().replace("：", ":")


def _bare(line: str, marks: str) -> str:
    """A line without some marks at its ends, and with a space for any white space within."""
    return " ".join(line.split()).strip(marks)


@cache
def _marks() -> str:
    """What doesn't count at the ends of a line; the star, which means something in a term, is left out."""
    return text_of(having(("P", "Z"))).replace("*", "") + "|<>→←↑^+"


@cache
def _open(settings: Boilerplate) -> Terms:
    contents = _own_lists() if settings.own_lists else []
    return Terms(term for content in [*contents, *map(read_list, settings.lists)] for term in terms_of(content))


def own_lists_digest() -> str:
    """Of the contents of the lists that ship."""
    return digest_json(_own_lists())[:8]


def _own_lists() -> list[str]:
    shipped = (entry for entry in files("pipelines.clean").joinpath("lists").iterdir() if entry.name.endswith(".txt"))
    return [entry.read_text(encoding="utf-8") for entry in sorted(shipped, key=lambda entry: entry.name)]
