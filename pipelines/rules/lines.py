"""The model: a *line* is what new lines part, white space at its ends aside, and is one only if something is left; a *paragraph* is
lines without a blank one between them. What is measured on them are shares of a text's lines, or of the characters in them.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from pipelines.characters import codes_of
from pipelines.rules.grams import runs
from pipelines.scripts import BYTES, SCRIPTS, scripts
from pipelines.span_hashes import GOLDEN, Ints, SpanHashes

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.uint32]
Numbers = npt.NDArray[np.float64] | npt.NDArray[np.int64]

END_MARKS = codes_of(".!?…。！？｡．؟।॥;；\"'”’»」』")
"""Terminal punctuation, and the quotes that close a sentence after it."""

_BULLETS = codes_of("•‣⁃▪▫●○◦■□◆◇►▶※・·-*–")
_DOTS = codes_of(".。")
_ELLIPSIS = ord("…")
_SHORT = 30
"""Characters up to which a line is short (Penedo et al. 2024, FineWeb, arXiv:2406.17557)."""

_BOILERPLATE = ("javascript", "terms of use", "privacy policy")
"""What C4 drops lines for (Raffel et al. 2020 and its code), beside these:"""
_COOKIES = ("cookie policy", "uses cookies", "use of cookies", "use cookies")


class Lines:
    """The lines of many texts in one array of code points, each text with a new line behind it."""

    def __init__(self, codes: Codes, starts: Ints, ends: Ints, text: npt.NDArray[np.int32], texts: int) -> None:
        """`starts` and `ends` are of all runs of characters that aren't white space, `text` is the text of each character."""
        self._codes, self._texts = codes, texts
        self.breaks: Ints = np.flatnonzero(codes == ord("\n"))
        after = np.searchsorted(starts, self.breaks)  # no run goes on beyond a line
        before = np.concatenate(([0], after[:-1]))
        self._filled = np.flatnonzero(after > before)
        """Numbers of the lines among all, blank ones too."""
        self._text = text[self.breaks[self._filled]]
        self._starts = starts[before[self._filled]]
        self._ends = ends[after[self._filled] - 1]
        self._total = np.bincount(self._text, minlength=texts)

    def measure(self, spans: SpanHashes) -> Mapping[str, Floats]:
        """Signals of lines and paragraphs by name, each of shape (texts,)."""
        lengths = self._ends - self._starts
        size = self._sum(lengths)
        again = _repeats(spans.of(self._starts, self._ends), self._text)
        first = np.ones(self._filled.size, np.bool_)
        first[1:] = (np.diff(self._filled) > 1) | (np.diff(self._text) > 0)
        at = np.flatnonzero(first)
        ends = self._ends[np.append(at[1:] - 1, self._filled.size - 1)[: at.size]]
        paragraphs = self._text[at]
        repeated = _repeats(spans.of(self._starts[at], ends), paragraphs)
        of_repeated = np.bincount(paragraphs[repeated], (ends - self._starts[at])[repeated], self._texts)
        total = np.bincount(paragraphs, minlength=self._texts)
        of_all = np.bincount(paragraphs, ends - self._starts[at], self._texts)
        return {
            "lines_end_punctuation": self._share(np.isin(self._codes[self._ends - 1], END_MARKS)),
            "duplicate_lines": self._share(again),
            "duplicate_line_chars": ratio(self._sum(lengths * again), size),
            "duplicate_paragraphs": ratio(np.bincount(paragraphs[repeated], minlength=self._texts), total),
            "duplicate_paragraph_chars": ratio(of_repeated, of_all),
            "short_lines": self._share(lengths <= _SHORT),
            "bullet_lines": self._share(np.isin(self._codes[self._starts], _BULLETS)),
            "ellipsis_lines": self._share(self._end_in_ellipsis()),
        }

    def boilerplate(self, lower: str) -> Floats:
        """Share of lines that hold a phrase of boilerplate; `lower` is all text in lower case."""
        held = np.zeros(self._filled.size, np.bool_)
        for phrase in (*_BOILERPLATE, *(_COOKIES if "cookie" in lower else ())):
            held[np.searchsorted(self._starts, places_of(phrase, lower), "right") - 1] = True
        return self._share(held)

    def other_script(self) -> Floats:
        """Share of the letters, as bytes of UTF-8, that stand in lines where another script than the text's prevails."""
        kinds = scripts()[self._codes]
        line = np.repeat(np.arange(self.breaks.size) * SCRIPTS, np.diff(self.breaks, prepend=-1))
        table = np.bincount(line + kinds, minlength=self.breaks.size * SCRIPTS).reshape(-1, SCRIPTS) * BYTES
        table = table[self._filled]
        whole = np.stack([self._sum(column) for column in table.T], 1)
        lettered = table.sum(1)
        other = (table.argmax(1) != whole.argmax(1)[self._text]) & (lettered > 0)
        return ratio(self._sum(lettered * other), whole.sum(1))

    def _end_in_ellipsis(self) -> npt.NDArray[np.bool_]:
        last = self._codes[self._ends - 1]
        found = last == _ELLIPSIS
        long = self._ends - self._starts >= 3
        for dot in _DOTS:
            found |= long & (last == dot) & (self._codes[self._ends - 2] == dot) & (self._codes[self._ends - 3] == dot)
        return found

    def _share(self, marked: npt.NDArray[np.bool_]) -> Floats:
        return ratio(np.bincount(self._text[marked], minlength=self._texts), self._total)

    def _sum(self, values: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        return np.bincount(self._text, values, self._texts).astype(np.float64)


def ratio(part: Numbers, whole: Numbers) -> Floats:
    """`part` over `whole`, 0 where the whole is 0."""
    return np.asarray(part / np.maximum(whole, 1) * (whole > 0), np.float64)


def places_of(phrase: str, text: str) -> Ints:
    """Where a phrase stands in a text."""
    places, at = [], text.find(phrase)
    while at >= 0:
        places.append(at)
        at = text.find(phrase, at + len(phrase))
    return np.array(places, np.int64)


def _repeats(hashes: npt.NDArray[np.uint64], text: npt.NDArray[np.int32]) -> npt.NDArray[np.bool_]:
    """Which spans repeat an earlier one of their text."""
    repeats = np.ones(hashes.size, np.bool_)
    if hashes.size:
        keys = hashes * GOLDEN + text.astype(np.uint64)
        order = np.argsort(keys)
        repeats[np.minimum.reduceat(order, runs(keys[order]))] = False
    return repeats
