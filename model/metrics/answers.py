"""The model: an answer is a text, and what was wanted is any of several texts, each as good. An item's score is that of the text which it
meets best, and a value the mean over items.

English is *normalised* as SQuAD 1.1's official script does it: lower case, without punctuation and articles; F1 counts words in common.
Chinese as CMRC 2018's: lower case, without the punctuation that it lists; F1 counts the longest run in common, in which each Han character
is a piece, and what stands between them is cut at spaces and punctuation (where the script asks NLTK, which cuts clitics off too). An item
without any answer (SQuAD 2.0) wants an empty one.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Sequence

from model.metrics.metric import Floats, Metric, f1, mean, scored
from model.metrics.writing import by_characters, texts

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)
_CMRC_PUNCTUATION = frozenset(r"-:_*^/\~`+=，。：？！“”；’《》·、「」（）－～『』")
"""Of cmrc2018_evaluate.py; ‘ and … are not among it there, so they count as text here."""
_CMRC_PIECES = re.compile(r"[\u4e00-\u9fa5]|\d+(?:[.,]\d+)+|[^\W\u4e00-\u9fa5]+(?:\.[^\W\u4e00-\u9fa5]+)*|[^\w\s]")


def exact_match(lang: str | None) -> Metric:
    return _best("exact_match", lang, _squad_exact, _cmrc_exact)


def answer_f1(lang: str | None) -> Metric:
    return _best("f1", lang, _squad_f1, _cmrc_f1)


def _best(name: str, lang: str | None, squad: Callable[[str, str], float], cmrc: Callable[[str, str], float]) -> Metric:
    def statistics(answer: str, wanted: str | Sequence[str]) -> Floats:
        any_of = texts(wanted)
        if not any_of:
            return scored(not squad_normal(answer))
        score = cmrc if by_characters(lang, any_of) else squad
        return scored(max(score(answer, text) for text in any_of))

    norm = "squad1.1+cmrc2018" if lang is None else "cmrc2018" if by_characters(lang, ()) else "squad1.1"
    return Metric(name, "higher", f"{name}|norm:{norm}|v1", statistics, mean)


def squad_normal(text: str) -> str:
    """
    >>> squad_normal("The  U.S. Navy, a fleet")
    'us navy fleet'
    """
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_NO_PUNCTUATION)).split())


def _squad_exact(answer: str, wanted: str) -> float:
    return float(squad_normal(answer) == squad_normal(wanted))


def _squad_f1(answer: str, wanted: str) -> float:
    found, true = squad_normal(answer).split(), squad_normal(wanted).split()
    return f1((Counter(found) & Counter(true)).total(), len(found), len(true))


def _without_punctuation(text: str) -> str:
    return "".join(c for c in text.lower().strip() if c not in _CMRC_PUNCTUATION)


def cmrc_pieces(text: str) -> list[str]:
    """
    >>> cmrc_pieces("《Apple》公司, 1,976年")
    ['apple', '公', '司', ',', '1,976', '年']
    """
    return _CMRC_PIECES.findall(_without_punctuation(text))


def _cmrc_exact(answer: str, wanted: str) -> float:
    return float(_without_punctuation(answer) == _without_punctuation(wanted))


def _cmrc_f1(answer: str, wanted: str) -> float:
    found, true = cmrc_pieces(answer), cmrc_pieces(wanted)
    return f1(_longest_run(found, true), len(found), len(true))


def _longest_run(a: Sequence[str], b: Sequence[str]) -> int:
    """Pieces of the longest run that is in both."""
    longest, row = 0, [0] * (len(b) + 1)
    for piece in a:
        row = [0, *(row[place] + 1 if piece == other else 0 for place, other in enumerate(b))]
        longest = max(longest, *row)
    return longest
