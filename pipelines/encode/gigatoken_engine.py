"""The model: gigatoken (PyPI) is a byte-level BPE that remembers the pieces it has met, twenty to a hundred times as fast as the
reference on text whose pieces repeat. It knows a fixed set of patterns and takes `tokenizer.json`; what it doesn't know it
refuses by itself.

None of them limits a run of letters, so `{1,RUN}` of our own patterns is written as `+` for it, and whoever encodes cuts longer
runs. A *cut* of a text is made by a carriage return between two letters: it is a piece of its own there, and taken out again.

What it remembers it never forgets (5 GB after 0.5 GB of random words): when this process has grown by `GROWTH` bytes, it is
opened anew.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.metadata import version
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.encode.patterns import RUN
from pipelines.encode.seams import byte_alphabet

GROWTH = 256 << 20
"""Bytes of memory that what it remembers may take."""

_PAGE = 4096
_NONE = np.zeros(0, np.uint32)
_CUT = 0x0D


class Refused(Exception):
    """gigatoken cannot run this tokenizer; the message says why."""


def for_gigatoken(document: Mapping[str, Any]) -> dict[str, Any]:
    """A `tokenizer.json` as gigatoken is given it: text alone, no special tokens, no limit to runs of letters."""
    pre_tokenizer = json.dumps(document["pre_tokenizer"]).replace(f"{{1,{RUN}}}", "+").replace(f"{{0,{RUN}}}", "*")
    return {**document, "added_tokens": [], "post_processor": None, "pre_tokenizer": json.loads(pre_tokenizer)}


def open_probe(document: str) -> Any:
    """A function from texts to lists of ids, for proofs. Raises `Refused`."""
    tokenizer = _open(document)
    return lambda texts: [tokenizer.encode(text).tolist() for text in texts]


def _open(document: str) -> Any:
    import gigatoken

    try:
        return gigatoken.Tokenizer.from_json(document)
    except Exception as error:  # it raises RuntimeError for what it doesn't know, and panics are exceptions of their own
        raise Refused(" ".join(str(error).split())[:200]) from error


class Gigatoken:
    """One tokenizer of gigatoken, encoding on this thread."""

    def __init__(self, document: Mapping[str, Any], token_bytes: npt.NDArray[np.int64]) -> None:
        """`document` is from `for_gigatoken`, `token_bytes` the bytes of each token by id. Raises `Refused`."""
        self.version = f"gigatoken {version('gigatoken')}"
        self._document = json.dumps(document)
        self._token_bytes = token_bytes
        vocabulary: dict[str, int] = document["model"]["vocab"]
        self._cut_id = vocabulary[next(c for c, byte in byte_alphabet().items() if byte == _CUT)]
        self._tokenizer = _open(self._document)
        self._memory = _resident()

    def encode(
        self, data: npt.NDArray[np.uint8], bounds: npt.NDArray[np.int64], cuts: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.int64]]:
        """Ids of the texts `data[bounds[i]:bounds[i + 1]]` and how many each has; `cuts` are byte offsets between letters, increasing."""
        if not cuts.size:
            return self._run(data, bounds)
        places = cuts + np.arange(cuts.size)
        before = np.searchsorted(cuts, bounds)
        ids, counts = self._run(_with_cuts(data, places), bounds + before)
        kept = ids != self._cut_id
        if (data == _CUT).any():  # a carriage return of the text's own stays: only those at the cuts go
            lengths = self._token_bytes.take(ids)
            is_cut = np.zeros(data.size + places.size, bool)
            is_cut[places] = True
            kept |= ~is_cut.take(np.cumsum(lengths) - lengths, mode="clip")
        return ids[kept], counts - np.diff(before)

    def _run(self, data: npt.NDArray[np.uint8], bounds: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.int64]]:
        if _resident() - self._memory > GROWTH:
            self._tokenizer = None  # first, so that two never stand side by side
            self._tokenizer = _open(self._document)
            self._memory = _resident()
        raw, encode = data.tobytes(), self._tokenizer.encode
        ids = [encode(raw[start:end]) for start, end in pairwise(bounds.tolist())]  # its own batches cost more, and import awkward
        return np.concatenate([_NONE, *ids]), np.fromiter(map(len, ids), np.int64, len(ids))


def _resident() -> int:
    """Bytes of memory that this process holds; 0 where the system doesn't tell (then nothing is opened anew)."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * _PAGE
    except OSError:
        return 0


def _with_cuts(data: npt.NDArray[np.uint8], places: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
    """The bytes with carriage returns put in, so that they stand at `places`, increasing and none of them 0."""
    step = np.ones(data.size + places.size, np.int8)
    step[places] = 0
    step[0] = 0
    given = data.take(np.cumsum(step, dtype=np.int64))  # a quarter less time than `np.insert`
    given[places] = _CUT
    return given
