"""The model: engines find *spans*, in characters of all texts of a batch joined end to end; here spans become columns of
byte offsets, each text's counted from its own start.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipelines.characters import byte_offsets, codes_of, text_starts

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


def columns_of(
    texts: Sequence[str], word_starts: Ints, word_ends: Ints, sentence_ends: Ints, pos: npt.NDArray[np.uint8] | None
) -> Annotations:
    """Columns from spans: increasing character offsets into `"".join(texts)`; no span crosses from one text to the next.

    A sentence end is put at the end of every non-empty text if there is none.
    """
    bounds = text_starts(texts)
    to_bytes = byte_offsets(codes_of("".join(texts)))
    filled = bounds[1:][np.diff(bounds) > 0]
    sentence_ends = np.union1d(sentence_ends, filled)
    words = np.searchsorted(word_starts, bounds)
    sentences = np.searchsorted(sentence_ends, bounds, side="right")

    def listed(spans: Ints, cuts: Ints) -> pa.ListArray:
        base = np.repeat(to_bytes[bounds[:-1]], np.diff(cuts))
        return pa.ListArray.from_arrays(pa.array(cuts, pa.int32()), pa.array(to_bytes[spans] - base, pa.int32()))

    return Annotations(
        listed(sentence_ends, sentences),
        listed(word_starts, words),
        listed(word_ends, words),
        pa.nulls(len(texts), pa.list_(pa.uint8()))
        if pos is None
        else pa.ListArray.from_arrays(pa.array(words, pa.int32()), pa.array(pos, pa.uint8())),
    )
