"""The model: a *sentence* begins at a word: the first of its text, the first behind a blank line, and the first behind a *terminal*
(`.`, `!`, `?`, `…` and their kin) with the quotes and brackets that close behind it, unless what stands around the terminal speaks
against it:

- behind a dot that belongs to an abbreviation a sentence begins only with a word that often begins one (`in the U.S. The`), and never
  behind a title (`Dr. No`);
- behind closing quotes and runs of dots no sentence begins with a small letter (`"Stop!" he said`, `well ... yes`);
- without white space behind it a terminal ends nothing (`a.b`), but for a dot before a capital (`end.The`);
- a dot behind a number that begins a line or a sentence numbers an item (`1. Do this.`);
- a line break without a terminal ends a sentence, unless a small letter follows or the line was *wrapped*: its next word would have
  made it longer than the longest line of its paragraph.

Chinese and Japanese have rules of their own (`chinese_sentences`).
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pipelines.annotate.chinese_sentences import sentence_ends
from pipelines.annotate.columns import Ints, merged
from pipelines.categories import CODE_POINTS, having, told_of

Flags = npt.NDArray[np.bool_]
Codes = npt.NDArray[np.uint32]

_TITLES = frozenset(
    "adm brig capt cmdr col comdr cpl dr drs fr gen gov hon lt maj messrs mlle mme mr mrs ms msgr mt p.s pres prof rep reps rev sen sens "
    "sgt st ste sts supt".split()
)
"""Abbreviations, in lower case, that stand before a name."""

_STARTERS = frozenset(
    "A After All Also Although An And Any As At Because Before But By Did Do Does During Each Even For From Had Has Have He Her Here His "
    "How However I If In Is It Its Many More Most My No Not Now On One Or Our She Since So Some Such That The Their Then There "
    "These They This Those Though Thus To Two Under Unlike Until We What When Where While Who Why With Would You Your".split()
)
"""Capitalised words that often begin a sentence and seldom a name."""

_DOT, _STRONG, _CLOSES, _QUOTE, _OPENS, _LOWER, _UPPER = (1 << bit for bit in range(7))
_CHARACTERS = {
    _DOT: ".…․。．",
    _STRONG: "!?！？‼⁇⁈⁉؟۔।॥።፧։",
    _CLOSES: ")]}”’»›」』）】》〉",
    _QUOTE: "\"'",
    _OPENS: "([{“‘«‹「『（【《〈¿¡",
}
_LONGEST = 16
_ITEM_DIGITS = 3
_MOST_CLOSERS = 4
_NARROWEST, _WIDEST = 40, 120
"""Characters of the longest line of a paragraph whose lines may have been wrapped."""


class _Words(NamedTuple):
    """The words of joined texts."""

    codes: Codes
    """Of the texts."""
    starts: Ints
    ends: Ints
    first: npt.NDArray[np.uint8]
    """Kind of each word's first character."""
    last: npt.NDArray[np.uint8]
    """Kind of each word's last character."""
    opens_text: Flags
    """Whether a word is the first of its text; one flag more than there are words, which is set."""


def first_words(codes: Codes, bounds: Ints, starts: Ints, ends: Ints, lang: str) -> Ints:
    """Which words begin a sentence, but for the first word of each text, in increasing order.

    `codes` are the joined texts, `bounds` the starts of the texts and the end of the last, `starts` and `ends` the words.
    """
    if not starts.size:
        return starts
    opens_text = np.zeros(starts.size + 1, np.bool_)
    opens_text[np.searchsorted(starts, bounds)] = True
    if lang in ("zh", "ja"):
        text, spans = codes.tobytes().decode("utf-32-le"), zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True)
        begins = np.zeros(codes.size + 1, np.bool_)
        begins[[a + end for a, b in spans for end in sentence_ends(text[a:b])]] = True
        found = np.flatnonzero(begins[starts])
    else:
        kinds = _table()
        words = _Words(codes, starts, ends, kinds[codes[starts]], kinds[codes[ends - 1]], opens_text)
        found = merged(_behind_terminals(words), _at_lines(bounds, words))
    return found[~opens_text[found]]


def _behind_terminals(words: _Words) -> Ints:
    """Words that begin a sentence because of a terminal before them."""
    starts, ends, first, last = words.starts, words.ends, words.first, words.last
    at = np.flatnonzero(last & (_DOT | _STRONG))
    following, closed = at + 1, np.zeros(at.size, np.bool_)
    for _ in range(_MOST_CLOSERS):
        here = np.minimum(following, starts.size - 1)
        next_start = starts[np.minimum(here + 1, starts.size - 1)]
        alone = (next_start > ends[here]) | words.opens_text[here + 1]
        closes = (first[here] & _CLOSES > 0) | ((first[here] & _QUOTE > 0) & alone)
        closes &= (starts[here] == ends[here - 1]) & (ends[here] - starts[here] == 1) & ~words.opens_text[following]
        if not closes.any():
            break
        closed |= closes
        following += closes
    kept = ~words.opens_text[following]
    at, following, closed = at[kept], following[kept], closed[kept]
    gap = starts[following] > ends[following - 1]
    opened = following + (first[following] & (_OPENS | _QUOTE) > 0)
    opened = np.where(words.opens_text[opened], following, opened)
    small, capital = first[opened] & _LOWER > 0, first[opened] & _UPPER > 0
    long, strong = ends[at] - starts[at] > 1, last[at] & _STRONG > 0
    run = ~strong & long & (first[at] & _DOT > 0)
    begins = np.where(gap, ~small | ~(run | closed), capital & ~run & ~strong)
    dotted = np.flatnonzero(begins & long & ~strong & ~run)
    pairs = zip(at[dotted].tolist(), opened[dotted].tolist(), strict=True)
    likely = [_form(words, follower) in _STARTERS and _form(words, word).lower() not in _TITLES for word, follower in pairs]
    begins[dotted] = gap[dotted] & np.array(likely, np.bool_)
    return following[begins & ~_numbers_an_item(words, at, following[begins])]


def _numbers_an_item(words: _Words, dots: Ints, begins: Ints) -> Flags:
    """Which dots stand behind a number that begins a line or a sentence (`1. Do this.`); `begins` are the words that begin sentences."""
    number = np.maximum(dots - 1, 0)
    starts, ends = words.starts[number], words.ends[number]
    near = ~words.opens_text[dots] & (ends == words.starts[dots]) & (words.ends[dots] - words.starts[dots] == 1)
    digits = _is_digit(words.codes[starts]) & _is_digit(words.codes[ends - 1]) & (ends - starts <= _ITEM_DIGITS)
    heads = words.opens_text.copy()
    heads[begins] = True
    return near & digits & (heads[number] | (words.codes[np.maximum(starts - 1, 0)] == ord("\n")))


def _is_digit(codes: Codes) -> Flags:
    return (codes >= ord("0")) & (codes <= ord("9"))


def _form(words: _Words, number: int) -> str:
    """A word without the dot at its end; no more of it than a word of the lists could have."""
    start = words.starts[number]
    return words.codes[start : min(start + _LONGEST, words.ends[number])].tobytes().decode("utf-32-le").removesuffix(".")


def _at_lines(bounds: Ints, words: _Words) -> Ints:
    """Words that begin a sentence because of the line breaks before them."""
    codes = words.codes
    breaks = np.flatnonzero(codes == ord("\n"))
    if not breaks.size:
        return breaks
    begin = merged(breaks + 1, bounds[:-1])
    begin = begin[begin < codes.size]
    end = np.append(begin[1:], codes.size)
    opening = np.searchsorted(words.starts, np.append(begin, codes.size))
    blank = opening[1:] == opening[:-1]
    opens_text = bounds[np.searchsorted(bounds, begin)] == begin
    paragraph = np.cumsum(blank | opens_text)
    length = np.where(blank, 0, end - begin - (codes[end - 1] == ord("\n")))
    longest = np.zeros(int(paragraph[-1]) + 1, np.int64)
    np.maximum.at(longest, paragraph, length)
    line = np.flatnonzero(~blank & ~opens_text)
    word, widest = opening[line], longest[paragraph[line]]
    wrapped = (length[line - 1] + 1 + words.ends[word] - words.starts[word] > widest) & (widest >= _NARROWEST) & (widest <= _WIDEST)
    return word[blank[line - 1] | ~(wrapped | (words.first[word] & _LOWER > 0))]


@cache
def _table() -> npt.NDArray[np.uint8]:
    """Kind of every code point: one of the flags above, or none."""
    found = np.zeros(CODE_POINTS, np.uint8)
    words = np.concatenate((having(("L", "N")), told_of(str.isalnum, having(("M", "P", "S")))))
    found[words] = _UPPER
    found[told_of(str.islower, words)] = _LOWER
    for flag, characters in _CHARACTERS.items():
        found[list(map(ord, characters))] = flag
    return found
