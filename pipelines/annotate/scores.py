"""The model: *scores* compare what a system says of a raw text with gold, as the CoNLL 2018 shared task does (Zeman et al. 2018,
section 4.2): words are *spans* of the text's characters with white space left out, and a system's word is right if its span is
one of gold's. The words of a multiword token share its span; inside of it words are aligned by the longest common subsequence
of their forms. F1 is the harmonic mean of precision and recall; tags are scored over aligned words.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from pipelines.annotate.conllu import Sentence


class Scored(NamedTuple):
    """One word as it is compared; `start` and `end` count characters that aren't white space."""

    start: int
    end: int
    form: str
    upos: str | None
    in_multiword: bool


class Analysis(NamedTuple):
    """All words and sentences of one text."""

    words: list[Scored]
    sentences: list[tuple[int, int]]
    characters: str
    """The text without white space."""


class Counts(NamedTuple):
    """What F1 is made of; counts of several texts add up."""

    gold: int
    system: int
    right: int

    def __add__(self, other: object) -> Counts:
        assert isinstance(other, Counts)
        return Counts(self.gold + other.gold, self.system + other.system, self.right + other.right)

    @property
    def f1(self) -> float:
        """In 0..1; 0 if there is nothing."""
        total = self.gold + self.system
        return 2 * self.right / total if total else 0.0


NOTHING = Counts(0, 0, 0)


class Scores(NamedTuple):
    """Of words, sentences and tags of one text, or of many added up."""

    words: Counts = NOTHING
    sentences: Counts = NOTHING
    upos: Counts = NOTHING

    def __add__(self, other: object) -> Scores:
        assert isinstance(other, Scores)
        return Scores(self.words + other.words, self.sentences + other.sentences, self.upos + other.upos)


def of_gold(sentences: Sequence[Sentence]) -> Analysis:
    """The analysis that a file gives."""
    words: list[Scored] = []
    spans, parts, at = [], [], 0
    for sentence in sentences:
        begin = at
        for token in sentence.tokens:
            form = "".join(token.form.split())
            several = len(token.words) > 1
            words += [Scored(at, at + len(form), "".join(word.form.split()), word.upos, several) for word in token.words]
            parts.append(form)
            at += len(form)
        spans.append((begin, at))
    return Analysis(words, spans, "".join(parts))


def of_system(text: str, words: Sequence[tuple[int, int, str | None]], sentence_ends: Sequence[int]) -> Analysis:
    """The analysis by spans of `text` in characters: (start, end, tag) of words, and where sentences end."""
    seen = [0]
    for character in text:
        seen.append(seen[-1] + (not character.isspace()))
    scored = [Scored(seen[start], seen[end], "".join(text[start:end].split()), upos, False) for start, end, upos in words]
    spans = [(seen[a], seen[b]) for a, b in pairwise([0, *sentence_ends])]
    return Analysis(scored, [span for span in spans if span[0] < span[1]], "".join(text.split()))


def compare(gold: Analysis, system: Analysis) -> Scores:
    """Scores of a system's analysis of the gold text. Raises `ValueError` if the texts differ in more than white space."""
    if gold.characters != system.characters:
        raise ValueError("the system's text isn't the gold text")
    aligned = _align(gold.words, system.words)
    agreed = sum(a.upos is not None and a.upos == b.upos for a, b in aligned)
    n, m = len(gold.words), len(system.words)
    whole = len(set(gold.sentences) & set(system.sentences))
    return Scores(Counts(n, m, len(aligned)), Counts(len(gold.sentences), len(system.sentences), whole), Counts(n, m, agreed))


def _align(gold: Sequence[Scored], system: Sequence[Scored]) -> list[tuple[Scored, Scored]]:
    """Pairs of gold and system words that are the same word, in order."""
    pairs: list[tuple[Scored, Scored]] = []
    g = s = 0
    while g < len(gold) and s < len(system):
        a, b = gold[g], system[s]
        if a.in_multiword or b.in_multiword:
            if min(a.end, b.end) <= max(a.start, b.start):  # one lies wholly before the other
                g, s = (g + 1, s) if a.start < b.start else (g, s + 1)
                continue
            g_end, s_end = _multiword_region(gold, system, g, s)
            pairs += _common(gold[g:g_end], system[s:s_end])
            g, s = g_end, s_end
        elif (a.start, a.end) == (b.start, b.end):
            pairs.append((a, b))
            g, s = g + 1, s + 1
        elif a.start <= b.start:
            g += 1
        else:
            s += 1
    return pairs


def _multiword_region(gold: Sequence[Scored], system: Sequence[Scored], g: int, s: int) -> tuple[int, int]:
    """Where the words end that lie, on both sides, within the multiword tokens that begin or go on at `g` and `s`."""
    end = max(word.end for word in (gold[g], system[s]) if word.in_multiword)
    while True:
        before = end
        for words, at in ((gold, g), (system, s)):
            while at < len(words) and words[at].start < end:
                if words[at].in_multiword:
                    end = max(end, words[at].end)
                at += 1
        if end == before:
            break

    def behind(words: Sequence[Scored], at: int) -> int:
        while at < len(words) and words[at].end <= end:
            at += 1
        return at

    # at least one step, so that a word that sticks out behind the region can't hold the walk up
    return max(behind(gold, g), g + gold[g].in_multiword), max(behind(system, s), s + system[s].in_multiword)


def _common(gold: Sequence[Scored], system: Sequence[Scored]) -> list[tuple[Scored, Scored]]:
    """A longest common subsequence by form, whatever the case of its letters."""
    longest = [[0] * (len(system) + 1) for _ in range(len(gold) + 1)]
    for g in reversed(range(len(gold))):
        for s in reversed(range(len(system))):
            same = gold[g].form.lower() == system[s].form.lower()
            longest[g][s] = 1 + longest[g + 1][s + 1] if same else max(longest[g + 1][s], longest[g][s + 1])
    pairs, g, s = [], 0, 0
    while g < len(gold) and s < len(system):
        if gold[g].form.lower() == system[s].form.lower():
            pairs.append((gold[g], system[s]))
            g, s = g + 1, s + 1
        elif longest[g + 1][s] >= longest[g][s + 1]:
            g += 1
        else:
            s += 1
    return pairs
