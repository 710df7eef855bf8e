"""The model: an *encoder* runs Hugging Face `tokenizers` on many texts. A long text is cut into *stretches* that are
encoded side by side and give the same ids as the whole: memory (about 50 times the longest stretch) stays small, and one
long document uses all threads.

Cuts are made only where the tokenizer's own pattern always ends a piece:

    letter | no letter     those of `PATTERN`'s alternatives that take a letter end after letters
    new line | letter      one that takes a new line never goes on to a letter or digit
    inside a run           pieces of a run of letters have `RUN` letters each, counted from where it begins, unless an
                           apostrophe before it makes the first ones a piece of their own (`'s`)

No alternative looks behind, and at these places none decides by what is ahead: what stands on either side is split alike
with or without the other. The classes below are parts of the pattern's that no version of Unicode changes. A tokenizer
with another pattern is run on whole texts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipelines.encode.byte_bpe import RUN, new_tokenizer
from schemas.errors import RequestError

STRETCH_CHARS = 1 << 16
"""Texts are cut at the first place where that is safe after so many characters."""

_GROUP_CHARS = 1 << 20
"""Characters that go through the library at once."""

_LETTERS = "A-Za-zÀ-ÖØ-öø-ÿΑ-ΡΣ-Ωα-ωА-яא-תء-غف-يक-हก-ฮぁ-ゖァ-ヺ一-龥가-힣"
_NO_LETTERS = "\\x00-@\\[-`{-~，。！？；：、…·—（）《》“”‘’「」『』【】\u3000"
_CUT = re.compile(f"(?<=[{_LETTERS}])(?=[{_NO_LETTERS}])|(?<=\\n)(?=[{_LETTERS}0-9])")
_RUN_BEGINS = re.compile(f"(?<=[{_NO_LETTERS}])(?<!')(?=[{_LETTERS}])")
_RUN = re.compile(f"[{_LETTERS}]*")


class NotLossless(RequestError):
    """The bytes of a text's tokens are not the bytes of the text."""


class Encoder:
    """A tokenizer ready to encode; see the module."""

    def __init__(self, path: Path) -> None:
        """Raises `RequestError` naming `path` if it is no byte-level tokenizer."""
        from tokenizers import Tokenizer

        try:
            self._tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises bare Exception
            raise RequestError(f"{path}: not a tokenizer.json: {error}") from error
        self._tokenizer.encode_special_tokens = True  # "<|eos|>" in a text is text
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        parts, ours = (json.loads(t.to_str()) for t in (self._tokenizer, new_tokenizer()))
        if (parts["decoder"] or {}).get("type") != "ByteLevel" or parts["normalizer"] is not None:
            raise RequestError(f"{path}: not a byte-level tokenizer without normalizer; only those are lossless")
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
    """`text` in stretches of about `STRETCH_CHARS`, cut where `PATTERN` ends a piece whatever surrounds it."""
    start = 0
    while len(text) - start > STRETCH_CHARS:
        cut = _cut(text, start)
        if cut is None:
            break
        yield text[start:cut]
        start = cut
    yield text[start:]


def _cut(text: str, start: int) -> int | None:
    """Where the stretch from `start`, which begins a piece, may end; None if no place is known."""
    wanted = start + STRETCH_CHARS
    near = _CUT.search(text, wanted, wanted + STRETCH_CHARS)
    if near is not None:
        return near.start()
    begins = [match.start() for match in _RUN_BEGINS.finditer(text, start, wanted)]
    begin = begins[-1] if begins else start
    run = _RUN.match(text, begin, wanted + RUN)
    whole = len(run[0]) // RUN * RUN if run else 0
    if whole:
        return begin + whole
    far = _CUT.search(text, wanted)
    return far and far.start()
