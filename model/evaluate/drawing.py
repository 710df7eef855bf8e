"""The model: held-out texts are *drawn* by a rule that knows nothing of models: in the order of their ids (which are hashes), each language
up to an equal share, passing over those that no longer fit. What a language leaves of its share goes to those with more text.

They are read once, in any order, and never all held. How large a share is, is known at the end; but a text can't be drawn if those before
it that are no larger fill all that may be drawn: if one of them is passed over, then so is the text. What is left is a *candidate*, and
candidates are few, as ids are hashes.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from operator import attrgetter
from typing import Generic, Protocol, TypeVar


class Drawable(Protocol):
    """What is drawn: a text, or a passage whose tokens are not known yet."""

    @property
    def doc_id(self) -> bytes: ...
    @property
    def lang(self) -> str: ...
    @property
    def n_bytes(self) -> int: ...


T = TypeVar("T", bound=Drawable)


@dataclass(frozen=True)
class _Sized(Generic[T]):
    text: T
    size: int
    place: tuple[bytes, int]
    """Its id; of equal ones the one that came first."""


def draw(texts: Iterable[T], most: int, size: Callable[[T], int]) -> list[T]:
    """Texts whose sizes (predicted tokens, or bytes) come to at most `most`, languages in sorted order. Texts of no bytes are left out:
    they have no bits per byte."""
    sizes, candidates = defaultdict[str, int](int), defaultdict[str, _Candidates[T]](lambda: _Candidates(most))
    for number, text in enumerate(texts):
        if text.n_bytes:
            sized = _Sized(text, size(text), (text.doc_id, number))
            sizes[text.lang] += sized.size
            candidates[text.lang].add(sized)
    chosen: dict[str, list[T]] = {}
    left = most
    for done, lang in enumerate(sorted(sizes, key=lambda lang: (sizes[lang], lang))):
        room = left // (len(sizes) - done)
        chosen[lang] = []
        for one in candidates[lang].in_order():
            if one.size <= room:
                chosen[lang].append(one.text)
                room -= one.size
                left -= one.size
    return [text for lang in sorted(chosen) for text in chosen[lang]]


class _Candidates(Generic[T]):
    """Those of a language, and some more until there are twice as many bytes as after they were last looked through."""

    def __init__(self, most: int) -> None:
        self._most, self._limit, self._held = most, 4 * most, 0
        self._texts: list[_Sized[T]] = []

    def add(self, one: _Sized[T]) -> None:
        if one.size <= self._most:
            self._texts.append(one)
            self._held += one.size
            if self._held > self._limit:
                self._texts = _that_may_fit(self.in_order(), self._most)
                self._held = sum(one.size for one in self._texts)
                self._limit = max(4 * self._most, 2 * self._held)

    def in_order(self) -> list[_Sized[T]]:
        return sorted(self._texts, key=attrgetter("place"))


def _that_may_fit(texts: list[_Sized[T]], most: int) -> list[_Sized[T]]:
    """Of texts in order those that come, with all before them that are no larger, to at most `most`."""
    sizes = sorted({one.size for one in texts})
    sums = [0] * (len(sizes) + 1)  # a Fenwick tree of bytes by size
    found = []
    for one in texts:
        before, at = 0, bisect_right(sizes, one.size)
        while at:
            before += sums[at]
            at &= at - 1
        if before + one.size > most:
            continue
        found.append(one)
        at = bisect_left(sizes, one.size) + 1
        while at < len(sums):
            sums[at] += one.size
            at += at & -at
    return found
