"""The model: texts go through the engine in *groups* of about `PIECE_BYTES`, and a longer text in *pieces*, each annotated as if it were a
text: memory stays flat whatever the length. A piece ends behind the last blank line that it has room for, else line, full stop, or space;
so a text that has none of them in a mebibyte may be cut within a word, though never within a grapheme. Where a piece ends, a sentence ends.

A text is cut by what it holds, so that its annotations don't depend on its neighbours.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipelines.annotate.columns import Annotations, Ints
from pipelines.annotate.fast import classes

PIECE_BYTES = 1 << 20

_ENDS = (b"\n\n", b"\n", "。".encode(), b". ", b" ")
_LONGEST_GRAPHEME = 64
"""Characters; a longer one may be cut."""

_FOLLOWERS = ((0x0E33, 0x0E33), (0x0EB3, 0x0EB3), (0x1160, 0x11FF), (0xD7B0, 0xD7FF))
"""Letters that are one grapheme with the one before: vowels of Thai and Lao, vowels and finals of Hangul."""


def cut(texts: pa.StringArray) -> tuple[pa.StringArray, Ints]:
    """The pieces of all texts, and the number of pieces before each text and in all. No byte is copied."""
    _, offsets, data = texts.buffers()
    if not len(texts):
        return texts, np.zeros(1, np.int64)
    bounds = np.frombuffer(offsets, np.int32)[texts.offset : texts.offset + len(texts) + 1]
    long = np.flatnonzero(np.diff(bounds) > PIECE_BYTES)
    if not long.size:
        return texts, np.arange(len(texts) + 1)
    cuts, counts = [], np.ones(len(texts), np.int64)
    for text in long.tolist():
        inner = list(_cuts(memoryview(data), int(bounds[text]), int(bounds[text + 1])))
        cuts += inner
        counts[text] += len(inner)
    numbers = np.append(0, np.cumsum(counts))
    pieces = np.sort(np.concatenate((bounds, np.array(cuts, np.int32))), kind="stable")
    return pa.StringArray.from_buffers(int(numbers[-1]), pa.py_buffer(pieces), data), numbers


def groups(pieces: pa.StringArray) -> Iterator[pa.StringArray]:
    """The pieces, in order, in slices of about `PIECE_BYTES`."""
    _, offsets, _ = pieces.buffers()
    bounds = np.frombuffer(offsets, np.int32)[pieces.offset : pieces.offset + len(pieces) + 1]
    start = 0
    while start < len(pieces):
        end = max(int(np.searchsorted(bounds, int(bounds[start]) + PIECE_BYTES, side="right")) - 1, start + 1)
        yield pieces.slice(start, end - start)
        start = end


def put_together(found: Sequence[Annotations], pieces: pa.StringArray, numbers: Ints) -> Annotations:
    """The annotations of all groups of pieces as those of the texts that they were cut from."""
    columns = [pa.concat_arrays(parts) for parts in zip(*found, strict=True)]
    if len(numbers) == len(pieces) + 1:  # every text is one piece
        return Annotations(*columns)
    _, offsets, _ = pieces.buffers()
    bounds = np.frombuffer(offsets, np.int32)[: len(pieces) + 1]
    base = bounds[:-1] - np.repeat(bounds[numbers[:-1]], np.diff(numbers))
    sentence_ends, word_starts, word_ends, pos = columns
    wordless = np.diff(word_starts.offsets.to_numpy()) == 0
    return Annotations(
        _rows(sentence_ends, numbers, base, _whole(sentence_ends, wordless, base > 0)),
        _rows(word_starts, numbers, base),
        _rows(word_ends, numbers, base),
        pos.take(pa.array(numbers[:-1])) if pos.null_count else _rows(pos, numbers, None),
    )


def _rows(
    column: pa.ListArray, numbers: Ints, base: npt.NDArray[np.int32] | None, kept: npt.NDArray[np.bool_] | None = None
) -> pa.ListArray:
    """A column of pieces as one of texts: offsets count from the start of the text, and of the values only the `kept` stay."""
    offsets, values = column.offsets.to_numpy().astype(np.int64), column.flatten().to_numpy(zero_copy_only=False)
    offsets = offsets - offsets[0]
    if base is not None:
        values = values + np.repeat(base, np.diff(offsets))
    if kept is not None:
        values, offsets = values[kept], np.append(0, np.cumsum(kept))[offsets]
    return pa.ListArray.from_arrays(pa.array(offsets[numbers], pa.int32()), pa.array(values, column.type.value_type))


def _whole(sentence_ends: pa.ListArray, wordless: npt.NDArray[np.bool_], continues: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Which sentence ends stay: not those before a piece of white space alone, which belongs to the sentence before."""
    offsets = sentence_ends.offsets.to_numpy() - sentence_ends.offsets[0].as_py()
    kept = np.ones(int(offsets[-1]), np.bool_)
    kept[offsets[:-1][wordless & continues] - 1] = False
    return kept


def _cuts(data: memoryview, start: int, end: int) -> Iterator[int]:
    """Where to cut the text at `data[start:end]`."""
    while end - start > PIECE_BYTES:
        window = bytes(data[start : start + PIECE_BYTES])
        for mark in _ENDS:
            at = window.rfind(mark)
            if at >= 0:
                start += at + len(mark)
                break
        else:
            start += _between_graphemes(window)
        yield start


def _between_graphemes(window: bytes) -> int:
    """The last place of text without white space, in UTF-8 that may end within a character, where surely no grapheme goes on."""
    begins = [at for at in range(max(len(window) - 4 * _LONGEST_GRAPHEME, 0), len(window)) if window[at] & 0xC0 != 0x80]
    codes = [ord(window[a:b].decode()) for a, b in pairwise(begins)]
    kinds = classes.table()[codes]
    for at in range(len(codes) - 1, 0, -1):
        goes_on = kinds[at] in (classes.EXTEND, classes.REGIONAL) or any(first <= codes[at] <= last for first, last in _FOLLOWERS)
        if not goes_on and kinds[at - 1] != classes.EXTEND:
            return begins[at]
    return begins[-1]
