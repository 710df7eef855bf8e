"""The model: *word boundaries* of many texts at once, on arrays of code points. Between two characters there is a boundary or not
by their classes alone (`classes`, Unicode Standard Annex #29), but for what binds across a mark (`3.5`) and for flags and the
like, which are looked at place by place; then mixed chunks (`chunks`) and fused words (`cannot`) are cut as Universal Dependencies does.
A grapheme is never cut. All steps are linear in the text: a chunk longer than `LONGEST` is no prose and stays as its classes cut it.
"""

from __future__ import annotations

from functools import cache
from itertools import chain

import numpy as np
import numpy.typing as npt

from pipelines.annotate.columns import Ints, merged
from pipelines.annotate.fast import classes as c
from pipelines.annotate.fast.chunks import cuts

Flags = npt.NDArray[np.bool_]
Bytes = npt.NDArray[np.uint8]

LONGEST = 256
"""Characters of the longest chunk that is taken for prose."""

_FUSED = {
    word: cut
    for cut, words in {
        1: "im ive",
        2: "cant dont wont",
        3: "arent cannot didnt gimme gonna gotta hadnt hasnt isnt lemme outta wanna wasnt",
        4: "doesnt havent thats werent whats",
        5: "couldnt wouldnt",
        6: "shouldnt",
    }.items()
    for word in words.split()
}
"""English words that stand for two, in lower case, and where the second begins."""


_BREAK, _JOIN, _JOIN_IF_SAME, _JOIN_MIXED = range(4)
"""What stands between two characters: a boundary; none; none if they are the same; none, but the chunk is a mixed one."""


def word_spans(codes: npt.NDArray[np.uint32], bounds: Ints, lang: str) -> tuple[Ints, Ints]:
    """Starts and ends of the words of joined texts, in characters.

    `bounds` are the starts of the texts and the end of the last. Every character that isn't white space is in one word. An ideograph is
    a word of its own, but in Japanese a run of them is one.
    """
    if not codes.size:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    first = np.zeros(codes.size, np.bool_)
    first[bounds[:-1][bounds[:-1] < codes.size]] = True
    if codes.max() < 0x80:
        octets = codes.astype(np.uint8).tobytes()
        text = octets.decode("ascii")
        kinds = bases = np.frombuffer(octets.translate(c.ascii_table()), np.uint8)
        inside = None
    else:
        text = codes.tobytes().decode("utf-32-le")
        kinds = c.table()[codes]
        inside, bases = _graphemes(codes, kinds, first)
    between = np.zeros(codes.size, np.uint8)
    between[1:] = np.frombuffer((bases[:-1] << 4 | kinds[1:]).tobytes().translate(_pairs(lang)), np.uint8)
    joined = between != _BREAK
    doubled = np.flatnonzero(between == _JOIN_IF_SAME)
    joined[doubled] = codes[doubled] == codes[doubled - 1]
    _bind_across_marks(codes, kinds, bases, first, inside, joined)
    joined[first] = False
    begins = ~joined
    begins &= kinds != c.SPACE
    mixed = (kinds >= c.FIRST_MIXED) | (between == _JOIN_MIXED)
    _cut_mixed(text, np.flatnonzero(mixed), kinds <= c.HAN, first, begins, lang)
    if inside is not None:
        begins &= ~inside
    edges = np.flatnonzero(begins | (kinds == c.SPACE))
    word = kinds[edges] != c.SPACE
    starts, ends = edges[word], np.append(edges[1:], codes.size)[word]
    return _split_fused(text, codes, starts, ends) if lang == "en" else (starts, ends)


@cache
def _pairs(lang: str) -> bytes:
    """What stands between characters of two classes, at `first << 4 | second`."""
    table = np.full((16, 16), _BREAK, np.uint8)
    for kind in (c.KATAKANA, c.HIRAGANA, c.COMPLEX, c.TERMINAL) + ((c.HAN,) if lang == "ja" else ()):
        table[kind, kind] = _JOIN
    for kind in (c.LETTER, c.DIGIT, c.CONNECTOR):
        table[kind, [c.LETTER, c.DIGIT, c.CONNECTOR]] = _JOIN
    table[c.DIGIT, c.LETTER] = _JOIN_MIXED
    table[c.KATAKANA, c.CONNECTOR] = table[c.CONNECTOR, c.KATAKANA] = _JOIN
    table[c.REPEATING, c.REPEATING] = _JOIN_IF_SAME
    return table.tobytes()


def _graphemes(codes: npt.NDArray[np.uint32], kinds: Bytes, first: Flags) -> tuple[Flags, Bytes]:
    """Where no word may begin because a grapheme goes on, and the class of each character's base: its own, or for a mark that of
    what it sits upon. A mark behind white space sits upon nothing and is a word.
    """
    attached = kinds == c.EXTEND
    attached[1:] &= kinds[:-1] != c.SPACE
    attached &= ~first
    bases, inside = kinds.copy(), attached
    marks = np.flatnonzero(attached)
    run = np.maximum.accumulate(np.where(np.diff(marks, prepend=-1) > 1, marks, 0))
    bases[marks] = kinds[run - 1]
    flags = np.flatnonzero(kinds == c.REGIONAL)
    if flags.size:
        begins = np.ones(flags.size, np.bool_)
        begins[1:] = (np.diff(flags) > 1) | first[flags[1:]]
        run = np.maximum.accumulate(np.where(begins, np.arange(flags.size), 0))
        inside[flags[(np.arange(flags.size) - run) % 2 == 1]] = True
    joiners = marks[codes[marks] == c.ZWJ] + 1
    joiners = joiners[joiners < codes.size]
    inside[joiners[(kinds[joiners] == c.OTHER) & ~first[joiners]]] = True
    before = np.flatnonzero(kinds == c.EXTEND)
    before = before[np.isin(codes[before], c.PREPENDED)] + 1
    before = before[before < codes.size]
    inside[before[(kinds[before] != c.SPACE) & ~first[before]]] = True
    return inside, bases


def _bind_across_marks(
    codes: npt.NDArray[np.uint32], kinds: Bytes, bases: Bytes, first: Flags, inside: Flags | None, joined: Flags
) -> None:
    """Join, in place, letters and digits across what stands between them (rules WB6 to WB12 of the annex)."""
    marks = np.flatnonzero((kinds >= c.MID_LETTER) & (kinds <= c.MID_BOTH))
    if inside is not None:
        hebrew = np.flatnonzero(codes == ord('"'))
        marks = merged(marks, hebrew[_are_hebrew(codes, hebrew - 1) & _are_hebrew(codes, hebrew + 1)])
    marks = marks[(marks > 0) & (marks < codes.size - 1)]
    after = marks + 1
    if inside is not None:
        after = _past(inside, after)
    mark, left, right = kinds[marks], bases[marks - 1], bases[after]
    binds = ((left == c.LETTER) & (right == c.LETTER) & (mark != c.MID_NUMBER)) | (
        (left == c.DIGIT) & (right == c.DIGIT) & (mark != c.MID_LETTER) & (mark != c.OTHER)
    )
    binds &= ~(first[marks] | first[after])
    joined[marks[binds]] = joined[after[binds]] = True


def _past(inside: Flags, at: Ints) -> Ints:
    """Positions, those inside of a grapheme moved behind it; but never behind the end of the text."""
    within = np.flatnonzero(inside)
    ends = within[np.append(np.diff(within) > 1, True)] if within.size else within
    moved = at.copy()
    moving = inside[at]
    moved[moving] = np.minimum(ends[np.searchsorted(ends, at[moving])] + 1, inside.size - 1)
    return moved


def _are_hebrew(codes: npt.NDArray[np.uint32], at: Ints) -> Flags:
    there = codes[np.clip(at, 0, codes.size - 1)]
    return (there >= c.HEBREW_LETTERS[0]) & (there <= c.HEBREW_LETTERS[1])


def _cut_mixed(text: str, mixed: Ints, outside: Flags, first: Flags, begins: Flags, lang: str) -> None:
    """Set anew, in place, where words begin in the chunks that hold the places `mixed`; `outside` are characters of no chunk."""
    edges = np.append(np.flatnonzero(outside | first), outside.size)
    behind = np.searchsorted(edges, mixed, side="right")
    behind = behind[np.diff(behind, prepend=-1) > 0]
    starts = edges[behind - 1] + outside[edges[behind - 1]]
    ends = edges[behind]
    prose = (ends - starts > 1) & (ends - starts <= LONGEST)
    starts, ends = starts[prose], ends[prose]
    found = [cuts(text[a:b], lang) for a, b in zip(starts.tolist(), ends.tolist(), strict=True)]
    counts = np.fromiter(map(len, found), np.int64, len(found))
    lengths = ends - starts
    begins[np.repeat(starts - np.cumsum(lengths) + lengths, lengths) + np.arange(lengths.sum())] = False
    begins[starts] = True
    begins[np.repeat(starts, counts) + np.fromiter(chain.from_iterable(found), np.int64, counts.sum())] = True


def _split_fused(text: str, codes: npt.NDArray[np.uint32], starts: Ints, ends: Ints) -> tuple[Ints, Ints]:
    """Words, with the fused ones split."""
    key = np.minimum(ends - starts, 15) << 10 | (codes[starts] & 31) << 5 | codes[ends - 1] & 31
    likely = np.flatnonzero(_fused_keys()[key])
    at, second = [], []
    for number, start, end in zip(likely.tolist(), starts[likely].tolist(), ends[likely].tolist(), strict=True):
        cut = _FUSED.get(text[start:end].lower())
        if cut is not None and text[start:end] != "IM":
            at.append(number)
            second.append(start + cut)
    behind = np.array(at, np.int64) + 1
    return np.insert(starts, behind, second), np.insert(ends, behind - 1, second)


@cache
def _fused_keys() -> Flags:
    """Whether a fused word has such a length, first and last letter: a sieve that almost no other word passes."""
    keys = np.zeros(1 << 14, np.bool_)
    for word in _FUSED:
        keys[len(word) << 10 | (ord(word[0]) & 31) << 5 | ord(word[-1]) & 31] = True
    return keys
