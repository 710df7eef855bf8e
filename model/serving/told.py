"""The model: what is *told* to a client: objects of OpenAI's API, whole or in *chunks*. A *writer of answers* knows what they all say:
id, time, model.
"""

from __future__ import annotations

import base64
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from tokenizers import Tokenizer
from torch import Tensor

from model.serving.engine import Likely, Piece

FINISH = {"eos": "stop", "stop": "stop", "length": "length", None: None}


def usage(prompt: int, made: int) -> dict[str, int]:
    """Tokens of a request: prompts count once, however many texts there are of each."""
    return {"prompt_tokens": prompt, "completion_tokens": made, "total_tokens": prompt + made}


class Answer(Protocol):
    """How the answers of a route look."""

    def head(self, chunk: bool) -> dict[str, Any]:
        """What stands in an answer or chunk beside its choices."""

    def opening(self, number: int) -> dict[str, Any] | None:
        """The choice that begins a text in a stream, if there is one."""

    def choice(self, number: int, piece: Piece, chunk: bool) -> dict[str, Any]:
        """A text, or a piece of it."""


@dataclass
class _Head:
    model: str
    fingerprint: str
    tokenizer: Tokenizer
    created: int = field(default_factory=lambda: int(time.time()))
    number: str = field(default_factory=lambda: secrets.token_hex(12))

    def _head(self, prefix: str, kind: str) -> dict[str, Any]:
        facts = {"id": f"{prefix}-{self.number}", "object": kind, "created": self.created, "model": self.model}
        return {**facts, "system_fingerprint": self.fingerprint}

    def _token(self, number: int) -> str:
        told: str = self.tokenizer.decode([number], skip_special_tokens=False)
        return told


@dataclass
class CompletionAnswer(_Head):
    """Of /v1/completions."""

    echo: Sequence[str] = ()
    """What stands before each text, if anything does."""
    lengths: dict[int, int] = field(default_factory=dict)
    """Characters of tokens told so far, by text."""

    def head(self, chunk: bool) -> dict[str, Any]:
        return self._head("cmpl", "text_completion")

    def opening(self, number: int) -> dict[str, Any] | None:
        return {"index": number, "text": self.echo[number], "logprobs": None, "finish_reason": None} if self.echo else None

    def choice(self, number: int, piece: Piece, chunk: bool) -> dict[str, Any]:
        text = piece.text if chunk or not self.echo else self.echo[number] + piece.text
        logprobs = self._logprobs(number, piece.likely) if piece.likely else None
        return {"index": number, "text": text, "logprobs": logprobs, "finish_reason": FINISH[piece.ended]}

    def _logprobs(self, number: int, likely: list[Likely]) -> dict[str, Any]:
        tokens, offsets = [self._token(one.token) for one in likely], []
        for token in tokens:
            offsets.append(self.lengths.get(number, 0))
            self.lengths[number] = offsets[-1] + len(token)
        return {
            "tokens": tokens,
            "token_logprobs": [one.logprob for one in likely],
            "top_logprobs": [{self._token(token): chance for token, chance in one.others} for one in likely],
            "text_offset": offsets,
        }


@dataclass
class ChatAnswer(_Head):
    """Of /v1/chat/completions."""

    def head(self, chunk: bool) -> dict[str, Any]:
        return self._head("chatcmpl", "chat.completion.chunk" if chunk else "chat.completion")

    def opening(self, number: int) -> dict[str, Any] | None:
        return {"index": number, "delta": {"role": "assistant", "content": ""}, "logprobs": None, "finish_reason": None}

    def choice(self, number: int, piece: Piece, chunk: bool) -> dict[str, Any]:
        message: dict[str, Any] = {"content": piece.text}
        if not chunk:
            message = {"role": "assistant", "content": piece.text, "refusal": None}
        logprobs = {"content": [self._likely(one) for one in piece.likely], "refusal": None} if piece.likely else None
        finish = FINISH[piece.ended]
        return {"index": number, "delta" if chunk else "message": message, "logprobs": logprobs, "finish_reason": finish}

    def _likely(self, one: Likely) -> dict[str, Any]:
        return {**self._chance(one.token, one.logprob), "top_logprobs": [self._chance(*other) for other in one.others]}

    def _chance(self, token: int, chance: float) -> dict[str, Any]:
        told = self._token(token)
        return {"token": told, "logprob": chance, "bytes": list(told.encode())}


def embeddings(model: str, vectors: Tensor, tokens: int, as_base64: bool) -> dict[str, Any]:
    """The answer of /v1/embeddings: vectors as numbers, or as the little-endian float32 that OpenAI's client asks for."""
    told: list[Any] = vectors.tolist()
    if as_base64:
        told = [base64.b64encode(vector.numpy().astype("<f4").tobytes()).decode() for vector in vectors]
    data = [{"object": "embedding", "index": number, "embedding": vector} for number, vector in enumerate(told)]
    return {"object": "list", "data": data, "model": model, "usage": {"prompt_tokens": tokens, "total_tokens": tokens}}
