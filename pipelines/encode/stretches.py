"""The model: a long text is cut into *stretches* that are encoded side by side and give the same ids as the whole: memory
(about 50 times the longest stretch, in Hugging Face `tokenizers`) stays small, and one long document uses all threads.

Cuts are made only where the tokenizer's own pattern always ends a piece (see `patterns.Pattern.runs`):

    letter | no letter     alternatives that take a letter end after letters
    new line | letter      one that takes a new line never goes on to a letter or digit
    class | class          between letters of two of the pattern's classes
    inside a run           pieces of a run of letters have `RUN` letters each, counted from where it begins, unless an
                           apostrophe before it makes the first ones a piece of their own (`'s`)

No alternative looks behind, and at these places none decides by what is ahead: what stands on either side is split alike
with or without the other. The classes are parts of the pattern's that no version of Unicode changes. A tokenizer with
another pattern is run on whole texts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

import numpy as np
import numpy.typing as npt

from pipelines.encode.patterns import RUN, Pattern

STRETCH_CHARS = 1 << 16
"""Texts are cut at the first place where that is safe after so many characters."""

_NO_LETTERS = "\\x00-@\\[-`{-~，。！？；：、…·—（）《》“”‘’「」『』【】\u3000"


class _Places:
    """Where texts may be cut for one set of classes."""

    def __init__(self, classes: tuple[str, ...]) -> None:
        letters = "".join(classes)
        between = [f"(?<=[{a}])(?=[{b}])" for a in classes for b in classes if a != b]
        self.cut = re.compile("|".join([f"(?<=[{letters}])(?=[{_NO_LETTERS}])|(?<=\\n)(?=[{letters}0-9])", *between]))
        self.begins = re.compile("|".join([f"(?<=[{_NO_LETTERS}])(?<!')(?=[{letters}])", *between]))
        self.run = re.compile("|".join(f"[{letters_of_one}]+" for letters_of_one in classes))


_places = cache(_Places)


def stretches(text: str, pattern: Pattern | None, chars: int | None = None) -> Iterator[str]:
    """`text` in stretches of about `chars` characters (`STRETCH_CHARS`); whole if the pattern isn't known to allow cuts."""
    chars = STRETCH_CHARS if chars is None else chars
    start = 0
    if pattern is not None and pattern.runs:
        places = _places(pattern.runs)
        while len(text) - start > chars:
            cut = _cut(text, start, chars, places)
            if cut is None:
                break
            yield text[start:cut]
            start = cut
    yield text[start:]


def with_stretches(data: npt.NDArray[np.uint8], bounds: npt.NDArray[np.int64], pattern: Pattern | None) -> npt.NDArray[np.int64]:
    """Bounds of the texts, and inside the long ones bounds of their stretches (see `utf8` for data and bounds)."""
    inner = [bounds]
    for row in np.flatnonzero(np.diff(bounds) > 4 * STRETCH_CHARS).tolist():
        text = data[bounds[row] : bounds[row + 1]].tobytes().decode()
        sizes = [len(stretch.encode()) for stretch in stretches(text, pattern)]
        inner.append(bounds[row] + np.cumsum(sizes[:-1], dtype=np.int64))
    return np.sort(np.concatenate(inner), kind="stable") if len(inner) > 1 else bounds


def _cut(text: str, start: int, chars: int, places: _Places) -> int | None:
    """Where the stretch from `start`, which begins a piece, may end; None if no place is known."""
    wanted = start + chars
    near = places.cut.search(text, wanted, wanted + chars)
    if near is not None:
        return near.start()
    begins = [match.start() for match in places.begins.finditer(text, start, wanted)]
    begin = begins[-1] if begins else start
    run = places.run.match(text, begin, wanted + RUN)
    whole = len(run[0]) // RUN * RUN if run else 0
    if whole:
        return begin + whole
    far = places.cut.search(text, wanted)
    return far and far.start()
