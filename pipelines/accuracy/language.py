"""The model: identification of languages is right about a text if it names the language that the text is labelled with. What
it is right about is counted by language and by *length*, the number of characters of the text.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

from pipelines.language import identify

LENGTHS = (10, 20, 50, 100, 200)
"""Where one class of lengths ends and the next one begins."""


@dataclass(frozen=True)
class OfLanguage:
    """Of the texts of one language."""

    texts: int
    right: int
    by_length: dict[str, tuple[int, int]]
    """Texts, and how many of them were right, by class of lengths."""
    taken_for: dict[str, int]
    """How often it was taken for which other one, the most frequent first."""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def evaluate(labelled: Sequence[tuple[str, str]]) -> dict[str, OfLanguage]:
    """By language, what identification makes of (language, text) pairs."""
    found, _ = identify([text for _, text in labelled])
    scores = {}
    for lang in sorted({lang for lang, _ in labelled}):
        own = [(length_class(len(text)), code) for (label, text), code in zip(labelled, found, strict=True) if label == lang]
        total, right = Counter(length for length, _ in own), Counter(length for length, code in own if code == lang)
        wrong = Counter(code for _, code in own if code != lang)
        by_length = {name: (total[name], right[name]) for name in LENGTH_CLASSES if total[name]}
        scores[lang] = OfLanguage(len(own), right.total(), by_length, dict(sorted(wrong.items(), key=lambda one: (-one[1], one[0]))))
    return scores


def length_class(chars: int) -> str:
    """The class that a text of so many characters falls into."""
    return LENGTH_CLASSES[sum(chars >= limit for limit in LENGTHS)]


LENGTH_CLASSES = (f"1-{LENGTHS[0] - 1}", *(f"{a}-{b - 1}" for a, b in pairwise(LENGTHS)), f"{LENGTHS[-1]}+")
