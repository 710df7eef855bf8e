"""The model: a *lexicon* is all terms for one language, from lists (`pipelines.word_lists`), and scores a text: the share of its
characters, white space aside, that stand in terms. A term counts as a whole word, unless it is written in a script that puts no
spaces between words: then it counts wherever it stands. Upper and lower case are the same.

All terms are looked for at once (Aho and Corasick 1975), so a list may be long.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib.resources import files

import numpy as np
import numpy.typing as npt
from ahocorasick_rs import AhoCorasick, MatchKind

from pipelines.word_lists import read_list, terms_of
from schemas.fingerprint import digest_json
from schemas.recipe import Harmful

DEFAULT = "default"
"""Lists under this name serve every language."""

_UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U000323af]")


class Lexicon:
    """See the module."""

    def __init__(self, terms: Iterable[str]) -> None:
        self._terms = sorted({term.casefold() for term in terms})
        self._automaton = AhoCorasick(self._terms, matchkind=MatchKind.Standard) if self._terms else None

    def score(self, text: str) -> float:
        """0 to 1; 0 for a text without a character."""
        folded = " ".join(text.casefold().split())
        if self._automaton is None or not (hits := self._automaton.find_matches_as_indexes(folded, overlapping=True)):
            return 0.0
        harmful = done = 0
        for start, end in sorted((start, end) for _, start, end in hits if _whole(folded, start, end)):
            harmful += max(0, end - max(start, done)) - folded.count(" ", max(start, done), max(end, done))
            done = max(done, end)
        return harmful / max(1, len(folded) - folded.count(" "))


class Lexicons:
    """The lexicons of a recipe, by language."""

    def __init__(self, lists: Mapping[str, Sequence[str]]) -> None:
        """`lists` are the contents of lists by language."""
        terms = {lang: [term for content in contents for term in terms_of(content)] for lang, contents in lists.items()}
        for_all = terms.pop(DEFAULT, [])
        self._by_language = {lang: Lexicon([*of_lang, *for_all]) for lang, of_lang in terms.items()}
        self._others = Lexicon(for_all)

    def scores(self, texts: Sequence[str], langs: Sequence[str]) -> npt.NDArray[np.float32]:
        """The score of each text by its language's lexicon."""
        scored = (self._by_language.get(lang, self._others).score(text) for text, lang in zip(texts, langs, strict=True))
        return np.fromiter(scored, np.float32, len(texts))


def harmful_scores(settings: Harmful | None, texts: Sequence[str], langs: Sequence[str]) -> npt.NDArray[np.float32] | None:
    """The score of each text by the lists of a section; null without one. Lists are read once a process.

    Raises `RequestError` naming a list that can't be read.
    """
    return None if settings is None else _open(settings.own_lists, tuple(sorted(settings.lists.items()))).scores(texts, langs)


@cache
def _open(own: bool, named: tuple[tuple[str, tuple[str, ...]], ...]) -> Lexicons:
    contents = own_lists() if own else {}
    for lang, paths in named:
        contents.setdefault(lang, []).extend(read_list(path) for path in paths)
    return Lexicons(contents)


def own_lists_digest() -> str:
    """Of the contents of the lists that ship."""
    return digest_json(own_lists())[:8]


def own_lists() -> dict[str, list[str]]:
    shipped = (entry for entry in files("pipelines.harmful").joinpath("lists").iterdir() if entry.name.endswith(".txt"))
    return {entry.name.removesuffix(".txt"): [entry.read_text(encoding="utf-8")] for entry in shipped}


def _whole(text: str, start: int, end: int) -> bool:
    """Whether no word goes on beyond either end of a match; scripts without spaces have no such ends."""
    if _UNSPACED.match(text[start]) and _UNSPACED.match(text[end - 1]):
        return True
    return not ((start and text[start - 1].isalnum()) or (end < len(text) and text[end].isalnum()))
