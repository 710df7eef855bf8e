"""The model: engines find *spans*, in characters of all texts of a batch *joined* end to end; here spans become columns of
byte offsets, each text's counted from its own start.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipelines.characters import codes_of

Ints = npt.NDArray[np.int64]


class Annotations(NamedTuple):
    """Columns of a document shard, row i for text i; see the package for what offsets mean."""

    sentence_ends: pa.ListArray
    """list<int32>"""
    word_starts: pa.ListArray
    """list<int32>"""
    word_ends: pa.ListArray
    """list<int32>, as long as `word_starts`."""
    pos: pa.ListArray
    """list<uint8>, codes of `schemas.arrow.UPOS`, as long as `word_starts`; null from an engine without tags."""


class Joined(NamedTuple):
    """The texts of a batch end to end, without a separator."""

    data: npt.NDArray[np.uint8]
    """UTF-8."""
    codes: npt.NDArray[np.uint32]
    """Code points."""
    bounds: Ints
    """Where each text starts, in characters; the last entry is the end."""
    to_bytes: Ints
    """Byte offset of every character and of the end."""


def join(texts: pa.StringArray) -> Joined:
    """Texts as arrays; no Python string is made of any of them, and ASCII isn't even decoded."""
    _, offsets, data = texts.buffers()
    byte_bounds = np.frombuffer(offsets, np.int32)[texts.offset : texts.offset + len(texts) + 1] if len(texts) else np.zeros(1, np.int32)
    first, last = int(byte_bounds[0]), int(byte_bounds[-1])
    joined = np.frombuffer(data or b"", np.uint8)[first:last]
    bounds = byte_bounds.astype(np.int64) - first
    if not (joined & 0x80).any():
        return Joined(joined, joined.astype(np.uint32), bounds, np.arange(joined.size + 1))
    to_bytes = np.append(np.flatnonzero(joined & 0xC0 != 0x80), joined.size)
    return Joined(joined, codes_of(joined.tobytes().decode()), np.searchsorted(to_bytes, bounds), to_bytes)


def merged(first: Ints, second: Ints) -> Ints:
    """All that is in one of two increasing arrays, increasing. (`np.union1d` hashes, and takes a microsecond an element.)"""
    both = np.sort(np.concatenate((first, second)), kind="stable")
    return both[np.diff(both, prepend=-1) > 0]


def columns_of(joined: Joined, word_starts: Ints, word_ends: Ints, sentence_ends: Ints, pos: npt.NDArray[np.uint8] | None) -> Annotations:
    """Columns from spans: increasing character offsets into the joined texts; no span crosses from one text to the next.

    A sentence end is put at the end of every non-empty text if there is none.
    """
    bounds, to_bytes = joined.bounds, joined.to_bytes
    filled = bounds[1:][np.diff(bounds) > 0]
    sentence_ends = merged(sentence_ends, filled)
    words = np.searchsorted(word_starts, bounds)
    sentences = np.searchsorted(sentence_ends, bounds, side="right")

    def listed(spans: Ints, cuts: Ints) -> pa.ListArray:
        base = np.repeat(to_bytes[bounds[:-1]], np.diff(cuts))
        return pa.ListArray.from_arrays(pa.array(cuts, pa.int32()), pa.array(to_bytes[spans] - base, pa.int32()))

    return Annotations(
        listed(sentence_ends, sentences),
        listed(word_starts, words),
        listed(word_ends, words),
        pa.nulls(len(bounds) - 1, pa.list_(pa.uint8()))
        if pos is None
        else pa.ListArray.from_arrays(pa.array(words, pa.int32()), pa.array(pos, pa.uint8())),
    )
