"""The model: ROUGE (Lin 2004) counts what an answer has in common with a text that was wanted: *grams* of one or two tokens, or the longest
common subsequence. An item's score is the F-measure with the text that it meets best.

A token is a run of a-z and 0-9 in lower case, as rouge-score's without stemming; in texts that count by characters also each Han
character and kana. Of other letters ROUGE knows nothing, there as here.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise

from model.metrics.metric import Floats, Metric, f1, mean, scored
from model.metrics.writing import CHARACTER, by_characters, texts

_LATIN = re.compile("[a-z0-9]+")
_MIXED = re.compile(f"[a-z0-9]+|{CHARACTER}")


def rouge_1(lang: str | None) -> Metric:
    return _rouge("rouge_1", lang, lambda a, b: _in_common(a, b))


def rouge_2(lang: str | None) -> Metric:
    return _rouge("rouge_2", lang, lambda a, b: _in_common(list(pairwise(a)), list(pairwise(b))))


def rouge_l(lang: str | None) -> Metric:
    return _rouge("rouge_l", lang, lambda a, b: f1(subsequence(a, b), len(a), len(b)))


def _rouge(name: str, lang: str | None, score: Callable[[Sequence[str], Sequence[str]], float]) -> Metric:
    def statistics(answer: str, wanted: str | Sequence[str]) -> Floats:
        any_of = texts(wanted)
        pattern = _MIXED if by_characters(lang, any_of) else _LATIN
        found = tokens(answer, pattern)
        return scored(max(score(found, tokens(text, pattern)) for text in any_of))

    cut = "script" if lang is None else "characters" if by_characters(lang, ()) else "latin"
    return Metric(name, "higher", f"{name}|f1|tok:{cut}|stem:no|v1", statistics, mean)


def tokens(text: str, pattern: re.Pattern[str] = _MIXED) -> list[str]:
    """
    >>> tokens("The GPU-2显卡，ok")
    ['the', 'gpu', '2', '显', '卡', 'ok']
    """
    return pattern.findall(text.lower())


def _in_common(found: Sequence[object], wanted: Sequence[object]) -> float:
    return f1((Counter(found) & Counter(wanted)).total(), len(found), len(wanted))


def subsequence(a: Sequence[str], b: Sequence[str]) -> int:
    """Length of the longest common subsequence, by a row of bits (Hyyrö 2004): a machine word's worth of `a` at a time.

    >>> subsequence("police killed the gunman".split(), "police kill the gunman".split())
    3
    """
    places: dict[str, int] = {}
    for place, token in enumerate(a):
        places[token] = places.get(token, 0) | 1 << place
    full = (1 << len(a)) - 1
    row = full
    for token in b:
        meets = row & places.get(token, 0)
        row = (row + meets | row - meets) & full
    return len(a) - row.bit_count()
