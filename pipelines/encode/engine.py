"""The model: an *encoder* runs Hugging Face `tokenizers` on many texts. A long text is cut into *stretches* that are
encoded side by side and give the same ids as the whole: memory (about 50 times the longest stretch) stays small, and one
long document uses all threads.

Cuts are made only where the tokenizer's own pattern always ends a piece. Of `PATTERN`'s alternatives those that take a
letter end after letters, so a piece ends between a letter and what is none; and one that takes a new line never goes on
to a letter or digit. No alternative looks behind, and at a cut none looks ahead to another decision: what stands on
either side is split alike with or without the other. The classes below are parts of the pattern's that no version of
Unicode changes. A tokenizer with another pattern is run on whole texts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipelines.encode.byte_bpe import new_tokenizer

STRETCH_CHARS = 1 << 16
"""Texts are cut at the first place where that is safe after so many characters."""

_GROUP_CHARS = 1 << 20
"""Characters that go through the library at once."""

_CUT = re.compile("(?<=[A-Za-z\u4e00-\u9fa5])(?=[ \\n.,;:!?()\\[\\]，。！？；：、…（）《》“”「」])|(?<=\\n)(?=[A-Za-z0-9\u4e00-\u9fa5])")


class NotLossless(ValueError):
    """The bytes of a text's tokens are not the bytes of the text."""


class Encoder:
    """A tokenizer ready to encode; see the module."""

    def __init__(self, path: Path) -> None:
        """Raises `ValueError` naming `path` if it is no byte-level tokenizer."""
        from tokenizers import Tokenizer

        try:
            self._tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises bare Exception
            raise ValueError(f"{path}: not a tokenizer.json: {error}") from error
        self._tokenizer.encode_special_tokens = True  # "<|eos|>" in a text is text
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        parts, ours = (json.loads(t.to_str()) for t in (self._tokenizer, new_tokenizer()))
        if (parts["decoder"] or {}).get("type") != "ByteLevel" or parts["normalizer"] is not None:
            raise ValueError(f"{path}: not a byte-level tokenizer without normalizer; only those are lossless")
        self._cuttable = parts["pre_tokenizer"] == ours["pre_tokenizer"]
        self.version = f"tokenizers {version('tokenizers')}"
        self.vocab_size: int = self._tokenizer.get_vocab_size()
        self._token_bytes = np.zeros(self.vocab_size, np.int64)
        for token, number in self._tokenizer.get_vocab().items():
            self._token_bytes[number] = len(token)  # a byte-level token has one character a byte

    def encode(self, texts: Sequence[str]) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.int64]]:
        """Ids of all texts, one after the other, and how many each text has (shape (texts,))."""
        counts = np.zeros(len(texts), np.int64)
        ids = [np.zeros(0, np.uint32)]
        for group in self._groups(texts):
            encodings = self._tokenizer.encode_batch_fast([stretch for _, stretch in group], add_special_tokens=False)
            for (row, _), encoding in zip(group, encodings, strict=True):
                ids.append(np.array(encoding.ids, np.uint32))
                counts[row] += ids[-1].size
        return np.concatenate(ids), counts

    def token_bytes(self, ids: npt.NDArray[np.uint32]) -> npt.NDArray[np.int64]:
        """Bytes of each token, same shape as `ids`."""
        return self._token_bytes[ids]

    def _groups(self, texts: Sequence[str]) -> Iterator[list[tuple[int, str]]]:
        group: list[tuple[int, str]] = []
        chars = 0
        for row, text in enumerate(texts):
            for stretch in stretches(text) if self._cuttable else (text,):
                group.append((row, stretch))
                chars += len(stretch)
                if chars >= _GROUP_CHARS:
                    yield group
                    group, chars = [], 0
        if group:
            yield group


def stretches(text: str) -> Iterator[str]:
    """`text` in pieces of `STRETCH_CHARS` or a little more, cut where `PATTERN` ends a piece whatever surrounds it."""
    start = 0
    while len(text) - start > STRETCH_CHARS:
        cut = _CUT.search(text, start + STRETCH_CHARS)
        if cut is None:
            break
        yield text[start : cut.start()]
        start = cut.start()
    yield text[start:]
