"""The model: a *vocabulary* is the tokens of a tokenizer by id. *Learned* tokens are those that are neither special nor the token of
one byte. A token's *text* is what a reader would call it: byte-level tokens are shown as the characters that their bytes make.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pipelines.encode.seams import byte_alphabet

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_BYTE = re.compile(r"<0x[0-9A-F]{2}>")
_HAN = re.compile(r"[㐀-䶿一-\u9fff]+")
_SPACE = "▁"
_BEFORE = ("", " ", "a", "e", "o", "q", "x", "Z", "0", "。", "好")
"""What is tried before the text of a token: one that goes on from others needs something to go on from."""


class Vocabulary:
    """The tokens of a tokenizer; see the module."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        from tokenizers import Tokenizer

        self._tokenizer = Tokenizer.from_str(tokenizer.to_str())
        self._tokenizer.encode_special_tokens = True
        document = json.loads(tokenizer.to_str())
        self.kind: str = document["model"]["type"]
        self.byte_level = _mentions(document["pre_tokenizer"], "ByteLevel") or _mentions(document["decoder"], "ByteLevel")
        """Whether tokens are bytes, written as characters as in GPT-2."""
        self.tokens = [token for token, _ in sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])]
        """By id."""
        self._prefix = document["model"].get("continuing_subword_prefix") or ""
        self._alphabet = byte_alphabet()
        added = {token["content"] for token in document["added_tokens"]}
        single = self._alphabet.keys() if self.byte_level else ()
        self.bytes = [n for n, token in enumerate(self.tokens) if token not in added and (token in single or _BYTE.fullmatch(token))]
        """Ids of the tokens of one byte."""
        apart = {*self.bytes, *(n for n, token in enumerate(self.tokens) if token in added)}
        self.learned = [number for number in range(len(self.tokens)) if number not in apart]
        """Ids of all others that are not special."""

    def text(self, number: int) -> str:
        """The token as text; bytes that make no character are escaped."""
        token = self.tokens[number]
        if self.byte_level and self._alphabet.keys() >= set(token):
            return bytes(self._alphabet[c] for c in token).decode("utf-8", "backslashreplace")
        return token

    def longest(self, han: bool, count: int) -> list[int]:
        """Ids of the learned tokens with most characters: those of Han alone, or the others."""
        texts = ((number, self.text(number).removeprefix(_SPACE)) for number in self.learned)
        chosen = [(len(text), number) for number, text in texts if (_HAN.fullmatch(text) is not None) == han]
        return [number for _, number in sorted(chosen, key=lambda item: (-item[0], item[1]))[:count]]

    def unreachable(self, numbers: Sequence[int]) -> list[int]:
        """Those of the ids that encoding their own text, alone or behind something else, doesn't give."""
        left = list(numbers)
        for before in _BEFORE:
            texts = [before + (self._written(number) or "") for number in left]
            encodings = self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)
            left = [number for number, encoding in zip(left, encodings, strict=True) if number not in encoding.ids]
        return [number for number in left if self._written(number) is not None or not self._merges(number)]

    def _written(self, number: int) -> str | None:
        """What to write for a token; None if its bytes are no text by themselves."""
        token = self.tokens[number]
        if self.byte_level:
            try:
                return bytes(self._alphabet[c] for c in token).decode()
            except (KeyError, UnicodeDecodeError):
                return None
        return token.removeprefix(self._prefix).replace(_SPACE, " ")

    def _merges(self, number: int) -> bool:
        """Whether the model alone puts a token together from its own characters."""
        return [part.id for part in self._tokenizer.model.tokenize(self.tokens[number])] == [number]


def _mentions(value: Any, kind: str) -> bool:
    """Whether a part of a tokenizer.json, or one inside of it, is of a kind."""
    if isinstance(value, dict):
        return value.get("type") == kind or any(_mentions(inner, kind) for inner in value.values())
    return isinstance(value, list) and any(_mentions(inner, kind) for inner in value)
