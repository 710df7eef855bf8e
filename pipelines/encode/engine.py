"""The model: an *encoder* runs a `tokenizer.json` on many texts. This one is Hugging Face `tokenizers`, the *reference*: what it
says are the ids, whatever engine computes them (see `proven`).

A tokenizer is *lossless* if the bytes of its tokens are the bytes of the text: byte-level BPE without a normalizer. Others
(WordPiece, Unigram, BPE behind a normalizer) say of each token where in the text it begins and ends.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipelines.characters import byte_offsets, codes_of
from pipelines.encode.overlaps import overlaps_of
from pipelines.encode.patterns import pattern_of
from pipelines.encode.stretches import stretches
from pipelines.encode.utf8 import sums
from schemas.errors import RequestError

_GROUP_CHARS = 1 << 20
"""Characters that go through the library at once."""


class NotLossless(RequestError):
    """The bytes of a text's tokens are not the bytes of the text."""


class Encoded(NamedTuple):
    """Tokens of many texts, one text after the other."""

    ids: npt.NDArray[np.uint32]
    counts: npt.NDArray[np.int64]
    """How many each text has, shape (texts,)."""
    sizes: npt.NDArray[np.int64]
    """How many bytes the tokens of each text have together, shape (texts,)."""
    places: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]] | None = None
    """Where each token begins, in bytes of its text, and how many bytes it has. None for a lossless tokenizer: there tokens follow
    each other, and `token_bytes` tells their lengths to those who need them."""


class Encoder:
    """A tokenizer ready to encode; see the module. It is its own reference, trusted, with nothing to check."""

    trusted = True

    def __init__(self, path: Path) -> None:
        """Raises `RequestError` naming `path` if it is no tokenizer."""
        from tokenizers import Tokenizer

        try:
            self._tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises bare Exception
            raise RequestError(f"{path}: not a tokenizer.json: {error}") from error
        self._tokenizer.encode_special_tokens = True  # "<|eos|>" in a text is text
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self.document: dict[str, Any] = json.loads(self._tokenizer.to_str())
        """The tokenizer.json as the library understood it."""
        self.version = f"tokenizers {version('tokenizers')}"
        self.vocab_size: int = self._tokenizer.get_vocab_size()
        self.lossless = self.document["normalizer"] is None and (self.document["decoder"] or {}).get("type") == "ByteLevel"
        self.pattern = pattern_of(self.document["pre_tokenizer"]) if self.lossless else None
        self._overlaps = None if self.lossless else overlaps_of(self.document)
        self.engine = self.version
        self.checks: Counter[str] = Counter()
        self._token_bytes = np.zeros(self.vocab_size, np.int64)
        for token, number in self._tokenizer.get_vocab().items():
            self._token_bytes[number] = len(token)  # a byte-level token has one character a byte

    @property
    def reference(self) -> Encoder:
        return self

    @property
    def tokens(self) -> list[str]:
        """Each token as the tokenizer.json writes it, by id; empty for ids that it leaves out."""
        tokens = [""] * self.vocab_size
        for token, number in self._tokenizer.get_vocab().items():
            tokens[number] = token
        return tokens

    def encode(self, texts: Sequence[str]) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.int64]]:
        """Ids of all texts, one after the other, and how many each text has (shape (texts,))."""
        counts = np.zeros(len(texts), np.int64)
        ids = [np.zeros(0, np.uint32)]
        rows = ((row, stretch) for row, text in enumerate(texts) for stretch in stretches(text, self.pattern))
        for group in grouped(rows):
            encodings = self._tokenizer.encode_batch_fast([stretch for _, stretch in group], add_special_tokens=False)
            for (row, _), encoding in zip(group, encodings, strict=True):
                ids.append(np.array(encoding.ids, np.uint32))
                counts[row] += ids[-1].size
        return np.concatenate(ids), counts

    def encode_column(self, texts: pa.StringArray, doc_ids: pa.FixedSizeBinaryArray | None = None) -> Encoded:
        """The tokens of a column of texts; there is nothing to sample, whatever `doc_ids`."""
        strings = texts.to_pylist()
        if not self.lossless:
            return self._with_places(strings)
        ids, counts = self.encode(strings)
        return Encoded(ids, counts, sums(self.token_bytes(ids), counts))

    def token_bytes(self, ids: npt.NDArray[np.unsignedinteger]) -> npt.NDArray[np.int64]:
        """Bytes of each token of a lossless tokenizer, same shape as `ids`."""
        return self._token_bytes.take(ids)

    def _with_places(self, texts: Sequence[str]) -> Encoded:
        ids, places = [np.zeros(0, np.uint32)], [np.zeros((0, 2), np.int64)]
        counts = np.zeros(len(texts), np.int64)
        offsets, offsets_of = np.zeros(1, np.int64), -1
        for group in grouped(self._overlapping(texts)):
            encodings = self._tokenizer.encode_batch([stretch for *_, stretch in group], add_special_tokens=False)
            for (row, start, context, _), encoding in zip(group, encodings, strict=True):
                if row != offsets_of:
                    offsets, offsets_of = byte_offsets(codes_of(texts[row])).astype(np.int64), row
                spans = np.array(encoding.offsets, np.int64).reshape(-1, 2)
                own = spans[:, 0] >= context
                ids.append(np.array(encoding.ids, np.uint32)[own])
                counts[row] += ids[-1].size
                places.append(offsets[spans[own] + start])
        starts, ends = np.concatenate(places).T
        return Encoded(np.concatenate(ids), counts, sums(ends - starts, counts), (starts, ends - starts))

    def _overlapping(self, texts: Sequence[str]) -> Iterator[tuple[int, int, int, str]]:
        """Row, beginning, characters of context, and stretch."""
        for row, text in enumerate(texts):
            if self._overlaps is None:
                yield row, 0, 0, text
            else:
                yield from ((row, *stretch) for stretch in self._overlaps.stretches(text))


def grouped(stretches: Iterable[tuple[Any, ...]]) -> Iterator[list[tuple[Any, ...]]]:
    """Stretches, which stand last in their tuples, in groups of about `_GROUP_CHARS`."""
    group: list[tuple[Any, ...]] = []
    chars = 0
    for stretch in stretches:
        group.append(stretch)
        chars += len(stretch[-1])
        if chars >= _GROUP_CHARS:
            yield group
            group, chars = [], 0
    if group:
        yield group
